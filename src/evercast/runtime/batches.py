"""Jobs of several units: run one after the other in one process, each with its own lock, folder and receipt.

Snakemake knows a batch by one file, ``work/STAGE/BATCH/receipt.json``, which says that all its units are finished. A
batch that is run again passes over the units that are finished; what they are is in their own receipts.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, disk_errors
from evercast.errors import EvercastError, UsageError
from evercast.plan import Unit
from evercast.plan.jobs import Job
from evercast.runtime.execute import execute_unit, interruptible
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.plans import FrozenPlan, read_jobs, read_plan
from evercast.runtime.sessions import Session, batch_session

__all__ = ["execute_job", "receipt_of", "settle_batches"]

_LOG = logging.getLogger(__name__)
_FORMAT: Final = "batch/1.0.0"
_LAST_ERRORS: Final = frozenset({"stage.interrupted", "disk.full", "disk.read-only"})
"""Errors after which the other units of a batch are not tried."""


def receipt_of(job: Job, *, folder: RunFolder) -> Path:
    """Return the file that says that all units of a job are finished; of one unit, its own receipt."""
    return folder.work / job.stage / job.id / RECEIPT


def settle_batches(jobs: Iterable[Job], *, folder: RunFolder) -> None:
    """Make the receipts of batches agree with those of their units, before Snakemake looks at them.

    A batch whose units have all been finished, perhaps in other batches of an earlier plan, needs no job; one that has
    lost a unit needs one.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    for job in jobs:
        if not job.is_batch:
            continue
        file = receipt_of(job, folder=folder)
        finished = all((folder.work / job.stage / unit / RECEIPT).exists() for unit in job.units)
        if finished and not file.exists():
            _write_receipt(job, folder=folder)
        elif not finished and file.parent.exists():
            with disk_errors(file):
                shutil.rmtree(file.parent)


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
    if job is None or not job.is_batch:
        unit = _checked(frozen.unit(identity), stage=stage)
        execute_unit(frozen, unit, threads=threads, gpus=gpus)
        return
    units = [_checked(frozen.unit(name), stage=stage) for name in job.units]
    with interruptible(job.id), batch_session(frozen, units, name=job.id, threads=threads, gpus=gpus) as session:
        first = _run_all(frozen, units, threads=threads, gpus=gpus, session=session)
    if first is not None:
        raise first
    _write_receipt(job, folder=frozen.folder)


def _run_all(
    frozen: FrozenPlan, units: Sequence[Unit], *, threads: int, gpus: int, session: Session | None
) -> EvercastError | None:
    """Run the units and return the first error."""
    first: EvercastError | None = None
    for number, unit in enumerate(units, start=1):
        _LOG.info("unit %d of %d: %s", number, len(units), unit.id)
        try:
            execute_unit(frozen, unit, threads=threads, gpus=gpus, session=session)
        except EvercastError as err:
            if unit.id not in (err.where or ""):
                err.where = f"{unit.id}: {err.where}" if err.where else unit.id
            _LOG.error("%s", err)
            first = first or err
            if err.code in _LAST_ERRORS:
                break
    return first


def _checked(unit: Unit, *, stage: str) -> Unit:
    if unit.stage != stage:
        raise UsageError(f"unit {unit.id} belongs to stage {unit.stage}, not {stage}", code="stage.wrong-stage")
    return unit


def _write_receipt(job: Job, *, folder: RunFolder) -> None:
    file = receipt_of(job, folder=folder)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(file, {"format": _FORMAT, "stage": job.stage, "unit": job.id, "units": job.units, "files": {}})
