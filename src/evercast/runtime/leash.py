"""Kills a tree of processes when the process that started it has died, whatever killed that one.

A container outlives a killed job: Apptainer clears the request to die with its parent. So a job that starts one also
starts this, which reads a pipe whose other end only the job holds. ``python -I -m evercast.runtime.leash PID``
"""

from __future__ import annotations

import sys
from pathlib import Path

from evercast.runtime.processes import stop_tree

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Wait until the job says that all is well (any byte) or dies (end of file); then stop what it had started."""
    pid = int(arguments[0])
    born = _born(pid)
    if not sys.stdin.buffer.read(1) and born is not None and _born(pid) == born:
        stop_tree(pid)
    return 0


def _born(pid: int) -> str | None:
    """Return the start time of a process, which tells it from a later one with its number; None where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
