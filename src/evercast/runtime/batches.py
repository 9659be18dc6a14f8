"""Jobs: their units are run one after the other in one process, each with its own lock, folder and receipt.

A job that is run again passes over the units that are finished; what they are is in their own receipts.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from evercast.errors import EvercastError, UsageError
from evercast.plan import Unit
from evercast.runtime.execute import execute_unit, interruptible
from evercast.runtime.job_markers import write_marker
from evercast.runtime.plans import FrozenPlan, read_jobs, read_plan
from evercast.runtime.sessions import Session, batch_session

__all__ = ["execute_job"]

_LOG = logging.getLogger(__name__)
_LAST_ERRORS: Final = frozenset({"stage.interrupted", "disk.full", "disk.read-only"})
"""Errors after which the other units of a batch are not tried."""


def execute_job(plan_file: Path, identity: str, *, stage: str, threads: int = 1, gpus: int = 0) -> None:
    """Run the units of a job, unless they are finished.

    A unit that fails does not keep the others of its batch from being run; the first error is raised at the end.

    Args:
        plan_file: the frozen plan.
        identity: of the job, which is that of its unit where it has one.
        stage: the stage it must belong to.
        threads: cores the job may use.
        gpus: GPUs it was given.

    Raises:
        IntegrityError: ``plan.unknown-unit``.
        UsageError: ``stage.wrong-stage``.
        EvercastError: what the stage or a check raised; it is recorded in the error file of the unit too.
    """
    job = next((job for job in read_jobs(plan_file) if job.id == identity), None)
    frozen = read_plan(plan_file, only=(identity,) if job is None else job.units)
    if job is None:  # a unit of a batch, for itself
        execute_unit(frozen, _checked(frozen.unit(identity), stage=stage), threads=threads, gpus=gpus)
        return
    units = [_checked(frozen.unit(name), stage=stage) for name in job.units]
    if job.is_batch:
        with interruptible(job.id), batch_session(frozen, units, name=job.id, threads=threads, gpus=gpus) as session:
            first = _run_all(frozen, units, threads=threads, gpus=gpus, session=session)
        if first is not None:
            raise first
    else:
        execute_unit(frozen, units[0], threads=threads, gpus=gpus)
    write_marker(job, folder=frozen.folder)


def _run_all(
    frozen: FrozenPlan, units: Sequence[Unit], *, threads: int, gpus: int, session: Session | None
) -> EvercastError | None:
    """Run the units and return the first error."""
    first: EvercastError | None = None
    for number, unit in enumerate(units, start=1):
        _LOG.info("unit %d of %d: %s", number, len(units), unit.id)
        with _Caught() as caught:
            execute_unit(frozen, unit, threads=threads, gpus=gpus, session=session)
        err = caught.error
        if err is not None:
            if unit.id not in (err.where or ""):
                err.where = f"{unit.id}: {err.where}" if err.where else unit.id
            _LOG.error("%s", err)
            first = first or err
            if err.code in _LAST_ERRORS:
                break
    return first


class _Caught:
    """Keeps the error of a unit, also one that is a defect, so that the other units of its batch are run."""

    error: EvercastError | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(err, Exception):
            return False
        if isinstance(err, EvercastError):
            self.error = err
        else:
            traceback.print_exception(err)
            self.error = EvercastError(f"internal error: {type(err).__name__}: {err}")
        return True


def _checked(unit: Unit, *, stage: str) -> Unit:
    if unit.stage != stage:
        raise UsageError(f"unit {unit.id} belongs to stage {unit.stage}, not {stage}", code="stage.wrong-stage")
    return unit
