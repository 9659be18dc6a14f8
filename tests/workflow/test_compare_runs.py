"""Two runs against each other: what counts as the same, and where a difference is said to begin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replays import compared, copied, edit, receipt, rewrite, shifted_bias, side

from evercast.artifacts.weights import read_weights, write_weights
from evercast.networks.architecture import Weights
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
    assert comparison.reproduced is (verdict != "differs")
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
    stored = unit(comparison, "serialization", "likelihood")
    assert stored.follows == (("training", "ratios-S-0"),)
    assert (stored.verdict, comparison.reproduced) == ("not-compared", True)
    assert comparison.words == "within tolerance (statistical), 1 unit not compared"


def wrecked(value: Any) -> Any:
    """The same with every fraction far away, every flag turned and every status bad."""
    if isinstance(value, dict):
        return {key: wrecked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [wrecked(part) for part in value]
    if isinstance(value, bool):
        return not value
    return 1e9 if isinstance(value, float) else {"green": "red", "ok": "failed"}.get(str(value), value)


def wreck(path: Path) -> None:
    path.write_text(json.dumps(wrecked(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("stage", "name", "file", "said"),
    [
        ("training_statistics", "neural", "result.json", "$.expected.poi_value"),
        ("diagnostics", "diagnostics", "diagnostics.json", "green -> red"),
    ],
)
def test_what_follows_networks_trained_anew_is_judged_as_well(
    toy_run: Path, tmp_path: Path, stage: str, name: str, file: str, said: str
) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(1e-3))
    rewrite(other, "serialization", "likelihood", "likelihood/workspace.json", text_of_workspace)
    rewrite(other, "evaluation", "ratios", "diagnostics.json", wreck)
    rewrite(other, "fit", "neural", "result.json", moved("value", 2e-3 * 0.16))
    comparison = compared(toy_run, other)
    assert (comparison.verdict, comparison.reproduced, comparison.not_compared) == ("statistical", True, 2)
    rewrite(other, stage, name, file, wreck)
    comparison = compared(toy_run, other)
    judged = unit(comparison, stage, name)
    assert (comparison.verdict, comparison.reproduced, judged.verdict) == ("differs", False, "differs")
    assert said in judged.text


def test_training_statistics_of_other_networks_are_judged_in_units_of_the_uncertainty(
    toy_run: Path, tmp_path: Path
) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(1e-3))
    rewrite(other, "serialization", "likelihood", "likelihood/workspace.json", text_of_workspace)

    def little(body: Any) -> None:
        body["expected"]["poi_value"] += 0.05 * body["expected"]["sigma"]

    rewrite(other, "training_statistics", "neural", "result.json", lambda path: edit(path, little))
    judged = unit(compared(toy_run, other), "training_statistics", "neural")
    assert judged.verdict == "statistical"
    (row,) = (row for row in judged.rows if row.verdict == "statistical")
    assert (row.quantity, row.rule) == ("$.expected.poi_value", "0.1 sigma")


def test_what_was_not_compared_is_counted_and_never_good(toy_run: Path, tmp_path: Path) -> None:
    old = copied(toy_run, tmp_path / "old")
    receipt(old, "training", "ratios-S-0").unlink()
    comparison = compared(old, toy_run)
    assert (comparison.words, comparison.reproduced) == ("same bits, 1 unit not compared", True)
    receipt(old, "fit", "neural").unlink()
    comparison = compared(old, toy_run)
    assert (comparison.words, comparison.reproduced) == ("same bits, 2 units not compared", False)
    of_stage = compare_runs(side(old), side(toy_run), stages=("training",))
    assert (of_stage.verdict, of_stage.reproduced) == ("same-bits", False)
    report = compare_runs(side(old), side(toy_run), stages=("report",))
    assert (report.verdict, report.reproduced) == ("same-bits", True)


def test_a_report_alone_is_no_difference(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")
    (name,) = (item.name for item in side(toy_run).plan.of_stage("report"))
    rewrite(other, "report", name, "report.html", lambda path: path.write_text("another"))
    comparison = compare_runs(side(toy_run), side(other), stages=("report",))
    assert (comparison.verdict, comparison.reproduced) == ("not-compared", None)
    assert compared(toy_run, other).reproduced is True


def test_what_differs_later_on_is_named_too(toy_run: Path, tmp_path: Path) -> None:
    other = copied(toy_run, tmp_path / "other")
    rewrite(other, "training", "ratios-S-0", "weights.safetensors", shifted_bias(1e-3))
    rewrite(other, "serialization", "likelihood", "likelihood/workspace.json", text_of_workspace)
    rewrite(other, "fit", "neural", "result.json", moved("value", 2e-3 * 0.16))
    edit(receipt(other, "fit", "neural"), lambda body: body["versions"].update(iminuit="1.0.0"))
    comparison = compared(toy_run, other)
    assert origins(comparison) == ["training/ratios-S-0", "fit/neural"]
    assert [(cause.kind, cause.name) for cause in comparison.reasons.origins[1].causes] == [("version", "iminuit")]
    assert comparison.reasons.without_effect == ()


@pytest.mark.parametrize(("shift", "verdict"), [(8e-6, "numeric"), (1e-3, "differs"), (25.0, "differs")])
def test_a_single_network_has_to_say_the_same_within_rounding(
    toy_run: Path, tmp_path: Path, shift: float, verdict: str
) -> None:
    runs = [copied(toy_run, tmp_path / name) for name in ("old", "new")]
    for run in runs:
        rewrite(run, "training", "ratios-S-0", "weights.safetensors", first_network)
    rewrite(runs[1], "training", "ratios-S-0", "weights.safetensors", shifted_bias(shift))
    rewrite(runs[1], "training", "ratios-S-0", "training.json", lambda path: edit(path, one_more_epoch))
    judged = unit(compared(*runs), "training", "ratios-S-0")
    assert judged.verdict == verdict
    assert judged.retrained is not None
    assert (judged.retrained.networks, judged.retrained.noise) == (1, None)
    assert judged.retrained.rms == pytest.approx(shift, rel=0.02)
    assert "no spread" in judged.text


def one_more_epoch(body: Any) -> None:
    body["another"] = 1


def first_network(path: Path) -> None:
    """Keep one network of a file of weights."""
    found = read_weights(path)
    parts = ([array[:1, :1] for array in part] for part in (found.weights.weight, found.weights.bias))
    weight, bias = (tuple(part) for part in parts)
    weights = Weights(mean=found.weights.mean[:1, :1], scale=found.weights.scale[:1, :1], weight=weight, bias=bias)
    path.unlink()
    write_weights(path, replace(found, members=found.members[:1], folds=1, weights=weights))


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
