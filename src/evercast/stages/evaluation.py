"""Stage evaluation: the log ratios of every sample from all networks of an ensemble, and what they are worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import IntegrityError, NumericalFailure
from evercast.networks.architecture import concatenate_members
from evercast.networks.calibration import (
    HistogramCalibration,
    Normalisation,
    fit_histogram_calibration,
    normalisation,
)
from evercast.networks.dataset import Events, check_events, effective_sample_size
from evercast.networks.device import network_strategy
from evercast.networks.diagnostics import (
    Sides,
    area_under_curve,
    calibration_curve,
    closure,
    reweighted_sample_size,
    saturated_fraction,
)
from evercast.networks.evaluation import Combined, ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.plan.recipes import EvaluationRecipe, Task
from evercast.runtime.device import configure_device

__all__ = ["run"]

_log = logging.getLogger(__name__)
_FORMAT: Final = "evaluation/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Evaluated:
    """One process on all samples, with its calibration and its normalisation applied."""

    samples: Mapping[str, Combined]
    calibration: HistogramCalibration | None
    normalisation: Normalisation
    log_norm: float


def run(task: Task[EvaluationRecipe]) -> None:
    """Evaluate the ensemble and write ``SAMPLE.zarr`` for each sample and ``diagnostics.json``.

    Raises:
        IntegrityError: an input is damaged, or blocks do not make up the ensemble (``evaluation.blocks``).
        InvalidInput: ``training.*`` or ``evaluation.*``, events that cannot be evaluated.
        NumericalFailure: ``evaluation.not-finite`` or ``evaluation.normalisation``.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    recipe = task.recipe
    configure_device(threads=task.threads, cache=task.checkpoint.parents[1] / ".compiled")
    tables = _tables(task)
    done = {process: _evaluate(task, process, tables) for process in recipe.ensemble.processes}
    for sample, table in tables.items():
        _write_sample(task, sample, table, [done[process].samples[sample] for process in recipe.ensemble.processes])
    body = {process: _diagnostics(recipe, process, tables, evaluated) for process, evaluated in done.items()}
    atomic_write_json(task.output / "diagnostics.json", {"format": _FORMAT, "ensemble": recipe.name, "processes": body})


def _tables(task: Task[EvaluationRecipe]) -> dict[str, EventTable]:
    """Return the events of every sample in the region of the ensemble."""
    ensemble = task.recipe.ensemble
    tables = {}
    for sample in task.recipe.samples:
        table = read_event_table(task.inputs[f"sample_{sample}"] / "events.zarr").in_region(ensemble.region)
        what = f"sample {sample!r} in region {ensemble.region!r}"
        events = Events(observables=table.columns(ensemble.observables), weight=table.weight, event=table.event)
        check_events(events, names=ensemble.observables, what=what)
        tables[sample] = table
    return tables


def _networks(task: Task[EvaluationRecipe], process: str) -> EnsembleWeights:
    """Return all members of a process from its blocks.

    Raises:
        IntegrityError: ``evaluation.blocks`` where a block is of another ensemble, or members are missing or double.
    """
    recipe = task.recipe
    blocks: list[EnsembleWeights] = []
    while (key := f"block_{process}_{len(blocks)}") in task.inputs:
        blocks.append(read_weights(task.inputs[key] / "weights.safetensors"))
    members = tuple(member for block in blocks for member in block.members)
    expected = {"ensemble": recipe.name, "process": process}
    wrong = [
        block
        for block in blocks
        if block.architecture.observables != recipe.ensemble.observables
        or block.folds != recipe.ensemble.folds
        or {name: block.labels.get(name) for name in expected} != expected
        or block.labels != blocks[0].labels
        or block.architecture != blocks[0].architecture
    ]
    if wrong or sorted(members) != list(range(recipe.ensemble.members)):
        raise IntegrityError(
            f"the blocks of process {process!r} hold the members {list(members)} and {len(wrong)} blocks of another "
            f"ensemble; expected members 0 to {recipe.ensemble.members - 1} of {recipe.name!r}",
            code="evaluation.blocks",
            hint="train the blocks of this ensemble again",
        )
    return EnsembleWeights(
        architecture=blocks[0].architecture,
        members=members,
        folds=blocks[0].folds,
        weights=concatenate_members([block.weights for block in blocks]),
        labels=blocks[0].labels,
    )


def _evaluate(task: Task[EvaluationRecipe], process: str, tables: Mapping[str, EventTable]) -> _Evaluated:
    """Return the log ratios of one process: combined, calibrated if asked for, normalised if asked for."""
    recipe, ensemble = task.recipe, task.recipe.ensemble
    networks = _networks(task, process)
    folds = CrossFitting(folds=networks.folds, seed=int(networks.labels["fold_seed"]))
    found = {}
    for sample, table in tables.items():
        found[sample] = ensemble_log_ratio(
            networks.architecture,
            networks.weights,
            table.columns(ensemble.observables),
            folds.fold_of(table.event) if recipe.roles[sample] == "simulation" or table.drawn else None,
            combine=ensemble.combine,
            strategy=network_strategy(),
        )
    _log.info("evaluated %d networks of process %s", len(networks.members) * networks.folds, process)
    calibration = None
    if ensemble.calibration == "histogram":
        calibration = _calibration(_sides(recipe, process, tables, found))
        found = {sample: _shifted(one, calibration(one.log_ratio)) for sample, one in found.items()}
    sides = _sides(recipe, process, tables, found)
    norm = normalisation(sides.reference, sides.reference_weight)
    if not norm.mean > 0.0:
        raise NumericalFailure(
            f"the mean ratio of process {process!r} over the reference is {norm.mean:.6g}; expected about 1",
            code="evaluation.normalisation",
            hint="the negative weights of the reference outweigh the others where the process is; use more events",
        )
    log_norm = float(np.log(norm.mean)) if ensemble.normalise else 0.0
    found = {sample: _shifted(one, one.log_ratio - log_norm) for sample, one in found.items()}
    return _Evaluated(samples=found, calibration=calibration, normalisation=norm, log_norm=log_norm)


def _shifted(combined: Combined, log_ratio: Float64[np.ndarray, " events"]) -> Combined:
    return Combined(log_ratio=log_ratio, member_spread=combined.member_spread)


def _sides(
    recipe: EvaluationRecipe, process: str, tables: Mapping[str, EventTable], found: Mapping[str, Combined]
) -> Sides:
    """Return process and reference with their log ratios; the samples of the reference normalised and weighted."""
    sample = recipe.process_samples[process]
    reference = recipe.ensemble.reference
    return Sides(
        process=found[sample].log_ratio,
        process_weight=tables[sample].weight,
        reference=np.concatenate([found[name].log_ratio for name in reference]),
        reference_weight=np.concatenate(
            [share * tables[name].weight / np.sum(tables[name].weight) for name, share in reference.items()]
        ),
    )


def _calibration(sides: Sides) -> HistogramCalibration:
    is_process = np.arange(len(sides.process) + len(sides.reference)) < len(sides.process)
    return fit_histogram_calibration(
        np.concatenate([sides.process, sides.reference]),
        is_process,
        np.concatenate([sides.process_weight, sides.reference_weight]),
    )


def _write_sample(task: Task[EvaluationRecipe], sample: str, table: EventTable, processes: list[Combined]) -> None:
    ensemble = task.recipe.ensemble
    arrays = {
        "log_ratio": np.stack([one.log_ratio for one in processes], axis=1).astype(np.float32),
        "member_spread": np.stack([one.member_spread for one in processes], axis=1).astype(np.float32),
        "event": table.event,
    }
    attributes = {
        "format": _FORMAT,
        "ensemble": task.recipe.name,
        "sample": sample,
        "region": ensemble.region,
        "processes": list(ensemble.processes),
    }
    write_arrays(task.output / f"{sample}.zarr", arrays, attributes)


def _diagnostics(
    recipe: EvaluationRecipe, process: str, tables: Mapping[str, EventTable], done: _Evaluated
) -> dict[str, object]:
    """Return the checks of one process, on the log ratios as they are handed on."""
    sides = _sides(recipe, process, tables, done.samples)
    curve = calibration_curve(sides).to_json()
    spread = np.concatenate([done.samples[name].member_spread for name in recipe.ensemble.reference])
    median, ninety, largest = np.quantile(spread, [0.5, 0.9, 1.0])
    return {
        "normalisation": {
            "mean": done.normalisation.mean,
            "error": done.normalisation.error,
            "log_norm": done.log_norm,
        },
        "effective_sample_size": {
            "process": effective_sample_size(sides.process_weight),
            "reference": effective_sample_size(sides.reference_weight),
            "reweighted_reference": reweighted_sample_size(sides),
        },
        "calibration": {**curve, "map": done.calibration.to_json() if done.calibration else None},
        "closure": _closures(recipe, process, tables, sides),
        "auc": area_under_curve(sides),
        "auc_closure": None,
        "saturated_fraction": saturated_fraction(sides),
        "largest_log_ratio": float(max(np.max(np.abs(sides.process)), np.max(np.abs(sides.reference)))),
        "member_spread": {"median": median, "quantile_90": ninety, "largest": largest},
    }


def _closures(
    recipe: EvaluationRecipe, process: str, tables: Mapping[str, EventTable], sides: Sides
) -> dict[str, object]:
    """Return the reweighting closure of every observable of the events, also of those the networks do not see."""
    sample = recipe.process_samples[process]
    closures: dict[str, object] = {}
    for name in tables[sample].observable_names:
        own = tables[sample].columns([name])[:, 0]
        reference = np.concatenate([tables[other].columns([name])[:, 0] for other in recipe.ensemble.reference])
        if not (np.isfinite(own).all() and np.isfinite(reference).all()):
            continue
        found = closure(sides, own, reference)
        if found is not None:
            closures[name] = found.to_json()
    return closures
