"""Who works: a process that other processes recognise, on this machine, on another one, or as a job of SLURM."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evercast.runtime.provenance import now_utc
from evercast.runtime.slurm_jobs import job_is_over, own_cluster, own_job

__all__ = ["Worker", "has_ended", "this_worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process and what tells whether it still lives.

    Args:
        token: random; no two workers ever have the same.
        host: name of the machine.
        boot: id of the running kernel; another one after a restart.
        space: process ids mean the same to all processes of one space; containers have their own.
        born: when the process started, in ticks since the boot: an id may be given again, this not.
        job: id of the SLURM job; None outside.
        cluster: SLURM cluster of the job.
        started: UTC, ISO 8601.
    """

    token: str
    host: str
    boot: str
    space: str
    pid: int
    born: int
    job: str | None
    cluster: str | None
    started: str

    def __str__(self) -> str:
        job = f" (SLURM job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job} since {self.started}"


def this_worker() -> Worker:
    """Return this process as a worker with a token of its own."""
    return Worker(
        token=secrets.token_hex(16),
        host=socket.gethostname(),
        boot=_boot(),
        space=_space(),
        pid=os.getpid(),
        born=_born(os.getpid()) or 0,
        job=own_job(),
        cluster=own_cluster(),
        started=now_utc(),
    )


def has_ended(worker: Worker, *, ask: bool = True) -> bool:
    """Return whether a worker certainly has ended: no such process on this machine, or SLURM says so of its job.

    False means that nobody here can tell. A job that SLURM has started once more is told by its process only: the
    first copy may well live on a node that the controller cannot reach.

    Args:
        worker: of any machine.
        ask: whether SLURM may be asked, which takes a moment.
    """
    if (worker.host, worker.boot, worker.space) == (socket.gethostname(), _boot(), _space()):
        born = _born(worker.pid)
        return born != worker.born and not (born is None and _is_hidden(worker.pid))
    return (
        ask and worker.job is not None and worker.job != own_job() and job_is_over(worker.job, cluster=worker.cluster)
    )


def _is_hidden(pid: int) -> bool:
    """Return whether a process lives that is of another user: where /proc hides those, nothing is known of it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _space() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _born(pid: int) -> int | None:
    """Return when a living process started, in ticks since the boot; None where there is none or it is a zombie."""
    with suppress(OSError, ValueError, IndexError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else int(rest[18])
    return None
