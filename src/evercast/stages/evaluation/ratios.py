"""Ratios of the processes to the reference mixture."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights
from evercast.errors import NumericalFailure
from evercast.networks.calibration import (
    HistogramCalibration,
    Normalisation,
    fit_histogram_calibration,
    normalisation,
)
from evercast.networks.diagnostics import Sides
from evercast.networks.evaluation import Combined
from evercast.plan.recipes import EvaluationRecipe, Task
from evercast.stages.evaluation.checks import closures, normalisation_json, saturated_networks, side_checks
from evercast.stages.evaluation.inputs import FORMAT, all_log_ratios, networks, read_tables, write_sample

__all__ = ["EvaluatedProcess", "evaluate_process", "evaluate_ratios"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluatedProcess:
    """One process on all samples, with its calibration and its normalisation applied."""

    samples: Mapping[str, Combined]
    calibration: HistogramCalibration | None
    normalisation: Normalisation
    log_norm: float


def evaluate_ratios(task: Task[EvaluationRecipe]) -> None:
    """Write log_ratio and member_spread (events, processes) of every sample, and the checks; errors as the stage."""
    recipe, ensemble = task.recipe, task.recipe.ensemble
    tables = read_tables(task)
    done = {}
    for process in ensemble.processes:
        trained = networks(task, f"block_{process}_", labels={"process": process}, members=ensemble.members)
        done[process] = evaluate_process(task, process, tables, trained)
        _log.info("evaluated %d networks of process %s", len(trained.members) * trained.folds, process)
    for sample, table in tables.items():
        found = [done[process].samples[sample] for process in ensemble.processes]
        arrays = {
            "log_ratio": np.stack([one.log_ratio for one in found], axis=1),
            "member_spread": np.stack([one.member_spread for one in found], axis=1),
        }
        write_sample(task, sample, table, arrays, processes=list(ensemble.processes))
    body = {process: _diagnostics(recipe, process, tables, evaluated) for process, evaluated in done.items()}
    atomic_write_json(task.output / "diagnostics.json", {"format": FORMAT, "ensemble": recipe.name, "processes": body})


def evaluate_process(
    task: Task[EvaluationRecipe],
    process: str,
    tables: Mapping[str, EventTable],
    trained: EnsembleWeights,
    *,
    factors: Mapping[str, Float64[np.ndarray, " _events"]] | None = None,
) -> EvaluatedProcess:
    """Return the log ratios of one process: combined, calibrated if asked for, normalised if asked for.

    Args:
        task: the task.
        process: which.
        tables: events of the samples.
        trained: its networks.
        factors: sample -> factors of the weights with which calibration and normalisation are made (a bootstrap
            replica); None: 1.

    Raises:
        NumericalFailure: ``evaluation.not-finite``, ``evaluation.normalisation``.
    """
    recipe, ensemble = task.recipe, task.recipe.ensemble
    found = all_log_ratios(task, trained, tables, what=f"process {process!r}")
    calibration = None
    if ensemble.calibration == "histogram":
        calibration = _calibration(_sides(recipe, process, tables, found, factors))
        found = {sample: replace(one, log_ratio=calibration(one.log_ratio)) for sample, one in found.items()}
    sides = _sides(recipe, process, tables, found, factors)
    norm = normalisation(sides.reference, sides.reference_weight)
    if not norm.mean > 0.0:
        raise NumericalFailure(
            f"the mean ratio of process {process!r} over the reference is {norm.mean:.6g}; expected about 1",
            code="evaluation.normalisation",
            hint="the negative weights of the reference outweigh the others where the process is; use more events",
        )
    log_norm = float(np.log(norm.mean)) if ensemble.normalise else 0.0
    found = {sample: replace(one, log_ratio=one.log_ratio - log_norm) for sample, one in found.items()}
    return EvaluatedProcess(samples=found, calibration=calibration, normalisation=norm, log_norm=log_norm)


def _sides(
    recipe: EvaluationRecipe,
    process: str,
    tables: Mapping[str, EventTable],
    found: Mapping[str, Combined],
    factors: Mapping[str, Float64[np.ndarray, " _events"]] | None = None,
) -> Sides:
    """Return process and reference with their log ratios; the samples of the reference normalised and weighted."""
    sample = recipe.process_samples[process]
    reference = recipe.ensemble.reference
    weights = {name: tables[name].weight * (1.0 if factors is None else factors[name]) for name in {sample, *reference}}
    return Sides(
        process=found[sample].log_ratio,
        process_weight=weights[sample],
        reference=np.concatenate([found[name].log_ratio for name in reference]),
        reference_weight=np.concatenate(
            [share * weights[name] / np.sum(weights[name]) for name, share in reference.items()]
        ),
    )


def _calibration(sides: Sides) -> HistogramCalibration:
    is_process = np.arange(len(sides.process) + len(sides.reference)) < len(sides.process)
    return fit_histogram_calibration(
        np.concatenate([sides.process, sides.reference]),
        is_process,
        np.concatenate([sides.process_weight, sides.reference_weight]),
    )


def _diagnostics(
    recipe: EvaluationRecipe, process: str, tables: Mapping[str, EventTable], done: EvaluatedProcess
) -> dict[str, object]:
    """Return the checks of one process, on the log ratios as they are handed on."""
    sides = _sides(recipe, process, tables, done.samples)
    spread = np.concatenate([done.samples[name].member_spread for name in recipe.ensemble.reference])
    median, ninety, largest = np.quantile(spread, [0.5, 0.9, 1.0])
    own = tables[recipe.process_samples[process]]
    checks = side_checks(sides)
    curve = checks.pop("calibration")
    return {
        "normalisation": normalisation_json(done.normalisation, done.log_norm),
        **checks,
        "calibration": {
            **(curve if isinstance(curve, dict) else {}),
            "map": done.calibration.to_json() if done.calibration else None,
        },
        "closure": closures(sides, own, [tables[name] for name in recipe.ensemble.reference]),
        "saturated_networks": saturated_networks(done.samples, what=f"process {process!r}"),
        "member_spread": {"median": median, "quantile_90": ninety, "largest": largest},
    }
