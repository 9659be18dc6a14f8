"""What all tests share: array annotations are checked while they run, and nothing leaves the test's own folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

# One thread a process: the tests of one machine run side by side. Set before numpy and jax are loaded.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

_NUMERIC_ROOMS = [
    "evercast.networks",
    "evercast.likelihood",
    "evercast.inference",
    "evercast.events",
    "evercast.artifacts",
]
install_import_hook(_NUMERIC_ROOMS, "beartype.beartype")


@pytest.fixture
def repository() -> Path:
    """The folder of the source tree."""
    return ROOT


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, or of the size given as an indirect parameter."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={getattr(request, 'param', '1m')}", "tmpfs", str(place)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"this user may not mount a small file system: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
