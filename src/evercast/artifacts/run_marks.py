"""What tells that two likelihoods come from one run: then their data may be the same events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evercast.artifacts.bundle_open import MANIFEST_FILE
from evercast.artifacts.files import read_json, sha256_file
from evercast.artifacts.likelihood_folder import INDEX_FILE, read_index

__all__ = ["marks_of", "marks_of_manifest"]


def marks_of(path: Path) -> frozenset[str]:
    """Return what all likelihoods of one run have in common: the id of the run, and the sha256 of its workspace.

    Args:
        path: the folder of a neural bundle or of a run, or a file.

    Raises:
        IntegrityError: the index of a run, or the manifest of a bundle, is damaged.
    """
    if path.is_file():
        return frozenset({sha256_file(path)})
    manifest = path / MANIFEST_FILE
    if manifest.is_file():
        body = read_json(manifest)
        return marks_of_manifest(body if isinstance(body, Mapping) else {})
    for folder in (path, path / "likelihood", path.absolute().parent):
        if (folder / INDEX_FILE).is_file():
            index = read_index(folder)
            workspaces = (entry.sha256 for entry in index.likelihoods.values() if entry.kind == "workspace")
            return frozenset({index.run_id, *workspaces})
    return frozenset()


def marks_of_manifest(manifest: Mapping[str, object]) -> frozenset[str]:
    """Return the marks that the manifest of a neural bundle names."""
    said = (manifest.get(key) for key in ("run_id", "workspace_sha256"))
    return frozenset(str(mark) for mark in said if mark)
