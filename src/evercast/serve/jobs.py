"""Checks and runs of requests as processes of their own: what goes wrong in one takes no other and not the server.

A process that the server started is ended by the server or ends by itself; a process of anybody else is never touched.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput
from evercast.runtime.processes import stop_tree
from evercast.serve.records import JobKind, Record, error_of, folder_of, write_record

__all__ = ["Jobs"]

_AT_A_TIME: Final = 2
"""Checks, and runs, that go on beside each other; those that come later wait."""
_POLL_SECONDS: Final = 0.2
"""How often a job that waits for its turn looks whether it is still wanted."""
_PATIENCE_SECONDS: Final = 30.0
"""How long a process that was asked to stop may take: the engine gives its own jobs 20 s."""


@dataclass(slots=True, eq=False)
class _Job:
    """A check or a run that has not ended."""

    folder: Path
    record: Record
    process: subprocess.Popen[bytes] | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """The checks and runs of a server.

    Args:
        options: further words for the command of a run, e.g. ``--cores 2``.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = tuple(options)
        self._lock = threading.Lock()
        self._jobs: dict[tuple[Path, JobKind], _Job] = {}
        self._turns = {kind: threading.Semaphore(_AT_A_TIME) for kind in ("check", "run")}
        self._closed = False

    def start(self, folder: Path, kind: JobKind, *, document: str) -> bool:
        """Begin a check or a run, and return whether it was begun: one that goes on already is not begun again.

        Args:
            folder: of the request.
            kind: what is done.
            document: sha256 of the request as it stands.

        Raises:
            EnvironmentUnfit: the disk refuses.
        """
        with self._lock:
            if self._closed or (folder, kind) in self._jobs:
                return False
            record = Record(kind=kind, document=document, started=_now())
            write_record(folder, record)
            job = self._jobs[folder, kind] = _Job(folder=folder, record=record)
        threading.Thread(target=self._follow, args=(job,), name=f"{kind} {folder.name}", daemon=True).start()
        return True

    def active(self, folder: Path, kind: JobKind) -> Record | None:
        """Return the check or run that goes on; None where there is none."""
        with self._lock:
            job = self._jobs.get((folder, kind))
            return None if job is None else job.record

    def wait(self, folder: Path, kind: JobKind, *, seconds: float) -> None:
        """Wait until the check or run that goes on has ended, but no longer than this."""
        with self._lock:
            job = self._jobs.get((folder, kind))
        if job is not None:
            job.ended.wait(seconds)

    def cancel(self, folder: Path) -> None:
        """Ask the run of a request to stop; what is computed is kept.

        Raises:
            InvalidInput: ``serve.no-run``: no run of this server goes on there.
        """
        with self._lock:
            job = self._jobs.get((folder, "run"))
            if job is None:
                hint = "a run that another process began is stopped there"
                raise InvalidInput("no run that this page began goes on", code="serve.no-run", hint=hint)
            self._ask(job)

    def close(self) -> None:
        """Ask every process that was begun here to stop, and end those that do not."""
        with self._lock:
            self._closed = True
            left = list(self._jobs.values())
            for job in left:
                self._ask(job)
        for job in left:
            if not job.ended.wait(_PATIENCE_SECONDS) and job.process is not None:
                stop_tree(job.process.pid)
                job.ended.wait(_PATIENCE_SECONDS)

    @staticmethod
    def _ask(job: _Job) -> None:
        job.record = replace(job.record, cancelled=True)
        if job.process is not None and job.process.poll() is None:
            job.process.send_signal(signal.SIGTERM)

    def _follow(self, job: _Job) -> None:
        """Wait for a turn, run the command, and write down how it ended."""
        turns = self._turns[job.record.kind]
        try:
            while not (has_turn := turns.acquire(timeout=_POLL_SECONDS)) and not job.record.cancelled:
                pass
            try:
                self._run(job)
            finally:
                if has_turn:
                    turns.release()
        finally:
            with self._lock:
                del self._jobs[job.folder, job.record.kind]
            job.ended.set()

    def _run(self, job: _Job) -> None:
        place = folder_of(job.folder)
        output, words = (place / f"{job.record.kind}.{ending}" for ending in ("out", "err"))
        for path in (output, words):
            path.unlink(missing_ok=True)
        with output.open("xb") as out, words.open("xb") as err, self._lock:
            if not job.record.cancelled:
                job.process = subprocess.Popen(  # noqa: S603 - our own program, words that are checked
                    self._command(job), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                )  # fmt: skip
                job.record = replace(job.record, pid=job.process.pid)
        code = None
        if job.process is not None:
            write_record(job.folder, job.record)
            code = job.process.wait()
        error = None if code is None else error_of(output, code=code, words=words)
        with self._lock:
            job.record = replace(job.record, ended=_now(), exit_code=code, error=error)
        write_record(job.folder, job.record)

    def _command(self, job: _Job) -> list[str]:
        begin = [sys.executable, "-P", "-m", "evercast", "request"]
        if job.record.kind == "check":
            return [*begin, "check", "--json", "--", str(job.folder)]
        return [*begin, "run", "--json", *self._options, "--", str(job.folder)]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
