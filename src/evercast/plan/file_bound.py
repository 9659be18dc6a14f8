"""How many files a run writes at most: bounded by its units, whatever the number of networks in them."""

from __future__ import annotations

from typing import Final

from evercast.plan.jobs import jobs_of
from evercast.plan.model import Plan, Unit
from evercast.plan.recipes import EvaluationRecipe, SelectionRecipe, TrainingRecipe

__all__ = ["file_bound"]

_OTHER: Final = 60
"""Files of a unit of another stage: a report with its plots, a published likelihood without its columns."""

_RUN: Final = 600
"""Frozen plan, settings, compiled functions, what is published beside the likelihood."""

_OF_A_JOB: Final = 3
"""Log, marker, error."""

_OF_A_UNIT: Final = 3
"""Lock, lease and marker while it runs; the lock stays."""


def file_bound(plan: Plan, *, shards: int = 1) -> int:
    """Return the largest number of files that a run of the plan leaves.

    A selection leaves 8 + 4 s files (four arrays of s shards of 131,072 events, their descriptions, summary, receipt),
    a block of networks 3 whatever their number (weights, history, receipt), an evaluation 2 + n (5 + 3 s) for n
    samples (three arrays each). Every unit has a lock, a lease and a marker, every job a log and a marker.

    Args:
        plan: the plan.
        shards: shards of the largest table of events, one for each 131,072 events that are selected.
    """
    units = sum(_of_unit(unit, shards) + _OF_A_UNIT for unit in plan.units)
    return units + _OF_A_JOB * len(jobs_of(plan.units)) + _RUN


def _of_unit(unit: Unit, shards: int) -> int:
    recipe = unit.recipe
    if isinstance(recipe, SelectionRecipe):
        return 8 + 4 * shards
    if isinstance(recipe, TrainingRecipe):
        return 3
    if isinstance(recipe, EvaluationRecipe):
        return 2 + len(recipe.samples) * (5 + 3 * shards)
    return _OTHER
