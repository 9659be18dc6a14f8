"""What computed a result: versions, seeds, time, memory."""

from __future__ import annotations

import functools
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from evercast import __version__
from evercast.spec.codec import to_json

__all__ = ["PeakMemory", "now_utc", "seeds_of", "versions"]

_PACKAGES = (
    "awkward", "equinox", "iminuit", "jax", "jaxlib", "numpy", "optax", "pyhepmc", "pyhf", "pylhe", "pythia8mc",
    "safetensors", "scipy", "snakemake", "uproot", "vector", "zarr",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return package -> version of evercast, Python and the installed packages that compute."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    """Return the same, looked up once a process: it takes 40 ms, and a batch asks for each of its units."""
    found = {"evercast": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def seeds_of(recipe: object) -> dict[str, int]:
    """Return path -> seed for every ``seed`` in a recipe."""
    return dict(_seeds(to_json(recipe), path=""))


def _seeds(value: object, *, path: str) -> Iterator[tuple[str, int]]:
    if not isinstance(value, Mapping):
        return
    for key, part in value.items():
        place = f"{path}.{key}" if path else str(key)
        if key == "seed" and isinstance(part, int):
            yield place, part
        else:
            yield from _seeds(part, path=place)


def now_utc() -> str:
    """Return the time as ISO 8601, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class PeakMemory:
    """The largest resident memory of this process, or of one of its children, from now on.

    A process that computes several units has one peak for all of them, unless the kernel lets it begin anew.
    """

    def __init__(self) -> None:
        self._children = _children_kb()
        self.of = "unit" if _forget_peak() else "job"
        """What `mb` tells of: the unit since this was made, or all that the process has done."""

    def mb(self) -> float:
        """Return it, MB."""
        own, children = _own_kb(), _children_kb()
        counts = self.of == "job" or children > self._children  # an ended child of an earlier unit is not this one's
        return round(max(own, children if counts else 0) / 1024, 1)


def _forget_peak() -> bool:
    """Let the kernel begin the peak of this process anew; return whether it did."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _own_kb() -> int:
    """Return the peak of this process since it was last forgotten, kB."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _children_kb() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
