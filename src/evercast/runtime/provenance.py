"""What computed a result: versions, seeds, time, memory."""

from __future__ import annotations

import functools
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from importlib import metadata

from evercast import __version__
from evercast.spec.codec import to_json

__all__ = ["max_rss_mb", "now_utc", "seeds_of", "versions"]

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


def max_rss_mb() -> float:
    """Return the largest resident memory so far of this process or one of its children, MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(max(own, children) / 1024, 1)
