"""A plan for people: the table of its stages, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evercast.plan.jobs import Job, jobs_of
from evercast.plan.model import Plan, Unit
from evercast.plan.recipes import StageName, ToysRecipe

__all__ = ["plan_summary", "plan_table", "unit_table"]

_HEADER = ("stage", "jobs", "networks", "cores", "memory/job", "disk", "device time")


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Return the plan in numbers: totals, stages, networks, units. Memory and disk in MB, time in s."""
    jobs = jobs_of(plan.units)
    return {
        "name": plan.name,
        "digest": plan.digest,
        "pseudo_data": plan.pseudo,
        "jobs": len(jobs),
        "networks": [
            asdict(count) | {"networks": count.networks, "formula": count.formula()} for count in plan.networks
        ],
        "stages": {stage: _totals(plan.of_stage(stage), _of_stage(jobs, stage)) for stage in plan.stages()},
        "total": _totals(plan.units, jobs),
        "units": [_unit(unit) for unit in plan.units],
    }


def _of_stage(jobs: Sequence[Job], stage: StageName) -> tuple[Job, ...]:
    return tuple(job for job in jobs if job.stage == stage)


def _totals(units: Sequence[Unit], jobs: Sequence[Job]) -> dict[str, float | int]:
    return {
        "units": len(units),
        "jobs": len(jobs),
        "networks": sum(unit.networks for unit in units),
        "cores": max(job.resources.cores for job in jobs),
        "memory_mb": max(job.resources.memory_mb for job in jobs),
        "disk_mb": sum(job.resources.disk_mb for job in jobs),
        "device_seconds": round(sum(job.resources.seconds for job in jobs), 1),
    }


def _unit(unit: Unit) -> dict[str, Any]:
    return {
        "id": unit.id,
        "stage": unit.stage,
        "name": unit.name,
        "key": unit.key,
        "needs": list(unit.needs()),
        "networks": unit.networks,
        "resources": asdict(unit.resources),
    }


def plan_table(plan: Plan) -> str:
    """Return the table of stages, the networks with their formula, and the totals, as text."""
    jobs = jobs_of(plan.units)
    rows = [_row(stage, plan.of_stage(stage), _of_stage(jobs, stage)) for stage in plan.stages()]
    rows.append(_row("total", plan.units, jobs))
    lines = [f"plan {plan.digest[:16]} of {plan.name}" + (", with simulated pseudo-data" if plan.pseudo else "")]
    lines += ["", *_columns([_HEADER, *rows], rule_before=len(rows)), ""]
    for count in plan.networks:
        lines.append(f"{count.ensemble}: {count.formula()}")
        blocks = f"{count.blocks} blocks of up to {_number(count.members_per_block, 'member')}"
        lines.append(f"{' ' * len(count.ensemble)}  {blocks}")
    lines += _shared(plan, jobs) + _toys(plan)
    return "\n".join(lines).rstrip()


def _shared(plan: Plan, jobs: Sequence[Job]) -> list[str]:
    """Return one line where units share jobs."""
    if len(jobs) == len(plan.units):
        return []
    batches = sum(job.is_batch for job in jobs)
    return [f"{len(plan.units)} units of work in {len(jobs)} jobs: {batches} jobs run several, one after the other"]


def _toys(plan: Plan) -> list[str]:
    """Return one line for each study with pseudo-experiments: how many, in how many jobs, and what they cost."""
    studies: dict[tuple[str, str], list[Unit]] = {}
    for unit in plan.of_stage("toys"):
        if isinstance(unit.recipe, ToysRecipe):
            studies.setdefault((unit.recipe.study, unit.recipe.spec.purpose), []).append(unit)
    lines = []
    for (study, purpose), units in studies.items():
        recipes = [unit.recipe for unit in units if isinstance(unit.recipe, ToysRecipe)]
        toys = sum(recipe.count for recipe in recipes)
        values = len({recipe.value for recipe in recipes})
        likelihoods = len({recipe.likelihood for recipe in recipes})
        time = _time(sum(unit.resources.seconds for unit in units))
        lines.append(
            f"{study}: {toys} pseudo-experiments ({purpose}), {_number(likelihoods, 'likelihood')}, "
            f"{_number(values, 'value')}, {_number(len(units), 'job')}, {time}"
        )
    return lines


def unit_table(plan: Plan) -> str:
    """Return one line for each unit: stage, id, what it needs."""
    rows = [(unit.stage, unit.id, str(len(unit.needs())), _time(unit.resources.seconds)) for unit in plan.units]
    return "\n".join(_columns([("stage", "unit", "inputs", "time"), *rows]))


def _row(name: str, units: Sequence[Unit], jobs: Sequence[Job]) -> tuple[str, ...]:
    totals = _totals(units, jobs)
    networks = str(totals["networks"]) if totals["networks"] else "-"
    return (
        name, str(totals["jobs"]), networks, str(totals["cores"]), _size(totals["memory_mb"]), _size(totals["disk_mb"]),
        _time(totals["device_seconds"]),
    )  # fmt: skip


def _columns(rows: Sequence[tuple[str, ...]], *, rule_before: int | None = None) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    rule = "  ".join("-" * width for width in widths)
    lines.insert(1, rule)
    if rule_before is not None:
        lines.insert(rule_before + 1, rule)
    return [line.rstrip() for line in lines]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
