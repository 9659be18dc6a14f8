"""What Snakemake sees of a job: one small file, ``work/jobs/STAGE/JOB.json``, which says that its units are finished.

Snakemake removes the outputs of a job when the job starts, also of a second copy that a cluster starts after the first
one has ended. The receipts of units are therefore no outputs: a copy that finds them computes nothing and writes the
marker anew. Before Snakemake looks at the markers they are made to agree with the receipts, which alone decide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, disk_errors
from evercast.plan.jobs import Job
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.up_to_date import Contents

__all__ = ["log_of", "marker_of", "settle_jobs", "write_marker"]

_FORMAT: Final = "job/1.0.0"


def marker_of(job: Job, *, folder: RunFolder) -> Path:
    """Return the file that says that all units of a job are finished."""
    return folder.work / "jobs" / job.stage / f"{job.id}.json"


def log_of(stage: str, identity: str, *, folder: RunFolder) -> Path:
    """Return the log of a job, to which each of its copies appends."""
    return folder.work / "logs" / stage / f"{identity}.log"


def write_marker(job: Job, *, folder: RunFolder) -> None:
    """Say that all units of a job are finished; to be called when their receipts are there.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    file = marker_of(job, folder=folder)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(file, {"format": _FORMAT, "stage": job.stage, "job": job.id, "units": job.units})


def settle_jobs(jobs: Iterable[Job], *, folder: RunFolder) -> None:
    """Make the markers of jobs agree with the receipts of their units, before Snakemake looks at them.

    A job whose units have all been finished, perhaps by other jobs of an earlier plan, gets its marker; one that has
    lost a unit, or of which a unit was made from another content than there is now, loses it.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    every = tuple(jobs)
    stages = {unit: job.stage for job in every for unit in job.units}
    contents = Contents(folder=folder, stages=stages)
    there = {stage: _names(folder.work / stage) for stage in {job.stage for job in every}}
    for job in every:
        file = marker_of(job, folder=folder)
        if all(unit in there[job.stage] and contents.is_current(unit) for unit in job.units):
            if not file.exists():
                write_marker(job, folder=folder)
        else:
            with disk_errors(file):
                file.unlink(missing_ok=True)


def _names(folder: Path) -> frozenset[str]:
    """Return the names of the units in the folder of a stage that have a receipt."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if os.path.lexists(os.path.join(entry.path, RECEIPT)))  # noqa: PTH118 - for thousands
    return frozenset()
