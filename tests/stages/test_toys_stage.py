"""The stages toys and study: jobs that can be cut and resumed, and what follows from them for each purpose."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evercast.artifacts.arrays import read_arrays, write_arrays
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.errors import InvalidInput
from evercast.likelihood.model import LikelihoodModel
from evercast.plan.recipes import StudyRecipe, Task, ToysRecipe
from evercast.spec.model import Inference, ToyStudy
from evercast.stages import study, toys
from statistics_inputs import counting_model

INFERENCE = Inference(scan_points=7, scan_range=(0.0, 3.0))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A serialization unit with a counting experiment."""
    return serialized(tmp_path / "unit", counting_model(width=0.1))


def serialized(place: Path, model: LikelihoodModel) -> Path:
    folder = place / "likelihood"
    (folder / "neural").mkdir(parents=True)
    write_likelihood(folder / "neural", model)
    entry = IndexEntry(kind="folder", path="neural", sha256=sha256_file(folder / "neural" / LIKELIHOOD_FILE))
    write_index(folder, Index(schema="likelihood-index/1.0.0", analysis="toy", run_id="0" * 64, likelihoods={"count": entry}))  # fmt: skip # noqa: E501
    return place


def throw(
    unit: Path, out: Path, spec: ToyStudy, *, value: float | None, first: int, count: int, unblind: bool = False
) -> Path:
    """Run one job and return its folder."""
    for part in ("output", "checkpoint"):
        (out / part).mkdir(parents=True, exist_ok=True)
    recipe = ToysRecipe(
        likelihood="count", study="s", spec=spec, inference=replace(INFERENCE, unblind=unblind), value=value,
        first=first, count=count,
    )  # fmt: skip
    inputs = {"likelihood": unit, "fit": unit}
    toys.run(Task(recipe=recipe, inputs=inputs, output=out / "output", checkpoint=out / "checkpoint"))
    return out / "output"


def gather(unit: Path, out: Path, spec: ToyStudy, jobs: list[Path], *, unblind: bool = False) -> dict[str, object]:
    for part in ("output", "checkpoint"):
        (out / part).mkdir(parents=True)
    recipe = StudyRecipe(likelihood="count", study="s", spec=spec, inference=replace(INFERENCE, unblind=unblind))
    inputs = {"likelihood": unit, "fit": unit, **{f"toys_{number}": job for number, job in enumerate(jobs)}}
    study.run(Task(recipe=recipe, inputs=inputs, output=out / "output", checkpoint=out / "checkpoint"))
    return json.loads((out / "output" / "result.json").read_text())


def test_jobs_of_any_size_throw_the_same_pseudo_experiments(unit: Path, tmp_path: Path) -> None:
    spec = ToyStudy(purpose="coverage", seed=3, toys=40, values=(1.0,))
    whole = read_arrays(throw(unit, tmp_path / "w", spec, value=1.0, first=0, count=40) / "toys.zarr")
    part = read_arrays(throw(unit, tmp_path / "p", spec, value=1.0, first=25, count=15) / "toys.zarr")
    np.testing.assert_array_equal(whole["seed"][25:], part["seed"])
    np.testing.assert_allclose(whole["t"][25:], part["t"], atol=1e-9)
    summary = json.loads((tmp_path / "p" / "output" / "summary.json").read_text())
    assert (summary["first"], summary["count"], summary["failed"], summary["value"]) == (25, 15, 0, 1.0)
    assert summary["theta"]["mu"] == 1.0
    assert summary["theta"]["norm"] != 0.0  # profiled to the data


def test_finished_blocks_are_not_done_again(
    unit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(toys, "_BLOCK", 10)
    spec = ToyStudy(purpose="coverage", seed=3, toys=30, values=(1.0,))
    first = throw(unit, tmp_path / "a", spec, value=1.0, first=0, count=30)
    before = read_arrays(first / "toys.zarr")
    blocks = sorted((tmp_path / "a" / "checkpoint").iterdir())
    assert [block.name for block in blocks] == ["block-0-10.zarr", "block-10-10.zarr", "block-20-10.zarr"]
    damaged = next(entry for entry in (blocks[1] / "t").rglob("*") if entry.is_file())
    damaged.write_bytes(damaged.read_bytes()[:-1])
    for entry in sorted(first.rglob("*"), reverse=True):
        entry.unlink() if entry.is_file() else entry.rmdir()
    with caplog.at_level("INFO"):
        throw(unit, tmp_path / "a", spec, value=1.0, first=0, count=30)
    assert caplog.text.count("were done before") == 2
    assert "block-10-10.zarr is not used" in caplog.text
    np.testing.assert_allclose(read_arrays(first / "toys.zarr")["t"], before["t"], atol=1e-9)


def test_a_neyman_construction_of_a_gaussian_measurement_is_the_asymptotic_one(unit: Path, tmp_path: Path) -> None:
    values = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    spec = ToyStudy(purpose="neyman", seed=1, toys=200, values=values, confidence_levels=(0.6827,))
    jobs = [
        throw(unit, tmp_path / f"{value}-{first}", spec, value=value, first=first, count=100)
        for value in values
        for first in (0, 100)
    ]
    body = gather(unit, tmp_path / "study", spec, jobs)
    assert (body["purpose"], body["toys"], body["failed"], body["data"]) == ("neyman", 1200, 0, "observed")
    (interval,) = body["intervals"]
    assert [point["value"] for point in interval["points"]] == list(values)
    assert {point["toys"] for point in interval["points"]} == {200}
    ((low, high),) = interval["segments"]
    ((plain_low, plain_high),) = interval["asymptotic_segments"]
    assert (low, high) == pytest.approx((plain_low, plain_high), abs=0.35)  # quantiles of 200 toys: 0.1 in t at 1
    assert low < body["best"] < high
    assert interval["points"][-1]["p"] < 0.32


def test_coverage_is_counted_at_each_level(unit: Path, tmp_path: Path) -> None:
    spec = ToyStudy(purpose="coverage", seed=1, toys=500, values=(1.5,))
    body = gather(unit, tmp_path / "s", spec, [throw(unit, tmp_path / "j", spec, value=1.5, first=0, count=500)])
    assert [entry["confidence_level"] for entry in body["coverage"]] == [0.6827, 0.9545]
    for entry in body["coverage"]:
        assert entry["asymptotic"] == pytest.approx(entry["confidence_level"], abs=4 * entry["error"])
        assert entry["neyman"] == pytest.approx(entry["confidence_level"], abs=4 * entry["neyman_error"])


def test_limits_from_jobs_are_those_of_cls_from_toys(unit: Path, tmp_path: Path) -> None:
    values = (1.0, 2.5, 4.0, 5.5)
    spec = ToyStudy(purpose="limit", seed=1, toys=400, values=values)
    jobs = [throw(unit, tmp_path / f"{value}", spec, value=value, first=0, count=400) for value in values]
    body = gather(unit, tmp_path / "study", spec, jobs)
    assert body["toys"] == 3200  # both hypotheses
    cls = [point["cls_obs"] for point in body["points"]]
    assert cls == sorted(cls, reverse=True)
    assert 2.5 < body["limit"]["observed"] < 5.5
    assert body["limit"]["error"] > 0
    assert body["limit"]["confidence_level"] == 0.95


def test_goodness_of_fit_gets_its_p_value(unit: Path, tmp_path: Path) -> None:
    spec = ToyStudy(purpose="goodness_of_fit", seed=1, toys=60)
    jobs = [throw(unit, tmp_path / f"{first}", spec, value=None, first=first, count=30) for first in (0, 30)]
    found = gather(unit, tmp_path / "study", spec, jobs)["goodness_of_fit"]
    assert found["toys"] == 60
    assert 0 < found["p_toys"] <= 1
    assert found["channels"]["SR"]["kind"] == "saturated"


def test_blind_channels_are_not_looked_at_unless_asked(tmp_path: Path) -> None:
    base = counting_model(width=0.1)
    blind = replace(base, channels=(replace(base.channels[0], blind=True),))
    unit = serialized(tmp_path / "unit", blind)
    spec = ToyStudy(purpose="neyman", seed=1, toys=60, values=(0.5, 1.5), confidence_levels=(0.6827,))
    shown = {}
    for unblind in (False, True):
        place = tmp_path / str(unblind)
        jobs = [throw(unit, place / f"{v}", spec, value=v, first=0, count=60, unblind=unblind) for v in spec.values]
        shown[unblind] = gather(unit, place / "study", spec, jobs, unblind=unblind)
    assert (shown[False]["blinded"], shown[False]["data"]) == (["SR"], "binned")
    assert shown[False]["best"] == pytest.approx(1.0, abs=1e-5)  # of the Asimov data
    assert (shown[True]["blinded"], shown[True]["data"]) == ([], "observed")
    assert shown[True]["best"] == pytest.approx(1.2, abs=1e-3)


def test_a_study_without_pseudo_experiments_is_refused(unit: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no pseudo-experiments"):
        gather(unit, tmp_path / "s", ToyStudy(purpose="coverage", seed=1, values=(1.0,)), [])


def test_a_study_that_fails_says_why(unit: Path, tmp_path: Path) -> None:
    """One of ten could not be fitted, more than 2 %: a result with a reason, not a unit that failed."""
    spec = ToyStudy(purpose="coverage", seed=3, toys=10, values=(1.0,))
    job = throw(unit, tmp_path / "job", spec, value=1.0, first=0, count=10)
    stored = read_arrays(job / "toys.zarr")
    assert stored.attributes["status_codes"]["2"] == "a fit failed"
    arrays = {name: np.array(stored[name]) for name in ("t", "poi_hat", "status", "seed")}
    arrays["t"][4], arrays["status"][4] = np.nan, 2
    shutil.rmtree(job / "toys.zarr")
    write_arrays(job / "toys.zarr", arrays, {})
    summary = json.loads((job / "summary.json").read_text())
    (job / "summary.json").write_text(json.dumps({**summary, "reasons": ["no step lowers -2 ln L"]}))
    found = gather(unit, tmp_path / "study", spec, [job])
    assert found["status"] == "failed"
    assert "1 of 10 pseudo-experiments could not be fitted: no step lowers" in found["reason"]
    assert (found["toys"], found["failed"]) == (10, 1)
    assert "coverage" not in found
