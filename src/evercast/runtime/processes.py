"""Foreign programs: scrubbed environment, output kept up to a limit, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["LOG_LIMIT", "Ended", "clean_environment", "run_logged", "stop_tree"]

LOG_LIMIT: Final = 10_000_000
"""Bytes of output of one program that are kept."""

_TAIL = 4096
_UNWANTED_NAMES = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV"})
_UNWANTED_PREFIXES = ("APPTAINER", "SINGULARITY", "BASH_FUNC_")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Args:
        code: exit code; minus the signal where a signal ended it.
        tail: the last lines of its output.
    """

    code: int
    tail: str


def clean_environment(*, threads: int) -> dict[str, str]:
    """Return the environment for a foreign program, without what makes it load other code, for `threads` cores."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _UNWANTED_NAMES and not name.startswith(_UNWANTED_PREFIXES)
    }
    here = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join((here, kept.get("PATH", os.defpath)))
    kept["OMP_NUM_THREADS"] = str(threads)
    return kept


def run_logged(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: BinaryIO, limit: int = LOG_LIMIT
) -> Ended:
    """Run a program, copy what it prints to `log` up to `limit` bytes, and return how it ended.

    Args:
        command: program and arguments.
        folder: working folder.
        environment: all variables that it sees.
        log: gets stdout and stderr, in the order in which they come.
        limit: bytes kept; the rest is read, counted and dropped.
    """
    with subprocess.Popen(  # noqa: S603 - running what the document declares is the purpose
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, bufsize=0,
    ) as process, _stopped(process):  # fmt: skip
        tail = _copy(process, log, limit=limit)
        code = process.wait()
    return Ended(code=code, tail=_last_lines(tail))


def _copy(process: subprocess.Popen[bytes], log: BinaryIO, *, limit: int) -> bytes:
    """Copy the output of a process and return its last bytes."""
    written = dropped = 0
    tail = b""
    stream = process.stdout
    while stream is not None and (chunk := stream.read(65536)):
        kept = chunk[: limit - written]
        log.write(kept)
        log.flush()
        written += len(kept)
        dropped += len(chunk) - len(kept)
        tail = (tail + chunk)[-_TAIL:]
    if dropped:
        log.write(f"\n[{dropped} more bytes of output are not kept]\n".encode())
    return tail


def _last_lines(tail: bytes, *, count: int = 12) -> str:
    text = tail.decode(errors="replace")
    lines = ["".join(mark if mark.isprintable() else "?" for mark in line) for line in text.splitlines()]
    return "\n".join(lines[-count:])


@contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind when the block ends early."""
    try:
        yield
    finally:
        if process.poll() is None:
            stop_tree(process.pid)


def stop_tree(pid: int) -> None:
    """Kill a process and all its descendants."""
    tree = [pid]
    for parent in tree:
        with suppress(OSError, ValueError):
            tree += [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    for member in tree:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
