"""Requests to the published searches: known answers, and where a published record contradicts itself.

Whole grids: ``evercast request run`` and `benchmarks/reinterpretation.py`; here a few points of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from evercast.events.sources import SearchPath
from evercast.reinterpretation.requests.answers import Answers, gather
from evercast.reinterpretation.requests.consistency import contradictions
from evercast.reinterpretation.requests.frozen import freeze
from evercast.reinterpretation.requests.points import compute_points
from evercast.reinterpretation.requests.read import read_request
from evercast.reinterpretation.requests.resolve import resolve
from evercast.reinterpretation.requests.verdict import verdict_sentence
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.read import read_wrapped

pytestmark = pytest.mark.public_data


def asked(folder: Path, name: str, points: tuple[str, ...], *, repository: Path, data: Path) -> tuple[Answers, str]:
    """Return the answers to a request for points of a shipped analysis, and the sentence."""
    place = repository / "specs" / name
    record = RecordData(
        analysis=read_wrapped(place / "wrapped.yaml"), folder=place,
        search_path=SearchPath(cache=folder / "cache", folders=(data,), network=False),
    )  # fmt: skip
    text = (
        f"schema: request/1.0.0\nname: ask\nanalysis: {{name: {name}}}\nsignal: {{published: [{', '.join(points)}]}}\n"
    )
    (folder / "request.yaml").write_text(text)
    resolved = resolve(read_request(folder / "request.yaml"), record, folder=folder)
    frozen = freeze(resolved, root=folder, document=folder / "request.yaml")
    compute_points(frozen, [point.key for point in frozen.points])
    answers = gather(frozen)
    return answers, verdict_sentence(frozen, answers)


def cls_observed(answers: Answers) -> Mapping[str, float | None]:
    assert all(answer.body["guard"]["passed"] for answer in answers.answers)
    return {answer.point.name: answer.cls_observed for answer in answers.answers}


def test_staus_and_the_limits_that_contradict_their_patches(tmp_path: Path, repository: Path, real_data: Path) -> None:
    """CLs: pyhf converged. The paper excludes 120 to 390 GeV; its limits at 140_1, 160_1 are 7 % off its patches."""
    masses = ("100_1", "120_1", "140_1", "160_1", "380_1", "400_1", "240_120", "440_40")
    points = tuple(f"DS_{mass}_Staus" for mass in masses)
    answers, sentence = asked(tmp_path, "atlas-susy-2018-04", points, repository=repository, data=real_data)
    found = cls_observed(answers)
    known = {"DS_100_1": 0.2163, "DS_240_120": 0.0815, "DS_400_1": 0.0645, "DS_440_40": 0.1539}
    for name, value in known.items():
        assert found[f"{name}_Staus"] == pytest.approx(value, abs=5e-5)  # last digit given
    limits = {entry.published.point: entry for entry in answers.compared if entry.published.point}
    assert limits["DS_100_1_Staus"].published.value == 0.62703
    differ = {name for name, entry in limits.items() if not entry.agrees}
    assert differ == {"DS_140_1_Staus", "DS_160_1_Staus"}
    assert all(0.92 < limits[name].ratio < 0.94 for name in differ)
    assert all(abs(entry.ratio - 1) < 0.002 for name, entry in limits.items() if name not in differ)
    (contradiction,) = contradictions(answers.compared)
    assert "The record contradicts itself in 2 of 8 numbers" in contradiction
    (massless,) = [entry for entry in answers.ranges if entry.at == (1.0,)]
    assert massless.observed[0] == pytest.approx((120.0, 390.0), abs=5.0)  # quoted to 10 GeV
    assert "m_stau from 121 to 392 GeV for m_lsp = 1 GeV" in sentence


def test_the_last_point_asked_for_is_no_end_of_a_range(tmp_path: Path, repository: Path, real_data: Path) -> None:
    """All are excluded, or lie where the record has points between them: nothing tells the ends of 120 and 390."""
    points = tuple(f"DS_{mass}_1_Staus" for mass in (100, 200, 280))
    answers, sentence = asked(tmp_path, "atlas-susy-2018-04", points, repository=repository, data=real_data)
    assert "or more" in sentence
    assert not [entry for entry in answers.compared if entry.published.kind in {"excluded_from", "excluded_to"}]
    assert contradictions(answers.compared) == []


def test_three_leptons_where_the_usual_minimiser_fails(tmp_path: Path, repository: Path, real_data: Path) -> None:
    """CLs: the analysis team, RooFit and Minuit agree; pyhf's default returns 0.99958 and success."""
    points = ("ERJR_300p0_100p0", "ERJR_350p0_0p0")
    answers, _ = asked(tmp_path, "atlas-susy-2018-06", points, repository=repository, data=real_data)
    found = cls_observed(answers)
    assert found["ERJR_300p0_100p0"] == pytest.approx(0.01813, abs=1e-5)
    assert found["ERJR_350p0_0p0"] == pytest.approx(0.0593, abs=5e-5)  # last digit given
    last = answers.answers[1]
    assert last.limit_observed == pytest.approx(1.039, rel=3e-3)  # the peer interpolates CLs between scanned values
    assert last.limit_expected[2] == pytest.approx(0.770, rel=3e-3)
    assert [answer.excluded for answer in answers.answers] == [True, False]
    assert all(entry.agrees for entry in answers.compared)


def test_bottom_squarks_and_their_efficiencies(tmp_path: Path, repository: Path, real_data: Path) -> None:
    """CLs: pyhf's own regression tests; limit: RooFit. The published efficiencies are not those of the patch."""
    points = tuple(f"sbottom_{mass}_60" for mass in ("1000_450", "1300_205", "1400_950", "1500_850"))
    answers, _ = asked(tmp_path, "atlas-susy-2018-31", points, repository=repository, data=real_data)
    found = cls_observed(answers)
    known = {"sbottom_1300_205_60": 0.244436, "sbottom_1400_950_60": 0.021373, "sbottom_1500_850_60": 0.045367}
    for name, value in known.items():
        assert found[name] == pytest.approx(value, abs=2e-6)  # six digits, and the fits of the peer
    assert answers.answers[0].limit_observed == pytest.approx(0.0843, abs=1e-4)
    assert [round(entry.ratio, 2) for entry in answers.compared] == [1.42, 1.43, 1.43]
    (contradiction,) = contradictions(answers.compared)
    assert "in 3 of 3 numbers of the kind 'acceptance times efficiency'" in contradiction
