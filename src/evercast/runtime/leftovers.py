"""How a run begins: with what a killed one left behind, jobs that still run, attempts, errors of the past."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from evercast.artifacts.files import read_json
from evercast.errors import EnvironmentUnfit, IntegrityError
from evercast.plan import Plan, Unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.holding import unit_is_worked_on
from evercast.runtime.provenance import now_utc, versions
from evercast.runtime.receipts import is_finished
from evercast.runtime.settings import RunSettings, read_settings, write_settings
from evercast.runtime.slurm_jobs import cancel_runs

__all__ = ["begin_run", "cancel_slurm_jobs", "clear_leftovers", "job_process", "stop_jobs"]

_LOG = logging.getLogger(__name__)
_PATIENCE_SECONDS = 10.0


def begin_run(plan: Plan, *, folder: RunFolder, options: tuple[str, ...] = ()) -> None:
    """Cancel and clear what a killed run left, and note which plan is run now.

    To be called by the holder of the run folder only, once a run.

    Args:
        plan: the plan.
        folder: of the run.
        options: of ``evercast run``.

    Raises:
        EnvironmentUnfit: ``run.unit-locked``, ``slurm.missing``, ``slurm.unreachable``, ``slurm.jobs-stay``, or the
            disk refuses.
    """
    cancel_slurm_jobs(folder)
    clear_leftovers(plan, folder=folder)
    folder.run_error.unlink(missing_ok=True)
    folder.publish_error.unlink(missing_ok=True)
    settings = RunSettings(
        plan=plan.digest, pseudo=plan.pseudo, started=now_utc(), versions=versions(), options=options
    )  # fmt: skip
    write_settings(settings, folder=folder)


def cancel_slurm_jobs(folder: RunFolder) -> int:
    """Cancel what the last run in a folder has in SLURM, wait until it is gone, and return how many jobs there were.

    To be called by the holder of the run folder only.

    Raises:
        EnvironmentUnfit: ``slurm.missing``, ``slurm.unreachable`` or ``slurm.jobs-stay``.
    """
    cancelled = cancel_runs(read_settings(folder).slurm_runs)
    if cancelled:
        _LOG.warning("%d SLURM jobs of the last run in %s were cancelled", cancelled, folder.root)
    return cancelled


def clear_leftovers(plan: Plan, *, folder: RunFolder) -> tuple[Unit, ...]:
    """Stop the jobs of a dead run and remove its attempts; return the units whose jobs were stopped.

    To be called by the holder of the run lock only: nobody else may be at work then.

    Raises:
        EnvironmentUnfit: ``run.unit-locked``: a job of another machine, or one that cannot be stopped, is at work.
    """
    orphans = stop_jobs(plan, folder=folder)
    shutil.rmtree(folder.work / "attempts", ignore_errors=True)
    for unit in plan.units:
        if not is_finished(unit, receipt_file=folder.receipt(unit)):
            folder.error(unit).unlink(missing_ok=True)
        folder.running(unit).unlink(missing_ok=True)
    return orphans


def stop_jobs(plan: Plan, *, folder: RunFolder) -> tuple[Unit, ...]:
    """Stop every job of the plan that is at work on this machine: SIGTERM, patience, SIGKILL; return their units.

    Raises:
        EnvironmentUnfit: ``run.unit-locked``.
    """
    busy = [unit for unit in plan.units if unit_is_worked_on(folder, unit, ask=True)]
    for number, patience in ((signal.SIGTERM, _PATIENCE_SECONDS), (signal.SIGKILL, _PATIENCE_SECONDS / 2)):
        left = [unit for unit in busy if unit_is_worked_on(folder, unit, ask=True)]
        for unit in left:
            if (pid := job_process(folder.running(unit))) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        _wait(left, folder=folder, patience=patience)
    stubborn = [unit for unit in busy if unit_is_worked_on(folder, unit, ask=True)]
    if stubborn:
        raise EnvironmentUnfit(
            f"a job of an earlier run still works on unit {stubborn[0].id}, perhaps on another machine",
            code="run.unit-locked",
            where=str(folder.unit_lock(stubborn[0])),
            hint="wait until it has ended or stop it, then run again",
        )
    return tuple(busy)


def _wait(units: list[Unit], *, folder: RunFolder, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and any(unit_is_worked_on(folder, unit) for unit in units):
        time.sleep(0.05)


def job_process(marker: Path) -> int | None:
    """Return the process that a marker names, if it runs on this machine and is a job of ours; else None."""
    with suppress(IntegrityError, OSError, ValueError):
        body = read_json(marker)
        if isinstance(body, Mapping) and body.get("host") == socket.gethostname():
            pid = int(str(body.get("pid")))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return pid if b"stage" in command else None
    return None
