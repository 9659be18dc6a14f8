"""Jobs: which units are run one after the other by one process.

A unit is what has a key; a job is what a scheduler sees. One job for each unit is fine for some hundred units. Where a
stage has more of them, the short ones share jobs: these start once, read their libraries once and compile once for all
networks of one form. Keys know nothing of jobs: a job that died, or that got more units by a new systematic, goes on
with the units that are not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evercast.plan.cost import joint_resources
from evercast.plan.keys import canonical_digest, unit_id
from evercast.plan.model import Unit, UnitResources
from evercast.plan.recipes import Recipe, SelectionRecipe, StageName, TrainingRecipe

__all__ = ["Job", "jobs_of"]

_JOINED: Final[tuple[StageName, ...]] = ("selection", "training", "evaluation")
"""Stages whose units share jobs where there are many."""

_MANY: Final = 100
"""Units of a stage that are a job each; and about how many jobs a stage with more units has. Snakemake handles some
hundred jobs in seconds, and each costs two seconds of start-up on a cluster."""

_SHORTEST_SECONDS: Final = 60.0
"""Device time up to which units are put together in any case: some ten times what the start of a job costs."""

_LONGEST_SECONDS: Final = 4 * 3600.0
"""Device time beyond which no unit is added to a job: it has to fit the limits of a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Units of one stage that one process runs in this order.

    Args:
        id: that of its unit; of several, ``batch-K-`` and the first twelve digits of the hash of their keys.
        units: their ids.
        needs: ids of the jobs that must be done before.
        resources: of all of them; the start is counted once.
    """

    id: str
    stage: StageName
    units: tuple[str, ...]
    needs: tuple[str, ...]
    resources: UnitResources

    @property
    def is_batch(self) -> bool:
        """Whether it runs several units."""
        return len(self.units) > 1


def jobs_of(units: Sequence[Unit]) -> tuple[Job, ...]:
    """Return the jobs of a plan, each after those it needs.

    A stage of at most a hundred units has a job for each. Of a larger one, the units of one process or one sample stand
    side by side and are put together up to a hundredth of the time of the stage, but at least a minute and at most
    four hours: that makes at most two hundred jobs, or as many of hours as it needs. Units that others of their stage
    need (the nominal selections) count as a stage of their own. Stages whose jobs the document sizes itself (commands,
    generators, pseudo-experiments) keep a job for each unit.

    Args:
        units: each after those it needs.
    """
    stages: dict[StageName, list[Unit]] = {}
    for unit in units:
        stages.setdefault(unit.stage, []).append(unit)
    groups = {_name(group, number): group for some in stages.values() for number, group in enumerate(_groups(some))}
    job_of = {unit.id: name for name, group in groups.items() for unit in group}
    jobs = {name: _job(name, group, job_of) for name, group in groups.items()}
    return tuple(_each_after_its_needs(jobs, order=[job_of[unit.id] for unit in units]))


def _groups(units: Sequence[Unit]) -> list[list[Unit]]:
    """Return the units of one stage put together, apart those that others of the stage need: no chains of jobs."""
    needed = {need for unit in units for need in unit.needs()}
    first = [unit for unit in units if unit.id in needed]
    rest = [unit for unit in units if unit.id not in needed]
    return [*_cut(first), *_cut(rest)]


def _cut(units: Sequence[Unit]) -> list[list[Unit]]:
    if len(units) <= _MANY or units[0].stage not in _JOINED:
        return [[unit] for unit in units]
    work = {unit.id: unit.resources.seconds - unit.resources.start_seconds for unit in units}
    limit = min(max(sum(work.values()) / _MANY, _SHORTEST_SECONDS), _LONGEST_SECONDS)
    groups: list[list[Unit]] = []
    filled = 0.0
    for unit in _side_by_side(units):
        if not groups or filled + work[unit.id] > limit:
            groups.append([])
            filled = 0.0
        groups[-1].append(unit)
        filled += work[unit.id]
    return groups


def _side_by_side(units: Sequence[Unit]) -> list[Unit]:
    """Return the units with those of one process or sample beside one another, still each after those it needs."""
    kinds: dict[tuple[str, ...], list[Unit]] = {}
    for unit in units:
        kinds.setdefault(_kind(unit.recipe), []).append(unit)
    ordered = [unit for some in kinds.values() for unit in some]
    place = {unit.id: number for number, unit in enumerate(ordered)}
    sound = all(place.get(need, -1) < place[unit.id] for unit in ordered for need in unit.needs())
    return ordered if sound else list(units)


def _kind(recipe: Recipe) -> tuple[str, ...]:
    if isinstance(recipe, TrainingRecipe):
        return (recipe.name, recipe.process)
    return (recipe.name,) if isinstance(recipe, SelectionRecipe) else ()


def _name(group: Sequence[Unit], number: int) -> str:
    if len(group) == 1:
        return group[0].id
    return unit_id(f"batch-{number}", canonical_digest([unit.key for unit in group]))


def _job(name: str, group: Sequence[Unit], job_of: Mapping[str, str]) -> Job:
    needs = dict.fromkeys(job_of[identity] for unit in group for identity in unit.needs())
    needs.pop(name, None)
    return Job(
        id=name, stage=group[0].stage, units=tuple(unit.id for unit in group), needs=tuple(needs),
        resources=joint_resources([unit.resources for unit in group]),
    )  # fmt: skip


def _each_after_its_needs(jobs: Mapping[str, Job], *, order: Sequence[str]) -> list[Job]:
    """Return the jobs in `order` as far as their needs allow; these have no circles."""
    done: dict[str, Job] = {}
    for name in dict.fromkeys(order):
        waiting = [name]
        while waiting:
            open_needs = [need for need in jobs[waiting[-1]].needs if need not in done]
            if open_needs:
                waiting += open_needs
            else:
                last = waiting.pop()
                done.setdefault(last, jobs[last])
    return list(done.values())
