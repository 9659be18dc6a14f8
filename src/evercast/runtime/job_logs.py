"""The log of a job: what each of its copies says, one after the other."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from evercast.runtime.folders import RunFolder
from evercast.runtime.job_markers import log_of
from evercast.runtime.provenance import now_utc
from evercast.runtime.slurm_jobs import own_job

__all__ = ["append_to_log"]


def append_to_log(plan_file: Path, *, stage: str, job: str, output: bool = True) -> None:
    """Let this process and all that it starts write to the end of the log of a job instead of to stderr and stdout.

    A first line tells who writes from there on. Where the log cannot be written, what is said stays on stderr: a full
    disk must not hide its own error.

    Args:
        plan_file: the frozen plan.
        stage: of the job.
        job: its id.
        output: whether stdout goes there too, where libraries such as Pythia speak.
    """
    file = log_of(stage, job, folder=RunFolder.of_plan(plan_file))
    slurm = f", SLURM job {own_job()}" if own_job() else ""
    head = f"---- {now_utc()}: process {os.getpid()} on {socket.gethostname()}{slurm}\n"
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, head.encode())
            sys.stderr.flush()
            os.dup2(handle, 2)
            if output:
                sys.stdout.flush()
                os.dup2(handle, 1)
        finally:
            os.close(handle)
