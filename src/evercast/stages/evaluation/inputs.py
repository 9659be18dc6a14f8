"""What an evaluation reads: the events of the samples, and the networks of its training blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from evercast.artifacts.arrays import write_arrays
from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import IntegrityError, NumericalFailure
from evercast.networks.architecture import concatenate_members
from evercast.networks.dataset import Events
from evercast.networks.device import network_devices, network_strategy
from evercast.networks.evaluation import Combined, Sample, ensemble_log_ratio, ensemble_log_ratios
from evercast.networks.folds import CrossFitting
from evercast.networks.suitability import check_events
from evercast.plan.recipes import EvaluationRecipe, Task

__all__ = [
    "FORMAT",
    "all_log_ratios",
    "events_of",
    "folds_of",
    "log_ratios",
    "networks",
    "read_table",
    "read_tables",
    "write_sample",
]

FORMAT: Final = "evaluation/1.1.0"


def read_tables(task: Task[EvaluationRecipe]) -> dict[str, EventTable]:
    """Return the events of every sample in the region of the ensemble.

    Raises:
        InvalidInput: ``training.*`` where nothing can be done with them.
        IntegrityError: a table is damaged.
    """
    region = task.recipe.ensemble.region
    return {
        sample: read_table(task, f"sample_{sample}", what=f"sample {sample!r} in region {region!r}")
        for sample in task.recipe.samples
    }


def read_table(task: Task[EvaluationRecipe], key: str, *, what: str) -> EventTable:
    """Return the events of the input `key` in the region of the ensemble; errors as `read_tables`."""
    ensemble = task.recipe.ensemble
    table = read_event_table(task.inputs[key] / "events.zarr").in_region(ensemble.region)
    check_events(events_of(task, table), names=ensemble.observables, what=what)
    return table


def events_of(task: Task[EvaluationRecipe], table: EventTable) -> Events:
    """Return the events of a table as the networks see them."""
    observables = table.columns(task.recipe.ensemble.observables)
    return Events(observables=observables, weight=table.weight, event=table.event)


def networks(task: Task[EvaluationRecipe], prefix: str, *, labels: Mapping[str, str], members: int) -> EnsembleWeights:
    """Return all members from the blocks ``PREFIX0``, ``PREFIX1``, ...

    Args:
        task: with the blocks among its inputs.
        prefix: of their names.
        labels: what the weights must say of themselves besides the ensemble and the folds.
        members: how many there must be, 0 to members - 1, each once.

    Raises:
        IntegrityError: ``evaluation.blocks`` where a block is of another ensemble, or members are missing or double.
    """
    recipe = task.recipe
    blocks: list[EnsembleWeights] = []
    while (key := f"{prefix}{len(blocks)}") in task.inputs:
        blocks.append(read_weights(task.inputs[key] / "weights.safetensors"))
    there = tuple(member for block in blocks for member in block.members)
    expected = {"ensemble": recipe.name, **labels}
    wrong = [
        block
        for block in blocks
        if block.architecture.observables != recipe.ensemble.observables
        or block.folds != recipe.ensemble.folds
        or {name: value for name, value in block.labels.items() if name != "fold_seed"} != expected
        or block.labels != blocks[0].labels
        or block.architecture != blocks[0].architecture
    ]
    if wrong or sorted(there) != list(range(members)):
        what = ", ".join(f"{name} {value!r}" for name, value in labels.items())
        raise IntegrityError(
            f"the blocks of {what} hold the members {list(there)} and {len(wrong)} blocks of another "
            f"ensemble; expected members 0 to {members - 1} of {recipe.name!r}",
            code="evaluation.blocks",
            hint="train the blocks of this ensemble again",
        )
    return EnsembleWeights(
        architecture=blocks[0].architecture,
        members=there,
        folds=blocks[0].folds,
        weights=concatenate_members([block.weights for block in blocks]),
        labels=blocks[0].labels,
    )


def folds_of(trained: EnsembleWeights, table: EventTable) -> Int64[np.ndarray, " events"] | None:
    """Return the fold of each event; None for observed events, which no network has seen."""
    if table.role == "data" and not table.drawn:
        return None
    return CrossFitting(folds=trained.folds, seed=int(trained.labels["fold_seed"])).fold_of(table.event)


def log_ratios(task: Task[EvaluationRecipe], trained: EnsembleWeights, table: EventTable, *, what: str) -> Combined:
    """Return the combined log ratios of the events of a table.

    Args:
        task: for the observables and the combination.
        trained: the networks.
        table: the events, in the region of the ensemble.
        what: networks and sample in words, for the message of an error.

    Raises:
        NumericalFailure: ``evaluation.not-finite`` with process, sample, member and fold.
    """
    ensemble = task.recipe.ensemble
    try:
        return ensemble_log_ratio(
            trained.architecture,
            trained.weights,
            table.columns(ensemble.observables),
            folds_of(trained, table),
            combine=ensemble.combine,
            strategy=network_strategy(),
            devices=network_devices(),
        )
    except NumericalFailure as err:
        raise NumericalFailure(f"{what}: {err.message}", code=err.code, hint=err.hint) from err


def all_log_ratios(
    task: Task[EvaluationRecipe], trained: EnsembleWeights, tables: Mapping[str, EventTable], *, what: str
) -> dict[str, Combined]:
    """Return sample -> the combined log ratios of its events, which are evaluated together; as `log_ratios`."""
    ensemble = task.recipe.ensemble
    samples = [
        Sample(observables=table.columns(ensemble.observables), fold=folds_of(trained, table))
        for table in tables.values()
    ]
    try:
        done = ensemble_log_ratios(
            trained.architecture,
            trained.weights,
            samples,
            combine=ensemble.combine,
            strategy=network_strategy(),
            devices=network_devices(),
        )
    except NumericalFailure:  # one by one, for a message that names the sample
        done = [log_ratios(task, trained, table, what=f"{what}, sample {sample!r}") for sample, table in tables.items()]
    return dict(zip(tables, done, strict=True))


def write_sample(
    task: Task[EvaluationRecipe],
    sample: str,
    table: EventTable,
    arrays: Mapping[str, NDArray[np.floating]],
    **attributes: object,
) -> None:
    """Write ``SAMPLE.zarr``: the arrays in float32, the identities of the events, and what they are.

    Raises:
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    single: dict[str, NDArray[np.generic]] = {name: array.astype(np.float32) for name, array in arrays.items()}
    described = {
        "format": FORMAT,
        "ensemble": task.recipe.name,
        "sample": sample,
        "region": task.recipe.ensemble.region,
        **attributes,
    }
    write_arrays(task.output / f"{sample}.zarr", {**single, "event": table.event}, described)
