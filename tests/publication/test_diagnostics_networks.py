"""Checks of learned ratios on events whose true ratio is known, right and wrong on purpose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import DOCUMENT, synthetic_analysis, write_run

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, write_event_table
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.networks.architecture import Architecture, Weights
from evercast.publication.diagnostics.check import Check
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.fits import fit_checks, selection_checks
from evercast.publication.diagnostics.networks import network_checks
from evercast.publication.diagnostics.overfitting import training_checks
from evercast.publication.report.units import collect_units
from evercast.spec.model import Analysis, Expected

N = 6000


def gaussian_run(folder: Path, *, tilt: float = 0.0, spread: float = 0.05) -> RunContents:
    """A run with S = N(100, 10), B = N(90, 10) and exact ratios to their equal mixture, tilted by `tilt` per width."""
    analysis = synthetic_analysis()
    inputs = write_run(folder, analysis)
    rng = np.random.default_rng(3)
    tables = {}
    for number, (sample, mean) in enumerate((("peak", 100.0), ("fall", 90.0), ("observed", 92.0))):
        columns = np.column_stack([rng.normal(mean, 10.0, N), rng.uniform(-1, 1, N)])
        tables[sample] = EventTable(
            sample=sample, role="data" if sample == "observed" else "simulation", observables=columns,
            weight=np.ones(N), event=np.arange(N, dtype=np.uint64) + np.uint64(number * N),
            regions=np.ones((N, 1), dtype=bool), observable_names=("m", "angle"), observable_units=("GeV", "1"),
            region_names=("SR",),
        )  # fmt: skip
        path = folder / f"selection-gauss-{sample}"
        path.mkdir()
        write_event_table(path / "events.zarr", tables[sample])
        (path / "summary.json").write_bytes((inputs[f"selection/{sample}"] / "summary.json").read_bytes())
        inputs[f"selection/{sample}"] = path
    evaluation = folder / "evaluation-gauss"
    evaluation.mkdir()
    (evaluation / "diagnostics.json").write_bytes((inputs["evaluation/ratios"] / "diagnostics.json").read_bytes())
    for sample, table in tables.items():
        ratio = exact(table.observables[:, 0]) + tilt * ((table.observables[:, 0] - 95.0) / 10.0)[:, None]
        arrays = {
            "log_ratio": ratio.astype(np.float32), "member_spread": np.full(ratio.shape, spread, dtype=np.float32),
            "event": table.event,
        }  # fmt: skip
        write_arrays(evaluation / f"{sample}.zarr", arrays, {"processes": ["S", "B"], "ensemble": "ratios"})
    inputs["evaluation/ratios"] = evaluation
    return RunContents(analysis=analysis, units=collect_units(inputs))


def exact(x: np.ndarray) -> np.ndarray:
    """ln p_j / (p_S / 2 + p_B / 2) for S and B: (events, 2)."""
    slope = (x - 95.0) / 10.0
    return np.column_stack([-np.log(0.5 + 0.5 * np.exp(-slope)), -np.log(0.5 + 0.5 * np.exp(slope))])


def by_id(checks: list[Check]) -> dict[str, Check]:
    return {check.id: check for check in checks}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    return by_id(list(network_checks(gaussian_run(tmp_path_factory.mktemp("right")))))


def test_exact_ratios_raise_no_alarm(right: dict[str, Check]) -> None:
    assert {check.id: check.message for check in right.values() if check.status in ("amber", "red")} == {}
    assert {check.number for check in right.values()} == {2, 3, 4, 5, 6}


def test_wrong_ratios_are_red_where_it_matters(tmp_path: Path) -> None:
    found = by_id(list(network_checks(gaussian_run(tmp_path, tilt=0.6))))
    assert found["calibration.ratios.S"].status == "red"
    assert found["closure.ratios.S"].status == "red"
    assert "in m:" in found["closure.ratios.S"].message
    assert found["two-sample.ratios.S"].status == "red"
    figure = found["closure.ratios.S"].to_json()["figure"]
    assert isinstance(figure, dict)
    assert set(figure["observables"]) == {"m", "angle"}


def test_a_wide_spread_of_the_members_is_seen(tmp_path: Path) -> None:
    found = by_id(list(network_checks(gaussian_run(tmp_path, spread=0.9))))
    check = found["convergence.ratios.S"]
    # two members
    assert check.value == pytest.approx(0.9 / np.sqrt(2), rel=1e-6)
    assert check.status == "red"
    assert "spread / √members" in check.message


def overtrained_weights(table: EventTable, *, memory: float) -> EnsembleWeights:
    """Linear networks; `memory` shifts the logit of fold 0 so that nothing depends on it where it is 0."""
    architecture = Architecture(observables=("m", "angle"), width=2, depth=1, activation="relu")
    first = np.tile(np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32), (1, 2, 1, 1))
    last = np.tile(np.array([[0.5, -0.5]], dtype=np.float32), (1, 2, 1, 1))
    mean = np.tile(np.array([95.0, 0.0], dtype=np.float32), (1, 2, 1))
    scale = np.tile(np.array([10.0, 1.0], dtype=np.float32), (1, 2, 1))
    weights = Weights(
        mean=mean, scale=scale, weight=(first, last),
        bias=(np.zeros((1, 2, 2), np.float32), np.full((1, 2, 1), memory, np.float32)),
    )  # fmt: skip
    labels = {"ensemble": "ratios", "process": "S", "fold_seed": "7"}
    return EnsembleWeights(architecture=architecture, members=(0,), folds=2, weights=weights, labels=labels)


def test_networks_that_know_nothing_of_their_events_pass_the_holdout(tmp_path: Path) -> None:
    run = gaussian_run(tmp_path)
    unit = next(unit for unit in run.units if unit.stage == "training" and "-S-" in unit.name)
    table = run.table("peak")
    assert table is not None
    write_weights(unit.folder / "weights.safetensors", overtrained_weights(table, memory=0.0))
    found = by_id(list(training_checks(run)))
    assert found["holdout.ratios.S"].status == "green"
    assert found["holdout-loss.ratios.S"].status == "green"
    assert found["holdout.ratios.B"].message == "the weights are not there"
    # the loss of this classifier follows from the true densities: about 0.6 for one width apart from the mixture
    value = found["holdout-loss.ratios.S"].figure["holdout"]
    assert isinstance(value, list)
    assert all(0.5 < loss < 0.7 for loss in value)


def without_networks() -> Analysis:
    return synthetic_analysis(ensembles={}, likelihoods={"binned": DOCUMENT["likelihoods"]["binned"]})  # type: ignore[index]


def checks_of_fits(folder: Path, analysis: Analysis) -> dict[str, Check]:
    inputs = write_run(folder, analysis)
    run = RunContents(analysis=replace(analysis, likelihoods={}), units=collect_units(inputs))
    return by_id(list(fit_checks(run)) + list(selection_checks(run)))


def test_declared_numbers_are_compared_under_their_names(tmp_path: Path) -> None:
    declared = {
        "binned.mu_hat": Expected(value=0.91, abs=0.02),
        "binned.significance": Expected(value=3.1, rel=0.01),
        "binned.limit": Expected(value=1.0, abs=0.1),
        "binned.expected_interval_high": Expected(value=1.42, abs=1e-9),
        "binned.norm_b_uncertainty": Expected(value=0.95, abs=1e-9),
    }
    found = checks_of_fits(tmp_path, replace(without_networks(), expected=declared))
    statuses = {key: found[f"declared.{key.replace('.', '_')}"].status for key in declared}
    assert list(statuses.values()) == ["green", "red", "amber", "green", "green"]


def test_few_effective_events_of_a_selection_are_named(tmp_path: Path) -> None:
    found = checks_of_fits(tmp_path, without_networks())
    check = found["selected.peak.SR"]
    assert check.status == "green"
    assert "effective events" in check.message
    assert found["guard.binned"].status == "green"
    assert found["coverage.binned"].status == "not-applicable"
