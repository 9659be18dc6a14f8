"""The folder of real input files, where the machine has one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The first folder of EVERCAST_DATA, or the shared folder beside the repository, that holds the CMS files."""
    named = [Path(part) for part in os.environ.get("EVERCAST_DATA", "").split(os.pathsep) if part]
    for folder in [*named, ROOT.parent / "shared" / "data"]:
        if (folder / "cms-h4l" / "4mu_2012.csv").is_file():
            return folder
    pytest.skip("no folder with the public input files; the same behaviour is tested on small files made here")
