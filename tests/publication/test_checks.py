"""Verdicts of the checks at their thresholds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import synthetic_analysis, write_run

from evercast.publication.report.checks import Check, all_checks
from evercast.publication.report.page import read_results
from evercast.publication.report.units import collect_units
from evercast.spec.model import Expected


def checks(inputs: dict[str, Path], **declared: Expected) -> list[Check]:
    units = collect_units(inputs)
    found = all_checks(units, read_results(units), nominal={"mu": 1.0}, declared=declared)
    return list(found)


def one(found: list[Check], quantity: str, subject: str) -> Check:
    return next(check for check in found if check.quantity.startswith(quantity) and check.subject == subject)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checks")


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, Path]:
    return write_run(folder, synthetic_analysis())


def change(path: Path, folder: Path, **changes: object) -> Path:
    """A copy of a folder's JSON file with the entries of its first process, or its top level, changed."""
    folder.mkdir(parents=True, exist_ok=True)
    body = json.loads(path.read_text())
    target = body["processes"]["S"] if "processes" in body else body
    target.update(changes)
    (folder / path.name).write_text(json.dumps(body))
    return folder


def test_a_good_run_gives_no_complaint(inputs: dict[str, Path]) -> None:
    assert [check for check in checks(inputs) if check.verdict != "good"] == []


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [(1.019, 0.001, "good"), (1.05, 0.02, "good"), (1.05, 0.001, "look"), (1.2, 0.01, "bad"), (0.8, 0.05, "look")],
)
def test_the_normalisation_is_judged_by_its_error_and_its_size(
    inputs: dict[str, Path], tmp_path: Path, mean: float, error: float, verdict: str
) -> None:
    path = inputs["evaluation/ratios"] / "diagnostics.json"
    changed = change(path, tmp_path / "evaluation", normalisation={"mean": mean, "error": error, "log_norm": 0.0})
    found = checks(inputs | {"evaluation/ratios": changed})
    assert one(found, "E_ref[r]", "ratios: S").verdict == verdict


@pytest.mark.parametrize(
    ("moved", "error", "verdict"), [(0.2, 0.2, "good"), (0.01, 1e-4, "good"), (0.03, 1e-4, "look"), (0.2, 1e-4, "bad")]
)
def test_closure_is_good_within_statistics_or_where_little_is_misplaced(
    inputs: dict[str, Path], tmp_path: Path, moved: float, error: float, verdict: str
) -> None:
    chi2 = 2 * (moved / error) ** 2
    closure = {
        "edges": [0, 1, 2], "target": [0.5, 0.5], "target_error": [error, error],
        "reweighted": [0.5 + moved, 0.5 - moved],
        "reweighted_error": [0.0, 0.0], "chi2": chi2, "bins": 2,
    }  # fmt: skip
    path = inputs["evaluation/ratios"] / "diagnostics.json"
    changed = change(path, tmp_path / "evaluation", closure={"m": closure})
    found = checks(inputs | {"evaluation/ratios": changed})
    assert one(found, "closure in m", "ratios: S").verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(1.05, "good"), (1.1, "look"), (1.5, "bad")])
def test_asimov_closure_is_judged_in_expected_errors(
    inputs: dict[str, Path], tmp_path: Path, value: float, verdict: str
) -> None:
    path = inputs["fit/neural"] / "result.json"
    expected = json.loads(path.read_text())["expected"]
    expected["fit"]["parameters"]["mu"]["value"] = value
    found = checks(inputs | {"fit/neural": change(path, tmp_path / "fit", expected=expected)})
    assert one(found, "Asimov closure", "neural").verdict == verdict


def test_numbers_the_document_declares_are_compared(inputs: dict[str, Path]) -> None:
    declared = {
        "binned.mu_hat": Expected(value=0.91, abs=0.02), "binned.significance": Expected(value=3.1, rel=0.01),
        "neural.limit": Expected(value=1.0, abs=0.1),
    }  # fmt: skip
    found = [check for check in checks(inputs, **declared) if "declared" in check.quantity]
    assert [check.verdict for check in found] == ["good", "bad", "look"]


def test_numbers_of_every_parameter_and_of_asimov_data_can_be_declared(inputs: dict[str, Path]) -> None:
    result = json.loads((inputs["fit/neural"] / "result.json").read_text())
    observed, expected = result["observed"], result["expected"]
    name, nuisance = next((key, item) for key, item in observed["fit"]["parameters"].items() if key != "mu")
    declared = {
        f"neural.{name}_hat": Expected(value=nuisance["value"], abs=1e-9),
        "neural.interval_low": Expected(value=observed["interval"]["low"], abs=1e-9),
        "neural.expected_interval_high": Expected(value=expected["interval"]["high"], abs=1e-9),
        "neural.expected_mu_uncertainty": Expected(value=1e6, abs=1.0),
    }
    found = [check for check in checks(inputs, **declared) if "declared" in check.quantity]
    assert [check.verdict for check in found] == ["good", "good", "good", "bad"]


def test_a_parameter_at_its_bound_is_named(inputs: dict[str, Path], tmp_path: Path) -> None:
    path = inputs["fit/binned"] / "result.json"
    observed = json.loads(path.read_text())["observed"]
    observed["fit"]["parameters"]["mu"]["at_bound"] = True
    found = checks(inputs | {"fit/binned": change(path, tmp_path / "fit", observed=observed, status="at-bound")})
    check = one(found, "parameters at a bound", "binned")
    assert (check.value, check.verdict) == ("mu", "look")
    assert one(found, "fit guard", "binned").verdict == "good"


def test_few_effective_events_are_named(folder: Path) -> None:
    inputs = write_run(folder / "small", replace(synthetic_analysis(), name="small"))
    path = inputs["selection/peak"] / "summary.json"
    body = json.loads(path.read_text())
    body["regions"]["SR"]["effective_sample_size"] = 9.0
    path.write_text(json.dumps(body))
    assert one(checks(inputs), "effective sample size", "peak in SR").verdict == "bad"
