"""What a request may ask of an archive: nothing that is asked is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.artifacts.files import sha256_file
from evercast.errors import InvalidInput
from evercast.reinterpretation.neural.answers import Limits, NeuralAnswers, NeymanUpper, ProcessAnswer
from evercast.reinterpretation.neural.asked import check_wanted, coefficient_at, process_of
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.point_parts import PointParts
from evercast.reinterpretation.neural.response_points import point_body
from evercast.reinterpretation.neural.verdict import neural_verdict
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.kept import keep_file
from evercast.reinterpretation.requests.model import Request, request_to_json
from evercast.reinterpretation.requests.read import read_request
from evercast.spec import load_analysis
from evercast.spec.model import Analysis, EventFile, Sample
from workflow_documents import ROOT

CARD = "{program: pythia8, settings: ['HardQCD:all = on'], events: 100, seed: 1, systematic: 0.1}"
PROCESS = "process: {parameter: mu_new, bounds: [0, 10]}"
POINT = "model_point: {mu: 2.0}"


@pytest.fixture(scope="module")
def toy() -> Analysis:
    return load_analysis(ROOT / "specs" / "toy" / "analysis.yaml", check_files=False)


def request_of(folder: Path, meaning: str, wanted: str, *, more: str = "", card: str = CARD) -> Request:
    path = folder / "request.yaml"
    path.write_text(
        "schema: request/1.0.0\nname: asked\nanalysis: {name: toy}\ncollision: {beams: pp, sqrt_s_tev: 13}\nsignal:\n"
        f"  points:\n    mine:\n      cross_section: {{value_pb: 0.1, relative_uncertainty: 0.1}}\n{more}"
        f"      generate: {card}\n      {meaning}\nwanted: {wanted}\n"
    )
    return read_request(path)


@pytest.mark.parametrize(
    ("meaning", "wanted", "likelihood", "code"),
    [
        (PROCESS, "{mu: 11}", "neural", "request.mu"),
        (PROCESS, "{toys: 200, neyman: true, observed: false}", "neural", "request.not-observed"),
        (PROCESS, "{toys: 100, neyman: true}", "neural", "request.toys"),
        (PROCESS, "{injection: [1]}", "neural", "request.toys"),
        (PROCESS, "{toys: 10, injection: [11]}", "neural", "request.bounds"),
        (PROCESS, "{training_statistics: true}", "binned", "request.no-networks"),
        (POINT, "{mu: 2}", "neural", "request.no-process"),
        (POINT, "{toys: 10, injection: [1]}", "neural", "request.no-process"),
        (POINT, "{toys: 200, neyman: true}", "neural", "request.no-process"),
        (POINT, "{training_statistics: true}", "neural", "request.no-process"),
    ],
)
def test_what_cannot_be_computed_is_refused(
    toy: Analysis, tmp_path: Path, meaning: str, wanted: str, likelihood: str, code: str
) -> None:
    card = CARD if meaning == PROCESS else CARD.replace(", systematic: 0.1", "")
    with pytest.raises(InvalidInput) as refused:
        check_wanted(request_of(tmp_path, meaning, wanted, card=card), toy, likelihood)
    assert refused.value.code == code


def test_what_has_no_meaning_for_an_archive_is_refused(toy: Analysis, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as placed:
        check_wanted(request_of(tmp_path, PROCESS, "{}", more="      values: [1.0]\n"), toy, "neural")
    assert placed.value.code == "request.multiplicity"
    with pytest.raises(InvalidInput) as uncertain:
        check_wanted(request_of(tmp_path, POINT, "{}"), toy, "neural")
    assert uncertain.value.code == "request.systematic"


def test_what_can_be_computed_passes(toy: Analysis, tmp_path: Path) -> None:
    wanted = "{mu: 10, toys: 200, injection: [0, 10], neyman: true, training_statistics: true}"
    check_wanted(request_of(tmp_path, PROCESS, wanted), toy, "neural")


def test_a_coefficient_is_that_of_the_values_at_hand(toy: Analysis, tmp_path: Path) -> None:
    squared = request_of(tmp_path, 'process: {parameter: c, coefficient: "c**2 * mu"}', "{}")
    process = process_of(squared.signal.points["mine"])
    assert coefficient_at(process, 3.0, toy) == pytest.approx(9.0)  # mu is 1 at first
    assert coefficient_at(process, 0.0, toy) == 0.0


def answer(**more: object) -> ProcessAnswer:
    said = {
        "name": "mine", "status": "ok", "likelihood": "neural", "process": "mine", "parameter": "mu_new",
        "coefficient": "mu_new", "expected_events": {}, "events": {}, "generated_events": None, "domain": (),
    }  # fmt: skip
    return ProcessAnswer(**(said | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "open_high", "says"),
    [
        (0.0, False, "CLs), 3 by the Ney"),
        (0.0, True, "CLs), at least 3 by the Ney"),
        (0.5, False, "CLs), from 0.5 to 3 by the Ney"),
    ],
)
def test_the_last_tested_value_is_no_limit_and_an_interval_has_two_ends(low: float, open_high: bool, says: str) -> None:
    neyman = NeymanUpper(
        confidence_level=0.95, low=low, high=3.0, open_low=low == 0.0, open_high=open_high, asymptotic_high=3.0,
        values=(0.0, 3.0), toys=200, failed=0,
    )  # fmt: skip
    limits = Limits(confidence_level=0.95, observed=2.0, expected=(1.0, 1.5, 2.0, 2.5, 3.0), remarks=())
    answers = NeuralAnswers(
        archive="0", analysis="toy", title="toy", signed_by=None, points=(answer(neyman=neyman, limits=limits),)
    )
    assert says in neural_verdict(answers, 0.95)


def body_of(asked: Request, toy: Analysis, folder: Path, found: ProcessAnswer, **signal: object) -> dict[str, object]:
    body = Sample(files=(EventFile(path="mine.csv"),))
    declared = DeclaredSignal(sample="signal_mine", body=body, cross_section_pb=0.1, **signal)  # type: ignore[arg-type]
    frozen = FrozenNeural(
        root=folder, run="0" * 64, request=request_to_json(asked), archive=folder, archive_id="0" * 64, analysis="toy",
        likelihood="neural", signals={"mine": declared},
    )  # fmt: skip
    return point_body(PointParts(answer=found), frozen, toy, excluded=None)


@pytest.mark.parametrize(
    ("coefficient", "limit"), [("c", 0.1 * 3.0), ("c**2", 0.1 * 9.0), ("c * mu", None)]
)  # fmt: skip
def test_a_limit_in_pb_follows_the_coefficient(
    toy: Analysis, tmp_path: Path, coefficient: str, limit: float | None
) -> None:
    asked = request_of(tmp_path, f'process: {{parameter: c, coefficient: "{coefficient}"}}', "{}")
    limits = Limits(confidence_level=0.95, observed=3.0, expected=(1.0, 1.5, 2.0, 2.5, 3.0), remarks=())
    found = body_of(asked, toy, tmp_path, answer(parameter="c", coefficient=coefficient, limits=limits))
    assert found["limit_pb"] == (None if limit is None else pytest.approx(limit))


def test_without_an_event_the_equal_events_of_the_sample_count(toy: Analysis, tmp_path: Path) -> None:
    asked = request_of(tmp_path, PROCESS, "{}")
    nothing = answer(status="no-events", generated_events=1000)
    found = body_of(asked, toy, tmp_path, nothing, effective_events=100.7, remarks=("the weights differ",))
    assert found["efficiency_limit"] == pytest.approx(1.0 - 0.05 ** (1 / 100))
    assert found["remarks"] == ["the weights differ"]


def test_a_kept_file_that_was_changed_is_kept_anew(tmp_path: Path) -> None:
    source, place = tmp_path / "signal.csv", tmp_path / "work" / "inputs" / "signal.csv"
    source.write_text("x\n1\n")
    digest = sha256_file(source)
    keep_file(source, place, digest=digest)
    place.unlink()
    place.write_text("x\n2\n")
    keep_file(source, place, digest=digest)
    assert sha256_file(place) == digest
