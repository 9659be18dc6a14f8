from __future__ import annotations

from pathlib import Path

import pytest

from workflow_documents import body, evercast, small_body, write_document


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole toy analysis was run; not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    write_document(folder, body())
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", cwd=folder)
    (folder / "stdout.json").write_text(done.stdout)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy analysis without networks was run; not to be changed."""
    folder = tmp_path_factory.mktemp("small")
    write_document(folder, small_body())
    done = evercast("run", "analysis.yaml", "--cores", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    (folder / "stderr.txt").write_text(done.stderr)
    return folder
