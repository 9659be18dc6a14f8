"""Two runs against each other: what counts as the same, and where a difference is said to begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from replays import compared, copied, edit, receipt, rewrite, shifted_bias, side

from evercast.reinterpretation.compare import Comparison, compare_runs
from evercast.reinterpretation.units import UnitComparison


def unit(comparison: Comparison, stage: str, name: str) -> UnitComparison:
    return next(item for item in comparison.units if (item.stage, item.name) == (stage, name))


def origins(comparison: Comparison) -> list[str]:
    return [f"{origin.stage}/{origin.name}" for origin in comparison.reasons.origins]


def test_a_run_is_the_same_as_itself(toy_run: Path) -> None:
    comparison = compared(toy_run, toy_run)
    assert comparison.verdict == "same-bits"
    assert {stage.verdict for stage in comparison.stages} == {"same-bits"}
    assert comparison.reasons.origins == comparison.reasons.without_effect == ()


def test_other_versions_without_effect_are_named_as_such(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")

    def older(body: Any) -> None:
        body["versions"]["scipy"] = "1.14.0"

    for place in other.glob("results/toy/work/*/*/receipt.json"):
        edit(place, older)
    comparison = compared(other, toy_run)
    assert comparison.verdict == "same-bits"
    (cause,) = comparison.reasons.without_effect
    assert (cause.kind, cause.name, cause.old) == ("version", "scipy", "1.14.0")


@pytest.mark.parametrize(
    ("shift", "verdict"), [(1e-7, "numeric"), (1e-3, "statistical"), (3.0, "differs")], ids=["rounding", "noise", "far"]
)
def test_networks_are_judged_by_what_they_say_of_events(
    toy_run: Path, tmp_path: Path, shift: float, verdict: str
) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(shift))
    comparison = compared(toy_run, other)
    judged = unit(comparison, "training", "ratios-S-0")
    assert judged.verdict == comparison.verdict == verdict
    assert origins(comparison) == ["training/ratios-S-0"]
    if judged.retrained is not None:
        assert judged.retrained.rms == pytest.approx(shift, rel=1e-3)
        assert judged.retrained.noise is not None
        assert (judged.retrained.rms > 3 * judged.retrained.noise) == (verdict == "differs")
    assert unit(comparison, "training", "ratios-B-0").verdict == "same-bits"


def moved(quantity: str, by: float) -> Any:
    def change(body: Any) -> None:
        body["observed"]["fit"]["parameters"]["mu"][quantity] += by

    return lambda path: edit(path, change)


@pytest.mark.parametrize(("sigmas", "verdict"), [(5e-4, "numeric"), (2e-3, "differs")])
def test_a_result_is_judged_in_units_of_its_uncertainty(
    toy_run: Path, tmp_path: Path, sigmas: float, verdict: str
) -> None:
    sigma = unit_uncertainty(toy_run)
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "fit", "binned", "result.json", moved("value", sigmas * sigma))
    judged = unit(compared(toy_run, other), "fit", "binned")
    (row,) = (row for row in judged.rows if row.quantity == "mu_hat")
    assert judged.verdict == row.verdict == verdict
    assert row.difference == pytest.approx(sigmas * sigma)
    assert row.tolerance == pytest.approx(1e-3 * sigma)
    assert row.rule == "0.001 sigma"


def test_results_of_networks_trained_anew_have_a_wider_tolerance(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(1e-3))
    rewrite(other, "serialization", "likelihood", "likelihood/neural/README.md", lambda path: path.write_text("other"))
    rewrite(other, "serialization", "likelihood", "likelihood/workspace.json", text_of_workspace)
    rewrite(other, "fit", "neural", "result.json", moved("value", 2e-3 * 0.16))
    comparison = compared(toy_run, other)
    judged = unit(comparison, "fit", "neural")
    (row,) = (row for row in judged.rows if row.quantity == "mu_hat")
    assert (judged.verdict, row.verdict) == ("statistical", "statistical")
    assert row.rule in ("0.1 sigma", "3 bootstrap errors of the ensembles")
    assert unit(comparison, "serialization", "likelihood").follows == (("training", "ratios-S-0"),)


def text_of_workspace(path: Path) -> None:
    edit(path, lambda body: body["observations"][0]["data"].__setitem__(0, -1.0))


def unit_uncertainty(run: Path) -> float:
    body = json.loads((receipt(run, "fit", "binned").parent / "result.json").read_text())
    value: float = body["observed"]["fit"]["parameters"]["mu"]["uncertainty"]
    return value


def test_counts_must_be_equal(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")

    def one_more(body: Any) -> None:
        body["cut_flow"][2]["events"] += 1

    rewrite(other, "selection", "signal", "summary.json", lambda path: edit(path, one_more))
    judged = unit(compared(toy_run, other), "selection", "signal")
    assert judged.verdict == "differs"
    assert "summary.json: 1 of" in judged.text


def test_what_nobody_recorded_is_said_to_be_unknown(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "command", "events-signal", "events.csv", lambda path: path.write_text("x,y\n1,2\n"))
    comparison = compared(toy_run, other)
    (origin,) = comparison.reasons.origins
    assert (origin.stage, origin.name) == ("command", "events-signal")
    assert [cause.kind for cause in origin.causes] == ["unknown"]


def test_code_default_device_and_machine_are_named(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(1e-3))

    def on_a_gpu(body: Any) -> None:
        body["device"]["platform"] = "gpu"
        body["versions"]["pyhf"] = "0.8.0"

    edit(receipt(other, "training", "ratios-S-0"), on_a_gpu)
    old = side(
        toy_run, machine={"instructions": "avx2"}, defaults={"test_stat": "'qtilde'"},
        code={"src/evercast/stages/training/__init__.py": "a", "src/evercast/stages/fit.py": "a"},
    )  # fmt: skip
    new = side(
        other, machine={"instructions": "avx512f"}, defaults={"test_stat": "'q'"},
        code={"src/evercast/stages/training/__init__.py": "b", "src/evercast/stages/fit.py": "b"},
    )  # fmt: skip
    (origin,) = compare_runs(old, new).reasons.origins
    found = {cause.kind: cause for cause in origin.causes}
    assert found["device"].new == "gpu"
    assert found["version"].new == "0.8.0"
    assert found["default"].old == "'qtilde'"
    assert found["machine"].new == "avx512f"
    assert found["code"].name == "src/evercast/stages/training/__init__.py"
