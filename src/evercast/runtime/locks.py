"""Locks that the kernel releases when their holder dies, whatever killed it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evercast.artifacts.files import disk_errors
from evercast.errors import EnvironmentUnfit
from evercast.runtime.folders import RunFolder

__all__ = ["Holder", "acquire", "acquire_run_lock", "is_held", "locked", "read_holder"]


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
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(handle)
        if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return handle


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock at `path`."""
    if not path.exists():
        return False
    handle = _try(path)
    if handle is None:
        return True
    os.close(handle)
    return False


def _sign(handle: int) -> None:
    """Write into the lock who holds it; without space on the disk the lock is as good without."""
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started})
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)


def acquire(path: Path, *, code: str, what: str) -> int:
    """Take the lock at `path` and return its handle; it is held until every process that has the handle closed it.

    Args:
        path: created where it is missing; it stays afterwards.
        code: code of the error when somebody else holds it.
        what: what is locked, for the message.

    Raises:
        EnvironmentUnfit: somebody else holds it, or the disk refuses.
    """
    with disk_errors(path):
        handle = _try(path)
    if handle is None:
        raise EnvironmentUnfit(
            f"{what} is in use by {read_holder(path) or 'another process'}",
            code=code,
            where=str(path),
            hint="wait until it has ended or stop that process; the lock of a dead process is released by itself",
        )
    with disk_errors(path):
        _sign(handle)
    return handle


@contextmanager
def locked(path: Path, *, code: str, what: str) -> Iterator[int]:
    """Hold the lock at `path` in the block; gives its handle. Arguments and errors are those of `acquire`.

    Raises:
        EnvironmentUnfit: somebody else holds it, or the disk refuses.
    """
    handle = acquire(path, code=code, what=what)
    try:
        yield handle
    finally:
        os.close(handle)


def acquire_run_lock(folder: RunFolder) -> int:
    """Take the lock of a run folder and return its handle.

    Raises:
        EnvironmentUnfit: ``run.locked``, naming process and host of the other run.
    """
    return acquire(folder.lock, code="run.locked", what=f"the run folder {folder.root}")
