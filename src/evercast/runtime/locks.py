"""Locks that the kernel releases when their holder dies, whatever killed it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors
from evercast.errors import EnvironmentUnfit
from evercast.runtime.folders import RunFolder
from evercast.runtime.slurm_jobs import own_job

__all__ = [
    "Holder", "acquire", "acquire_run_lock", "is_held", "locked", "note_execution", "read_executions", "read_holder",
]  # fmt: skip

_PATIENCE_SECONDS: Final = 1.0
"""How long `acquire` tries: `is_held` holds a lock too, for microseconds, and must not make a run fail."""
_RUN_LOCKED: Final = "run.locked"
_PAUSE_SECONDS: Final = 0.01
_LIMIT: Final = 1_000_000
_NO_LOCKS: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What file systems without such locks say (Lustre, NFS): there the lease alone decides."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as written in it: for people, the kernel decides.

    Args:
        started: UTC, ISO 8601.
    """

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.started}"


def read_holder(path: Path) -> Holder | None:
    """Return who last wrote the lock at `path`; None where it cannot be read."""
    try:
        body = json.loads(path.read_text())
        return Holder(pid=int(body["pid"]), host=str(body["host"]), started=str(body["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _try(path: Path) -> int | None:
    """Return the handle of the lock, taken; None where somebody holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        taken = _flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        raise
    if not taken:
        os.close(handle)
    return handle if taken else None


def _flock(handle: int, kind: int) -> bool:
    """Return whether the lock was to be had at once."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as err:
        if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if err.errno not in _NO_LOCKS:
            raise
    return True


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock at `path`.

    Looks through a shared lock, for which reading is enough: those who look are not in each other's way.

    Raises:
        EnvironmentUnfit: ``run.lock-unreadable``: this user may not read it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError as err:
        raise EnvironmentUnfit(
            "this user may not read the lock, so nobody can say whether it is held",
            code="run.lock-unreadable",
            where=str(path),
            hint="ask the owner of the run folder for permission to read it",
        ) from err
    try:
        return not _flock(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _sign(handle: int) -> None:
    """Write into the lock who holds it; without space on the disk the lock is as good without."""
    _write(handle, _self() | {"executions": _executions(os.pread(handle, _LIMIT, 0))})


def _self() -> dict[str, object]:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started}


def _write(handle: int, body: dict[str, object]) -> None:
    text = json.dumps(body).encode()
    os.ftruncate(handle, len(text))
    os.pwrite(handle, text, 0)


def _executions(content: bytes) -> list[dict[str, object]]:
    with suppress(ValueError, KeyError, TypeError):
        return [dict(item) for item in json.loads(content)["executions"]]
    return []


def note_execution(path: Path) -> None:
    """Note in the lock of a unit, which this process holds, that it works on the unit from now on.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    with disk_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            begun = _self() | {"slurm_job": own_job()}
            _write(handle, _self() | {"executions": [*_executions(os.pread(handle, _LIMIT, 0)), begun]})
        finally:
            os.close(handle)


def read_executions(path: Path) -> list[dict[str, object]]:
    """Return every time that work on a unit was begun, from its lock: started, host, pid, slurm_job."""
    try:
        return _executions(path.read_bytes())
    except OSError:
        return []


def acquire(path: Path, *, code: str, what: str, patience: float | None = None) -> int:
    """Take the lock at `path` and return its handle; it is held until every process that has the handle closed it.

    Tries for a second at least, because somebody who looks whether the lock is held is in the way for a moment.

    Args:
        path: created where it is missing; it stays afterwards.
        code: code of the error when somebody else holds it.
        what: what is locked, for the message.
        patience: how long to try, s; None means a second.

    Raises:
        EnvironmentUnfit: somebody else holds it, or the disk refuses.
    """
    with disk_errors(path):
        handle = _try_patiently(path, patience=_PATIENCE_SECONDS if patience is None else patience)
    if handle is None:
        raise _refusal(path, code=code, what=what)
    with disk_errors(path):
        _sign(handle)
    return handle


def _refusal(path: Path, *, code: str, what: str) -> EnvironmentUnfit:
    """Return the error that names who holds a lock: who took it, or who inherited it when that process was killed."""
    signed, living = read_holder(path), _living(path)
    who = str(signed or "another process")
    remedy = "wait until it has ended or stop that process; the lock of a dead process is released by itself"
    if signed is not None and signed.host == socket.gethostname() and living and signed.pid not in living:
        numbers = " ".join(str(pid) for pid in living)
        if code == _RUN_LOCKED:
            who = f"what {who} left behind: it has ended, but its Snakemake works on (process {numbers})"
            remedy = (
                "wait: it goes on by itself and finishes the run, and evercast status DOCUMENT shows how far it is; or "
                f"end it with kill -9 {numbers} and run again, which stops its jobs and goes on from their checkpoints"
            )
        else:
            who = f"what {who} left behind: it has ended, but its jobs work on (process {numbers})"
            remedy = f"wait until they have ended, or stop them: kill {numbers}"
    return EnvironmentUnfit(f"{what} is in use by {who}", code=code, where=str(path), hint=remedy)


def _living(path: Path) -> list[int]:
    """Return the processes of this user on this machine that have the lock open."""
    wanted, found = str(path.resolve()), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # the process ended meanwhile, or is of another user
            if str(link.readlink()) == wanted:
                found.add(int(link.parts[2]))
    return sorted(found)


def _try_patiently(path: Path, *, patience: float) -> int | None:
    end = time.monotonic() + patience
    while (handle := _try(path)) is None and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
    return handle


@contextmanager
def locked(path: Path, *, code: str, what: str, patience: float | None = None) -> Iterator[int]:
    """Hold the lock at `path` in the block; gives its handle. Arguments and errors are those of `acquire`.

    Raises:
        EnvironmentUnfit: somebody else holds it, or the disk refuses.
    """
    handle = acquire(path, code=code, what=what, patience=patience)
    try:
        yield handle
    finally:
        os.close(handle)


def acquire_run_lock(folder: RunFolder) -> int:
    """Take the lock of a run folder and return its handle.

    Raises:
        EnvironmentUnfit: ``run.locked``, naming process and host of the other run.
    """
    return acquire(folder.lock, code=_RUN_LOCKED, what=f"the run folder {folder.root}")
