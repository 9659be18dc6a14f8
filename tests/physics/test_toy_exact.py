"""specs/toy-exact: the numbers it declares are those of exact densities, and a run finds them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import interference as toy
import numpy as np
import pytest
import yaml

from evercast.plan import make_plan
from evercast.spec import load_analysis
from workflow_documents import body, environment

SPEC = Path(__file__).resolve().parents[2] / "specs" / "toy-exact"
KEPT = ("mean", "tilt")
"""Nuisance parameters of the smaller analysis that the tests run: varied samples and weights."""

Truth = dict[str, dict[str, float]]


def exact(*parameters: str) -> Truth:
    """Run truth.py as a user would."""
    words = ["--parameters", *parameters] if parameters else []
    done = subprocess.run([sys.executable, SPEC / "truth.py", *words], capture_output=True, text=True, check=True)
    found: Truth = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def truth() -> Truth:
    return exact()


def test_the_document_is_valid_and_plans_every_kind_of_work() -> None:
    plan = make_plan(load_analysis(SPEC / "analysis.yaml"), document_folder=SPEC, pseudo=False)
    names = {unit.name for unit in plan.units}
    assert {"background-tilt-up", "polynomial-polynomial", "polynomial-replicas", "anchors-width"} <= names
    assert {"command", "toys", "study", "training_statistics"} <= {unit.stage for unit in plan.units}


def test_the_numbers_declared_are_those_of_exact_densities(truth: Truth) -> None:
    """Rounded to three decimals in the document."""
    declared = load_analysis(SPEC / "analysis.yaml").expected
    assert len(declared) >= 20
    for key, number in declared.items():
        likelihood, _, quantity = key.partition(".")
        assert number.value == pytest.approx(truth[likelihood][quantity], abs=6e-4), key


def test_the_truth_of_the_interference_is_that_of_quadrature(truth: Truth) -> None:
    found = truth["amplitudes"]
    np.testing.assert_allclose(
        (found["expected_interval_low"], found["expected_interval_high"]), toy.interval(), atol=2e-5
    )
    assert found["expected_significance"] == pytest.approx(np.sqrt(toy.t(0.0)), abs=1e-4)


def test_exact_asimov_data_give_back_what_was_put_in(truth: Truth) -> None:
    for likelihood in truth.values():
        for name, value in likelihood.items():
            if name.startswith("expected_") and name.endswith("_hat"):
                assert value == pytest.approx(float(name == "expected_mu_hat"), abs=1e-3)


def smaller() -> dict[str, object]:
    """The document with two networks per nuisance parameter only, and with two such parameters."""
    content = body("toy-exact")
    content["systematics"] = {name: content["systematics"][name] for name in ("rate_s", "rate_b", *KEPT)}
    for section in ("ensembles", "likelihoods"):
        del content[section]["polynomial"]
    used = {
        "mu0",
        "mu1",
        "mu4",
        "other",
        "signal",
        "background",
        "background_mean_up",
        "background_mean_down",
        "observed",
    }
    content["samples"] = {name: sample for name, sample in content["samples"].items() if name in used}
    content["inference"] = {"scan_points": 21, "scan_range": [0, 3], "impacts": False}
    del content["expected"]
    return content


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """likelihood -> quantity -> value of a run of the smaller analysis."""
    folder = tmp_path_factory.mktemp("toy-exact")
    shutil.copy(SPEC / "make_events.py", folder)
    (folder / "analysis.yaml").write_text(yaml.safe_dump(smaller(), sort_keys=False))
    command = [str(Path(sys.executable).parent / "evercast"), "run", "analysis.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    results = json.loads((folder / "results" / "toy-exact" / "fit.json").read_text())["results"]
    found: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        assert result["status"] == "ok"
        for prefix, outcome in (("", result["observed"]), ("expected_", result["expected"])):
            numbers = {f"{prefix}{key}_hat": item["value"] for key, item in outcome["fit"]["parameters"].items()}
            numbers |= {f"{prefix}interval_{end}": outcome["interval"][end] for end in ("low", "high")}
            numbers |= {f"{prefix}significance": outcome["significance"]["z"]}
            found.setdefault(name, {}).update(numbers)
    return found


@pytest.fixture(scope="module")
def exactly() -> Truth:
    """The truth of the smaller analysis."""
    return exact(*KEPT)


def width(numbers: dict[str, float], prefix: str) -> float:
    return (numbers[f"{prefix}interval_high"] - numbers[f"{prefix}interval_low"]) / 2


@pytest.mark.slow
@pytest.mark.xdist_group("toy-exact")
@pytest.mark.parametrize("prefix", ["", "expected_"], ids=["observed", "Asimov"])
@pytest.mark.parametrize("likelihood", ["amplitudes", "anchors", "binned"])
def test_a_run_finds_what_exact_densities_say(
    fitted: dict[str, dict[str, float]], exactly: Truth, likelihood: str, prefix: str
) -> None:
    """Learned from tens of thousands of events a density costs up to a third of the statistical uncertainty of mu."""
    true, found = exactly[likelihood], fitted[likelihood]
    sigma = width(true, prefix)
    assert found[f"{prefix}mu_hat"] == pytest.approx(true[f"{prefix}mu_hat"], abs=0.35 * sigma)
    assert width(found, prefix) == pytest.approx(sigma, rel=0.12)
    for name in KEPT if likelihood != "amplitudes" else ():
        # a constrained parameter: in units of its constraint, of which the data leave 0.6 to 0.9
        assert found[f"{prefix}{name}_hat"] == pytest.approx(true[f"{prefix}{name}_hat"], abs=0.35)


@pytest.mark.slow
@pytest.mark.xdist_group("toy-exact")
def test_the_rate_code_1_and_code_4_are_profiled_alike(fitted: dict[str, dict[str, float]]) -> None:
    """rate_s scales mu: the data say nothing of it, and its best value is that of its constraint."""
    assert fitted["anchors"]["rate_s_hat"] == pytest.approx(0.0, abs=0.01)
    assert fitted["binned"]["rate_s_hat"] == pytest.approx(0.0, abs=0.01)
