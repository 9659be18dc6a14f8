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

from platform_programs import lacking_programs, must_have_all  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

_NUMERIC_ROOMS = [
    "evercast.networks",
    "evercast.likelihood",
    "evercast.inference",
    "evercast.events",
    "evercast.artifacts",
]
install_import_hook(_NUMERIC_ROOMS, "beartype.beartype")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the source tree."""
    return ROOT


def _public_data() -> Path | None:
    """Return the first folder of EVERCAST_DATA, or the shared one beside the repository, that holds the CMS files."""
    named = [Path(part) for part in os.environ.get("EVERCAST_DATA", "").split(os.pathsep) if part]
    folders = [*named, ROOT.parent / "shared" / "data"]
    return next((folder for folder in folders if (folder / "cms-h4l" / "4mu_2012.csv").is_file()), None)


def _left_out() -> dict[str, str]:
    """Return what this machine lacks: a fixture or mark -> why its tests are left out. In CI nothing may be lacking.

    EVERCAST_PLATFORM=required says that containers and SLURM are there: their tests run, and fail where they are not.
    """
    if os.environ.get("CI"):
        return {}
    data = "the public files are in no folder of EVERCAST_DATA; small files made here stand in for them"
    missing = {} if _public_data() else {"real_data": data, "public_data": data}
    missing |= {} if must_have_all() else lacking_programs()
    return missing if os.geteuid() == 0 else missing | {"small_disk": "only root may mount a small file system"}


def pytest_report_header() -> list[str]:
    """Say which tests this machine cannot run."""
    return [f"tests with {name} are left out: {why}" for name, why in _left_out().items()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that this machine cannot run."""
    lacking = _left_out()
    out = [item for item in items if lacking.keys() & {*item.keywords, *getattr(item, "fixturenames", ())}]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(scope="session", autouse=True)
def _own_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The catalogue of the tests, which learns of every replay, is not that of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERCAST_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public input files."""
    found = _public_data()
    assert found is not None, "CI needs the public input files: name their folder in EVERCAST_DATA"
    return found


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, or of the size given as an indirect parameter."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={getattr(request, 'param', '1m')}", "tmpfs", str(place)]
    subprocess.run(["mount", *options], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)
