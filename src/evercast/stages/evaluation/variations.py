"""Ratios of varied to nominal densities of the processes, for one nuisance parameter."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import atomic_write_json
from evercast.errors import IntegrityError, NumericalFailure
from evercast.networks.calibration import normalisation
from evercast.networks.diagnostics import Sides
from evercast.networks.evaluation import Combined
from evercast.networks.suitability import check_different
from evercast.plan.recipes import Direction, EvaluationRecipe, Task
from evercast.stages.evaluation.checks import closures, normalisation_json, saturated_networks, side_checks
from evercast.stages.evaluation.inputs import (
    FORMAT,
    all_log_ratios,
    events_of,
    log_ratios,
    networks,
    read_table,
    read_tables,
    write_sample,
)

__all__ = ["evaluate_variations"]

_log = logging.getLogger(__name__)
_DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Learned:
    """ln g of one process in one direction on all samples, normalised, and its checks."""

    samples: Mapping[str, Combined]
    checks: Mapping[str, object]


def evaluate_variations(task: Task[EvaluationRecipe]) -> None:
    """Write log_up and log_down (events, processes) of every sample, and the checks; errors as the stage.

    A direction without networks (a two-point systematic has none down) is 0 everywhere; the attribute ``directions``
    says for each process which were learned.
    """
    recipe = task.recipe
    parameter = _parameter(recipe)
    tables = read_tables(task)
    learned = {process: _both(task, parameter, process, tables) for process in recipe.processes}
    directions = {process: list(found) for process, found in learned.items()}
    for sample, table in tables.items():
        arrays = {
            f"log_{direction}": np.stack(
                [
                    found[direction].samples[sample].log_ratio if direction in found else np.zeros(len(table))
                    for found in learned.values()
                ],
                axis=1,
            )
            for direction in _DIRECTIONS
        }
        write_sample(
            task, sample, table, arrays,
            processes=list(recipe.processes), parameter=parameter, directions=directions,
        )  # fmt: skip
    body = {
        process: {direction: dict(one.checks) for direction, one in found.items()} for process, found in learned.items()
    }
    described = {"format": FORMAT, "ensemble": recipe.name, "learned": "variation", "parameter": parameter}
    atomic_write_json(task.output / "diagnostics.json", {**described, "processes": body})


def _parameter(recipe: EvaluationRecipe) -> str:
    if recipe.parameter is None or not recipe.processes:
        raise IntegrityError(
            f"the task names the parameter {recipe.parameter!r} and the processes {list(recipe.processes)}; a "
            "variation needs both",
            code="evaluation.recipe",
        )
    return recipe.parameter


def _both(
    task: Task[EvaluationRecipe], parameter: str, process: str, tables: Mapping[str, EventTable]
) -> dict[Direction, _Learned]:
    """Return the directions that have networks.

    Raises:
        InvalidInput: ``systematic.identical`` where up and down are one and the same.
        IntegrityError: ``evaluation.blocks`` where no direction has networks.
    """
    present = [direction for direction in _DIRECTIONS if f"block.{process}.{direction}.0" in task.inputs]
    if not present:
        raise IntegrityError(
            f"there are no networks of nuisance parameter {parameter!r}, process {process!r}",
            code="evaluation.blocks",
        )
    region = task.recipe.ensemble.region
    varied = {
        direction: read_table(
            task,
            f"varied.{process}.{direction}",
            what=f"process {process!r} in region {region!r}, varied by {parameter!r} {direction}",
        )
        for direction in present
    }
    if len(present) == 2:
        up, down = (events_of(task, varied[direction]) for direction in _DIRECTIONS)
        check_different(up, down, parameter=parameter, process=process, what="up and down")
    return {
        direction: _learned(task, parameter, process, direction, tables, varied[direction]) for direction in present
    }


def _learned(
    task: Task[EvaluationRecipe],
    parameter: str,
    process: str,
    direction: Direction,
    tables: Mapping[str, EventTable],
    varied: EventTable,
) -> _Learned:
    """Return ln g, normalised so that its mean over the nominal events of the process is 1."""
    ensemble = task.recipe.ensemble
    labels = {"process": process, "parameter": parameter, "direction": direction}
    members = ensemble.morphing.members or ensemble.members
    trained = networks(task, f"block.{process}.{direction}.", labels=labels, members=members)
    what = f"process {process!r}, {parameter!r} {direction}"
    found = all_log_ratios(task, trained, tables, what=what)
    _log.info("evaluated %d networks of %s", len(trained.members) * trained.folds, what)
    sample = task.recipe.process_samples[process]
    nominal = tables[sample]
    norm = normalisation(found[sample].log_ratio, nominal.weight)
    if not norm.mean > 0.0:
        raise NumericalFailure(
            f"{what}: the mean of the varied over the nominal density is {norm.mean:.6g} over the nominal events; "
            "expected about 1",
            code="evaluation.normalisation",
            hint="the negative weights outweigh the others where the variation is large; use more events",
        )
    log_norm = float(np.log(norm.mean))
    found = {name: replace(one, log_ratio=one.log_ratio - log_norm) for name, one in found.items()}
    # events that the variation moved are folded by their identity, so out of fold as their nominal selves
    moved = log_ratios(task, trained, varied, what=f"{what}, varied events")
    sides = Sides(
        process=moved.log_ratio - log_norm,
        process_weight=varied.weight,
        reference=found[sample].log_ratio,
        reference_weight=nominal.weight,
    )
    checks = {
        "normalisation": normalisation_json(norm, log_norm),
        **side_checks(sides),
        "closure": closures(sides, varied, [nominal]),
        "saturated_networks": saturated_networks(found, what=what),
    }
    return _Learned(samples=found, checks=checks)
