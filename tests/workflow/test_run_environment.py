"""What a user installs is enough: whole commands run where nothing but the packages of requirements/run.txt is seen."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_documents import environment

WITHOUT_OTHERS = """
import re, sys
from importlib.metadata import packages_distributions

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

locked = {plain(name) for name in sys.argv.pop(1).split(",")} | {"evercast"}
others = {top for top, dists in packages_distributions().items() if not locked & {plain(dist) for dist in dists}}

class OnlyLocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in others:
            raise ModuleNotFoundError(f"No module named {name!r}: not in requirements/run.txt", name=name)
        return None

sys.meta_path.insert(0, OnlyLocked)
assert "pytest" in others and "numpy" not in others
from evercast.cli import main
main()
"""


@pytest.fixture(scope="module")
def locked(repository: Path) -> str:
    """Names of the packages in requirements/run.txt, with commas."""
    text = (repository / "requirements" / "run.txt").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)==", text, flags=re.MULTILINE)
    assert len(names) > 100
    return ",".join(names)


def test_a_run_is_published_and_verified_with_the_locked_packages_alone(
    toy_run: Path, tmp_path: Path, locked: str
) -> None:
    folder = Path(shutil.copytree(toy_run, tmp_path / "run", symlinks=True))
    bundle = "results/toy/publication/bundles/neural"
    for words in (("publish", "analysis.yaml"), ("verify", bundle), ("verify", "results/toy/publication/archive")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", WITHOUT_OTHERS, locked, *words],
            cwd=folder, env=environment(), capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
