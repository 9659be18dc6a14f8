"""Leases: who works where, seen from every node that has the file system, also where no lock of the kernel reaches.

A lease is the file of highest number in a folder. Whoever creates a file that is not there yet has it; the file system
makes sure that only one can. Its holder rewrites it every few seconds. One that has certainly ended, or that was silent
for the time of a lease, is followed by a file of the next number: the number and the random token in the file fence the
former holder out, who looks before it publishes anything and stops as soon as it notices.

Clocks are not trusted: how long a holder was silent is measured by watching its file, with the clock of whoever waits.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors
from evercast.errors import EnvironmentUnfit, InvalidInput, RunFailed
from evercast.runtime.workers import Worker, has_ended, this_worker
from evercast.spec.codec import from_json

__all__ = ["BEAT_SECONDS", "SILENT_SECONDS", "Lease", "join_lease", "lease_holder", "take_lease"]

BEAT_SECONDS: Final = 10.0
"""How often a holder says that it lives."""
_SILENT_BEATS: Final = 6
"""A holder that was silent for so many beats has lost its lease."""
SILENT_SECONDS: Final = _SILENT_BEATS * BEAT_SECONDS
"""After how long that is."""
_WATCHED_BEATS: Final = 3
"""Where the time stamps call a lease old already, it is watched for so many beats: they may lie."""
_POLL_SECONDS: Final = 0.2
_SUFFIX: Final = ".lease"


class Lease:
    """A lease that this process took; to be kept with `kept` and given back with `release`.

    Args:
        path: its file.
        worker: this process.
        beat: seconds between two signs of life.
    """

    def __init__(self, path: Path, worker: Worker, *, beat: float) -> None:
        self.path, self.worker, self._beat = path, worker, beat
        self._handle = -1
        self._count = 0
        self._lost = False
        self._guard = threading.Lock()

    def is_ours(self) -> bool:
        """Return whether nobody has taken the lease over. Once lost, it stays lost."""
        with self._guard:
            found = _read(self.path)
            follower = self.path.with_name(f"{_number(self.path) + 1}{_SUFFIX}")
            self._lost = self._lost or found is None or found[1] != self.worker or follower.exists()
            return not self._lost

    def check(self, what: str) -> None:
        """Refuse to go on where the lease was taken over.

        Raises:
            RunFailed: ``run.fenced``.
        """
        if not self.is_ours():
            raise RunFailed(
                f"{what} was taken over by another process, because this one was thought dead; nothing was published",
                code="run.fenced",
                where=str(self.path),
                hint="the other one goes on; if there is none, run again",
            )

    def beat(self) -> None:
        """Say that the holder lives.

        Raises:
            OSError: the disk refuses.
        """
        with self._guard:
            if self._lost:
                return
            self._count += 1
            text = json.dumps({"beat": self._count, "every": self._beat, **asdict(self.worker)})
            os.pwrite(self._handle, text.ljust(1024).encode(), 0)
            os.fsync(self._handle)

    def keep(self, *, on_loss: Callable[[], None]) -> threading.Event:
        """Say from now on, from a thread of its own, that the holder lives, until the event that is returned is set.

        Args:
            on_loss: called by that thread, once, when somebody has taken the lease over.
        """
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(self._beat):
                with suppress(OSError):  # a full disk or a server that is away: the next beat may succeed
                    if not self.is_ours():
                        if not ended.is_set():
                            on_loss()
                        return
                    self.beat()

        threading.Thread(target=watch, name="lease", daemon=True).start()
        return ended

    @contextmanager
    def kept(self, *, on_loss: Callable[[], None]) -> Iterator[None]:
        """Keep the lease in the block and release it at its end; `on_loss` is that of `keep`."""
        ended = self.keep(on_loss=on_loss)
        try:
            yield
        finally:
            ended.set()
            self.release()

    def release(self) -> None:
        """Give the lease back; one that was lost is left to its new holder, one that cannot be removed to time."""
        with suppress(OSError):
            ours = self.is_ours()
            with self._guard:
                self._lost = True
                os.close(self._handle)
            if ours:
                self.path.unlink()
                self.path.parent.rmdir()

    def withdraw(self) -> None:
        """Remove the file of a lease that was created too late; it was nobody's."""
        with suppress(OSError), self._guard:
            self._lost = True
            os.close(self._handle)
            self.path.unlink()

    def open(self) -> None:
        """Open the file of a lease that is there.

        Raises:
            OSError: it is gone.
        """
        self._handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def create(self) -> bool:
        """Create the file of the lease; return whether nobody was quicker.

        Raises:
            OSError: the disk refuses.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except (FileExistsError, FileNotFoundError):
            return False
        try:
            self.beat()
        except OSError:
            os.close(self._handle)
            self.path.unlink()
            raise
        return True


def join_lease(folder: Path) -> Lease | None:
    """Return the lease that another process of this run holds, for a second one to say too that the run lives.

    Returns:
        None where there is none.
    """
    with suppress(OSError):
        newest = _newest(folder)
        found = None if newest is None else _read(newest)
        if newest is not None and found is not None:
            lease = Lease(newest, found[1], beat=found[2])
            lease.open()
            return lease
    return None


def take_lease(
    folder: Path, *, what: str, code: str, patience: float = 0.0, beat: float = BEAT_SECONDS
) -> Lease:  # fmt: skip
    """Take the lease of `folder`: at once where nobody has it or its holder has ended, else when that falls silent.

    Args:
        folder: made where it is missing; holds nothing but the lease.
        what: what is leased, for messages.
        code: code of the error when a living process has it.
        patience: how long to wait for a holder that gives signs of life, s.
        beat: seconds between two signs of life.

    Raises:
        EnvironmentUnfit: a living process has it, or the disk refuses.
    """
    watch, end = _Watch(), time.monotonic() + patience
    with disk_errors(folder):
        while True:
            newest = _newest(folder)
            if newest is None or watch.is_over(newest, beat=beat):
                lease = Lease(folder / f"{_number(newest) + 1}{_SUFFIX}", this_worker(), beat=beat)
                if lease.create():
                    if _newest(folder) == lease.path and (
                        newest is None or _follows(lease, newest, content=watch.content)
                    ):
                        return lease
                    lease.withdraw()
            elif watch.lives and time.monotonic() >= end:
                raise _refusal(newest, what=what, code=code)
            time.sleep(min(_POLL_SECONDS, beat / 4))


def lease_holder(folder: Path, *, ask: bool = False) -> Worker | None:
    """Return who holds a lease and may be alive, without waiting; None where nobody does.

    Somebody who was silent for long by the clock of this machine counts as dead here; `take_lease` looks closer.

    Args:
        folder: of the lease.
        ask: whether SLURM may be asked for the job of the holder.
    """
    with suppress(OSError):
        newest = _newest(folder)
        found = None if newest is None else _read(newest)
        if newest is not None and found is not None and not has_ended(found[1], ask=ask):
            silent = time.time() - newest.stat().st_mtime
            return found[1] if silent < _SILENT_BEATS * found[2] else None
    return None


class _Watch:
    """Watches the file of a lease for signs of life."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.content: bytes | None = None
        self.lives = False
        self._since = 0.0
        self._needed = 0.0
        self._asked = 0.0

    def is_over(self, path: Path, *, beat: float) -> bool:
        """Return whether the holder has ended or was silent long enough."""
        content = _bytes(path)
        if content is None:
            return False
        found = _parsed(content)
        if (path, content) != (self.path, self.content):
            every = beat if found is None else found[2]
            old = _age(path) > _SILENT_BEATS * every
            self.lives = not old or path == self.path  # it was seen to change
            self._needed = every * (_WATCHED_BEATS if old else _SILENT_BEATS)
            self.path, self.content, self._since, self._asked = path, content, time.monotonic(), 0.0
        now = time.monotonic()
        if found is not None and now - self._asked >= found[2]:
            self._asked = now
            if has_ended(found[1]):
                return True
        return now - self._since >= self._needed


def _follows(lease: Lease, former: Path, *, content: bytes | None) -> bool:
    """Remove the lease that was judged; return False where somebody else had got it meanwhile."""
    if _bytes(former) != content:  # it lives, or is gone: then numbers may have begun anew
        return False
    former.unlink(missing_ok=True)
    return lease.is_ours()


def _newest(folder: Path) -> Path | None:
    with suppress(FileNotFoundError):
        return max(folder.glob(f"*{_SUFFIX}"), key=_number, default=None)
    return None


def _number(path: Path | None) -> int:
    return int(path.name.removesuffix(_SUFFIX)) if path is not None else 0


def _bytes(path: Path) -> bytes | None:
    """Return the content of a file; None where it is gone."""
    try:
        return path.read_bytes()
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ESTALE):
            return None
        raise


def _read(path: Path) -> tuple[int, Worker, float] | None:
    content = _bytes(path)
    return None if content is None else _parsed(content)


def _parsed(content: bytes) -> tuple[int, Worker, float] | None:
    """Return count, holder and seconds between beats; None where the file is not whole yet."""
    try:
        body = json.loads(content)
        count, every = int(body.pop("beat")), float(body.pop("every"))
        return count, from_json(Worker, body), every
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInput):
        return None


def _age(path: Path) -> float:
    """Return how long ago a file was written, s, both times by the clock of the file system; 0 where it is unknown."""
    probe = path.with_name(f".{os.getpid()}.{threading.get_ident()}.probe")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with suppress(OSError):
            probe.unlink()


def _refusal(path: Path, *, what: str, code: str) -> EnvironmentUnfit:
    found = _read(path)
    who = "another process" if found is None else str(found[1])
    return EnvironmentUnfit(
        f"{what} is in use by {who}",
        code=code,
        where=str(path),
        hint="wait until it has ended or stop it; if it is dead, run again in a minute",
    )
