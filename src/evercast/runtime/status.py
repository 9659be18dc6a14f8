"""How far a run is, unit by unit. Only a receipt makes a unit done; everything else is running, failed or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evercast.artifacts.files import read_json
from evercast.errors import EvercastError, IntegrityError, RunFailed, error_from_json
from evercast.plan import Plan, Unit
from evercast.plan.jobs import jobs_of
from evercast.runtime.folders import RunFolder
from evercast.runtime.holding import unit_is_worked_on
from evercast.runtime.receipts import is_finished, read_receipt

__all__ = ["State", "UnitStatus", "count_states", "read_error", "read_error_file", "run_status", "unit_status"]

State = Literal["done", "running", "failed", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatus:
    """One unit and how it stands.

    Args:
        log: its log, where there is one.
        error: why it failed; set if and only if `state` is failed.
    """

    unit: Unit
    state: State
    log: Path | None = None
    error: EvercastError | None = None


def run_status(plan: Plan, *, folder: RunFolder) -> tuple[UnitStatus, ...]:
    """Return the status of every unit of a plan, in the order of the plan."""
    batches = {unit: job.id for job in jobs_of(plan.units) if job.is_batch for unit in job.units}
    return tuple(unit_status(unit, folder=folder, batch=batches.get(unit.id)) for unit in plan.units)


def unit_status(unit: Unit, *, folder: RunFolder, batch: str | None = None) -> UnitStatus:
    """Return the status of one unit.

    A unit whose job left its marker and holds no lock was killed: it counts as failed.

    Args:
        unit: the unit.
        folder: where it is run.
        batch: id of the job that runs it with others, in whose log it then speaks.
    """
    file = folder.log(unit) if batch is None else folder.log(unit).with_name(f"{batch}.log")
    log = file if file.exists() else None
    if is_finished(unit, receipt_file=folder.receipt(unit)):
        return UnitStatus(unit=unit, state="done", log=log)
    damage = _damage(folder.receipt(unit))
    if unit_is_worked_on(folder, unit):
        return UnitStatus(unit=unit, state="running", log=log)
    error = damage or read_error(unit, folder=folder)
    if error is None and folder.running(unit).exists():
        error = RunFailed(
            "its job was killed, by a signal or for want of memory",
            code="stage.killed",
            where=unit.id,
            hint="run again; it goes on from its last checkpoint",
        )
    return UnitStatus(unit=unit, state="waiting" if error is None else "failed", log=log, error=error)


def _damage(receipt_file: Path) -> EvercastError | None:
    """Return why a receipt cannot be read; None where there is none, or it is readable and that of something else."""
    try:
        read_receipt(receipt_file)
    except IntegrityError as err:
        return err if receipt_file.exists() else None
    return None


def read_error(unit: Unit, *, folder: RunFolder) -> EvercastError | None:
    """Return the error that the last job of a unit recorded; None where there is none."""
    return read_error_file(folder.error(unit))


def read_error_file(path: Path) -> EvercastError | None:
    """Return the error that a part of a run recorded in a file; None where there is no such file."""
    if not path.exists():
        return None
    try:
        body = read_json(path)
    except IntegrityError as err:
        return err
    return error_from_json(body) if isinstance(body, Mapping) else RunFailed("the error file is no object")


def count_states(status: Iterable[UnitStatus]) -> Mapping[str, Mapping[State, int]]:
    """Return stage -> state -> number of units; every state is named."""
    counts: dict[str, Counter[State]] = {}
    for item in status:
        counts.setdefault(item.unit.stage, Counter())[item.state] += 1
    states: tuple[State, ...] = ("done", "running", "failed", "waiting")
    return {stage: {state: found[state] for state in states} for stage, found in counts.items()}
