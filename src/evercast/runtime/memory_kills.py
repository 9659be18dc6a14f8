"""Whether the kernel killed a program of this job for its memory: the control group of the job counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evercast.errors import EnvironmentUnfit, RunFailed

__all__ = ["memory_kills", "naming_memory_kills"]

_ROOT = Path("/sys/fs/cgroup")


def memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes of the control group of this process were killed for its memory limit.

    Args:
        root: where control groups are mounted.

    Returns:
        0 where there is no such group, or it does not count.
    """
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            place = path.lstrip("/")
            if "memory" in controllers.split(","):
                return _count(root / "memory" / place / "memory.oom_control")
            if not controllers and (root / place / "memory.events").exists():
                return _count(root / place / "memory.events")
    return 0


def _count(file: Path) -> int:
    words = [line.split() for line in file.read_text().splitlines()]
    return next((int(pair[1]) for pair in words if pair[0] == "oom_kill"), 0)


@contextmanager
def naming_memory_kills(unit: str) -> Iterator[None]:
    """Turn a failure in the block during which the kernel killed a program for its memory into one that says so.

    Raises:
        EnvironmentUnfit: ``stage.out-of-memory``.
    """
    before = memory_kills()
    try:
        yield
    except RunFailed as err:
        if memory_kills() > before:
            raise EnvironmentUnfit(
                f"a program of it was killed for using more memory than the job was given ({err.message.strip()})",
                code="stage.out-of-memory",
                where=unit,
                hint="give its stage more memory in the profile (set-resources: STAGE: mem_mb=MB) or set retries, "
                "which ask for more each time; then run the same command again",
            ) from err
        raise
