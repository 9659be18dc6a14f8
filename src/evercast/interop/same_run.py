"""Whether two likelihoods come from one run: then their data may be the same events."""

from __future__ import annotations

from pathlib import Path

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_folder import INDEX_FILE, read_index
from evercast.interop.places import Opened

__all__ = ["marks_of_run"]


def marks_of_run(opened: Opened | None) -> frozenset[str]:
    """Return what all likelihoods of one run have in common: the id of the run, and the sha256 of its workspace.

    Args:
        opened: a bundle, the folder of a run, or a workspace; None, or anything else, has no mark.

    Raises:
        IntegrityError: the index of a run is damaged.
    """
    if opened is None:
        return frozenset()
    if opened.manifest:
        said = (opened.manifest.get(key) for key in ("run_id", "workspace_sha256"))
        return frozenset(str(mark) for mark in said if mark)
    if opened.path.is_file():
        return frozenset({sha256_file(opened.path)})
    return _of_run(opened.path)


def _of_run(path: Path) -> frozenset[str]:
    for folder in (path, path / "likelihood", path.absolute().parent):
        if (folder / INDEX_FILE).is_file():
            index = read_index(folder)
            workspaces = (entry.sha256 for entry in index.likelihoods.values() if entry.kind == "workspace")
            return frozenset({index.run_id, *workspaces})
    return frozenset()
