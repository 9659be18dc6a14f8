"""The stage fit: from the folder of a serialization unit to result.json."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.errors import IntegrityError, InvalidInput, NumericalFailure
from evercast.likelihood.model import LikelihoodModel
from evercast.plan.recipes import FitRecipe, Task
from evercast.spec.model import Inference
from evercast.stages.fit import run
from statistics_inputs import counting_model, gaussian_mixture, synthetic_workspace

INFERENCE = Inference(scan_points=7, scan_range=(0.0, 3.0))


def task(tmp_path: Path, name: str, *, neural: LikelihoodModel | None = None) -> Task[FitRecipe]:
    """Write a folder ``likelihood/`` with a workspace and a neural likelihood, and return the task to fit one."""
    folder = tmp_path / "unit" / "likelihood"
    (folder / "neural").mkdir(parents=True)
    text = json.dumps(synthetic_workspace(seed=6))
    (folder / "workspace.json").write_text(text)
    write_likelihood(folder / "neural", neural or gaussian_mixture())
    entries = {
        "binned": IndexEntry(
            kind="workspace", path="workspace.json", sha256=hashlib.sha256(text.encode()).hexdigest(), measurement="fit"
        ),
        "neural": IndexEntry(kind="folder", path="neural", sha256=sha256_file(folder / "neural" / LIKELIHOOD_FILE)),
    }
    write_index(folder, Index(schema="likelihood-index/1.0.0", analysis="toy", run_id="0" * 64, likelihoods=entries))
    for part in ("out", "checkpoint"):
        (tmp_path / part).mkdir(parents=True)
    recipe = FitRecipe(likelihood=name, inference=INFERENCE)
    inputs = {"likelihood": tmp_path / "unit"}
    return Task(recipe=recipe, inputs=inputs, output=tmp_path / "out", checkpoint=tmp_path / "checkpoint")


def result(of: Task[FitRecipe]) -> dict[str, object]:
    run(of)
    return json.loads((of.output / "result.json").read_text())


@pytest.mark.parametrize("name", ["binned", "neural"])
def test_a_result_holds_observed_and_expected_with_their_guards(tmp_path: Path, name: str) -> None:
    body = result(task(tmp_path, name))
    assert list(body) == ["likelihood", "poi", "status", "guard", "blinded", "observed", "expected"]
    assert (body["likelihood"], body["poi"], body["guard"]["passed"]) == (name, "mu", True)
    for side, asimov in (("observed", None), ("expected", "binned" if name == "binned" else "simulation")):
        part = body[side]
        assert part["asimov"] == asimov
        assert part["guard"]["passed"] is True
        counted = {} if name == "binned" else {"SR": {"simulated_events": 4001, "not_positive": 0}}
        assert part["positivity"] == counted
        assert part["scan"]["values"] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        assert part["interval"]["low"] <= part["fit"]["parameters"]["mu"]["value"] <= part["interval"]["high"]
        assert part["interval"]["confidence_level"] == 0.6827
        assert part["significance"]["z"] ** 2 == pytest.approx(part["significance"]["q0"])
        assert part["significance"]["q0"] == pytest.approx(part["scan"]["t"][0], abs=1e-6)
    assert body["expected"]["fit"]["parameters"]["mu"]["value"] == pytest.approx(1.0, abs=1e-5)


def test_a_likelihood_without_simulation_has_no_expected_result_and_says_why(tmp_path: Path) -> None:
    model = gaussian_mixture()
    bare = replace(model, channels=(replace(model.channels[0], simulation=None),))
    body = result(task(tmp_path, "neural", neural=bare))
    assert body["expected"] is None
    assert body["guard"]["problems"] == ["channel 'SR' holds no simulated events: no expected result can be computed"]
    assert body["observed"]["fit"]["parameters"]["mu"]["uncertainty"] == pytest.approx(0.1669, abs=1e-4)


def test_a_best_fit_at_its_bound_is_named(tmp_path: Path) -> None:
    body = result(task(tmp_path, "neural", neural=counting_model(observed=40.0)))
    assert body["status"] == "at-bound"
    assert body["guard"]["problems"] == ["mu lies at its bound 0"]
    assert body["observed"]["interval"]["low_at_bound"] is True
    assert body["observed"]["fit"]["parameters"]["mu"]["uncertainty"] is None


def test_a_failed_fit_writes_nothing(tmp_path: Path) -> None:
    broken = task(tmp_path, "neural", neural=counting_model(signal=0.0))
    with pytest.raises(NumericalFailure, match="flat direction: mu"):
        run(broken)
    assert list(broken.output.iterdir()) == []


def test_an_unknown_or_changed_likelihood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there are: binned, neural"):
        run(task(tmp_path / "a", "other"))
    damaged = task(tmp_path / "b", "binned")
    path = damaged.inputs["likelihood"] / "likelihood" / "workspace.json"
    path.write_text(path.read_text().replace("SR", "SX", 1))
    with pytest.raises(IntegrityError, match="sha256"):
        run(damaged)


def test_a_blind_channel_leaves_expected_results_only(tmp_path: Path) -> None:
    base = counting_model(width=0.1)
    blind = replace(base, channels=(replace(base.channels[0], blind=True),))
    hidden = task(tmp_path / "a", "neural", neural=blind)
    body = result(hidden)
    assert (body["status"], body["blinded"], body["observed"]) == ("blinded", ["SR"], None)
    assert body["expected"]["fit"]["parameters"]["mu"]["value"] == pytest.approx(1.0, abs=1e-5)
    assert body["guard"]["passed"] is True
    shown = task(tmp_path / "b", "neural", neural=blind)
    recipe = replace(shown.recipe, inference=replace(INFERENCE, unblind=True))
    body = result(replace(shown, recipe=recipe))
    assert (body["status"], body["blinded"]) == ("ok", [])
    assert body["observed"]["fit"]["parameters"]["mu"]["value"] == pytest.approx(1.2, abs=1e-3)


def test_limit_impacts_and_contours_are_there_where_asked_for(tmp_path: Path) -> None:
    asked = task(tmp_path, "binned")
    inference = replace(INFERENCE, limit=0.95, contours=(("mu", "jes"),))
    body = result(replace(asked, recipe=replace(asked.recipe, inference=inference)))
    for side in ("observed", "expected"):
        part = body[side]
        assert len(part["limit"]["expected"]) == 5
        assert (part["limit"]["observed"] is None) == (side == "expected")
        assert part["impacts"][0].keys() >= {"parameter", "pull", "constraint", "up", "down", "covariance", "local"}
        assert part["contours"][0]["parameters"] == ["mu", "jes"]
        assert part["minima"][0]["t"] == 0.0
        names = part["correlation"]["names"]
        assert [len(row) for row in part["correlation"]["matrix"]] == [len(names)] * len(names)
        assert part["goodness_of_fit"]["channels"].keys() == {"SR", "CR"}
