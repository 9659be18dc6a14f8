"""Why SLURM ended a job: what its process could not say any more is asked of the controller and the accounting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, RunFailed
from evercast.plan.jobs import Job
from evercast.runtime.folders import RunFolder
from evercast.runtime.locks import is_held
from evercast.runtime.provenance import now_utc
from evercast.runtime.settings import read_settings
from evercast.runtime.slurm_jobs import SlurmJob, jobs_of_runs
from evercast.runtime.status import UnitStatus

__all__ = ["end_of_job", "explain_ends", "record_ends"]

_SILENT = frozenset({"stage.killed", "stage.interrupted"})
"""Errors that say that a job was ended, not why."""
_DECISIVE = frozenset({"OUT_OF_MEMORY"})
"""States that are the reason whatever the unit says: a program that was killed for its memory tells but of a signal."""


def explain_ends(status: Sequence[UnitStatus], *, folder: RunFolder, jobs: Iterable[Job]) -> tuple[UnitStatus, ...]:
    """Return the status of units with the reasons that SLURM gives for jobs of the last run that it ended.

    Args:
        status: of all units of the plan.
        folder: of the run.
        jobs: of the plan.

    Raises:
        IntegrityError: the settings of the run are damaged.
    """
    try:
        found = jobs_of_runs(read_settings(folder).slurm_runs)
    except EnvironmentUnfit:
        return tuple(status)  # the controller is away: what the units themselves say must do
    by_id = {job.id: job for job in found}
    unspoken = _without_trace(status, found=found, jobs=jobs)
    return tuple(_explained(item, folder=folder, by_id=by_id, unspoken=unspoken) for item in status)


def record_ends(status: Iterable[UnitStatus], *, folder: RunFolder) -> None:
    """Write the reasons that SLURM gave into the error files of the units: it forgets them soon."""
    for item in status:
        if item.error is not None and item.error.code.startswith("slurm."):
            path, body = folder.error(item.unit), {"stage": item.unit.stage, "unit": item.unit.id, "time": now_utc()}
            with suppress(OSError, EvercastError):
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write_json(path, item.error.to_json() | body)


def _explained(
    item: UnitStatus, *, folder: RunFolder, by_id: Mapping[str, SlurmJob], unspoken: Mapping[str, SlurmJob]
) -> UnitStatus:
    if item.state == "done":
        return item
    if item.state == "running" and is_held(folder.unit_lock(item.unit)):
        return item
    job = by_id.get(_job_of(folder.running(item.unit)) or _job_of(folder.error(item.unit)) or "")
    job = job or unspoken.get(item.unit.id)
    if job is None or job.is_active or (
        item.error is not None and item.error.code not in _SILENT and job.state not in _DECISIVE
    ):  # fmt: skip
        return item
    error = end_of_job(job, stage=item.unit.stage, before=item.error)
    return item if error is None else replace(item, state="failed", error=error)


def _job_of(file: Path) -> str | None:
    """Return the SLURM job that a marker or an error file names."""
    with suppress(IntegrityError, OSError):
        body = read_json(file)
        if isinstance(body, Mapping) and isinstance(body.get("slurm_job"), str):
            return str(body["slurm_job"])
    return None


def _without_trace(
    status: Iterable[UnitStatus], *, found: Iterable[SlurmJob], jobs: Iterable[Job]
) -> dict[str, SlurmJob]:
    """Return unit -> its last SLURM job, for jobs that ended before the unit could say anything."""
    last: dict[str, SlurmJob] = {}
    for job in sorted((job for job in found if job.id.isdecimal()), key=lambda job: int(job.id)):
        last[job.comment.partition("_wildcards_")[2]] = job
    waiting = {item.unit.id for item in status if item.state == "waiting"}
    by_unit = {}
    for planned in jobs:
        if planned.id in last and all(unit in waiting for unit in planned.units):
            by_unit[planned.units[0]] = last[planned.id]
    return by_unit


def end_of_job(job: SlurmJob, *, stage: str, before: EvercastError | None = None) -> EvercastError | None:
    """Return the error that stands for the end of a SLURM job; None where its state is not the reason.

    Args:
        job: that has ended.
        stage: the rule whose resources a hint names.
        before: what the unit itself said.
    """
    what = f"SLURM ended job {job.id} of this unit"
    again = "run the same command again; it goes on from its last checkpoint"
    if job.state in ("TIMEOUT", "DEADLINE"):
        hint = f"{again}; if it comes back, give stage {stage} more time: set-resources: {stage}: runtime=MINUTES"
        return EnvironmentUnfit(f"{what} at its time limit ({job.state})", code="slurm.time-limit", hint=hint)
    if job.state == "OUT_OF_MEMORY":
        hint = (
            f"give stage {stage} more memory in the profile (set-resources: {stage}: mem_mb=MB) or set retries, which "
        )
        hint += "ask for more each time; then run the same command again"
        return EnvironmentUnfit(f"{what} for using more memory than asked for", code="slurm.out-of-memory", hint=hint)
    if job.state in ("NODE_FAIL", "BOOT_FAIL"):
        return EnvironmentUnfit(f"{what}: its node failed ({job.state})", code="slurm.node-failed", hint=again)
    if job.state in ("CANCELLED", "PREEMPTED", "REVOKED"):
        return RunFailed(f"{what}: it was {job.state.lower()}", code=f"slurm.{job.state.lower()}", hint=again)
    if job.state == "FAILED" and before is None:
        hint = "its output is under .snakemake/slurm_logs"
        return RunFailed(f"SLURM job {job.id} failed before its stage began", code="slurm.failed", hint=hint)
    return None
