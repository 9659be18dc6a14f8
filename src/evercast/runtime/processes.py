"""Foreign programs: scrubbed environment, output kept up to a limit, nothing left running."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["LOG_LIMIT", "Ended", "Guard", "clean_environment", "process_tree", "run_logged", "stop_tree"]

LOG_LIMIT: Final = 10_000_000
"""Bytes of output of one program that are kept."""

_TAIL = 4096
_GUARD_SECONDS: Final = 0.1
_UNWANTED_NAMES = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV"})
_UNWANTED_PREFIXES = ("APPTAINER", "SINGULARITY", "BASH_FUNC_")

Guard = Callable[[int], str | None]
"""Is asked every now and then about a running process; the text it answers, if any, is why to stop it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Args:
        code: exit code; minus the signal where a signal ended it.
        tail: the last lines of its output.
        stopped: why its guard stopped it; None where it ended by itself.
    """

    code: int
    tail: str
    stopped: str | None = None


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
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: BinaryIO, limit: int = LOG_LIMIT,
    guard: Guard | None = None, leashed: bool = False, limits: Mapping[int, int] | None = None,
) -> Ended:  # fmt: skip
    """Run a program, copy what it prints to `log` up to `limit` bytes, and return how it ended.

    Args:
        command: program and arguments.
        folder: working folder.
        environment: all variables that it sees.
        log: gets stdout and stderr, in the order in which they come.
        limit: bytes kept; the rest is read, counted and dropped.
        guard: looks at the process while it runs.
        leashed: stop it also when this process is killed.
        limits: resource of the kernel (``resource.RLIMIT_*``) -> soft and hard limit.
    """
    with (
        subprocess.Popen(  # noqa: S603 - running what the document declares is the purpose
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0,
        ) as process,
        _stopped(process),
        _leash(process, wanted=leashed),
        _guarded(process, guard) as reasons,
    ):  # fmt: skip
        _limit(process, limits or {})
        tail = _copy(process, log, limit=limit)
        code = process.wait()
    return Ended(code=code, tail=_last_lines(tail), stopped=next(iter(reasons), None))


def _limit(process: subprocess.Popen[bytes], limits: Mapping[int, int]) -> None:
    """Limit a process that has just started; what it starts inherits the limits."""
    for kind, wanted in limits.items():
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(process.pid, kind)
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.prlimit(process.pid, kind, (most, most))


@contextmanager
def _leash(process: subprocess.Popen[bytes], *, wanted: bool) -> Iterator[None]:
    """Hold, in the block, a small process that stops `process` when this one dies."""
    if not wanted:
        yield
        return
    line = [sys.executable, "-I", "-m", "evercast.runtime.leash", str(process.pid)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True, env={}) as leash:  # noqa: S603 - our own
        try:
            yield
        finally:
            if process.poll() is None:
                stop_tree(process.pid)
            if leash.stdin is not None:
                with suppress(BrokenPipeError):
                    leash.stdin.write(b".")
                    leash.stdin.flush()


@contextmanager
def _guarded(process: subprocess.Popen[bytes], guard: Guard | None) -> Iterator[list[str]]:
    """Ask the guard about a process during the block; gives the list that gets its reason when it stops it."""
    reasons: list[str] = []
    ended = threading.Event()

    def watch(ask: Guard) -> None:
        while not ended.wait(_GUARD_SECONDS):
            if (reason := ask(process.pid)) is not None:
                reasons.append(reason)
                stop_tree(process.pid)
                return

    watcher = threading.Thread(target=watch, args=(guard,), daemon=True) if guard is not None else None
    if watcher is not None:
        watcher.start()
    try:
        yield reasons
    finally:
        ended.set()
        if watcher is not None:
            watcher.join()


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


def process_tree(pid: int, *, limit: int | None = None) -> list[int]:
    """Return a process and all its descendants, parents first; those found by the time there are `limit` of them."""
    tree = [pid]
    for parent in tree:
        if limit is not None and len(tree) > limit:
            break
        with suppress(OSError):  # it ended while its threads were listed
            for children in Path(f"/proc/{parent}/task").glob("*/children"):  # a thread may be the parent
                with suppress(OSError, ValueError):
                    tree += [int(child) for child in children.read_text().split()]
    return tree


def stop_tree(pid: int) -> None:
    """Kill a process and all its descendants, also those that are born meanwhile.

    With the first process of a container the kernel kills all of that container at once, so it is the first to go.
    """
    for child in process_tree(pid, limit=16):
        if _begins_namespace(child):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    for _ in range(100):
        killed = 0
        for member in process_tree(pid):
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
                killed += not _is_dead(member)
        if not killed:
            return
        time.sleep(0.01)


def _begins_namespace(pid: int) -> bool:
    """Return whether a process is number 1 of a namespace of processes inside ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


def _is_dead(pid: int) -> bool:
    """Return whether a process has ended and only waits for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
