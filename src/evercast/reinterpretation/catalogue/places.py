"""Where preserved analyses lie below a folder: documents, archives, bundles and indexes, told by few names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from evercast.artifacts.bag import BAGIT
from evercast.artifacts.bundle_open import MANIFEST_FILE
from evercast.artifacts.tar_files import is_tar
from evercast.spec.documents_kind import kind_of_file

__all__ = ["DOCUMENTS", "INDEX_FILES", "Found", "find_places"]

DOCUMENTS: Final = ("wrapped.yaml", "analysis.yaml")
INDEX_FILES: Final = ("catalogue-index.yaml", "catalogue-index.json")
_KINDS: Final = {"wrapped-analysis": "wrapped", "analysis": "analysis", "catalogue-index": "index"}
_VERSION: Final = re.compile(r"v[1-9][0-9]{0,5}")
_DEPTH: Final = 2
_MOST: Final = 20_000
_HEAD: Final = 1 << 20

Form = Literal["wrapped", "analysis", "index", "archive", "bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that the catalogue lists.

    Args:
        path: a document, the folder or tar file of an archive, or the folder of a bundle.
        form: what it is.
    """

    path: Path
    form: Form


def find_places(place: Path) -> list[Found]:
    """Return what lies at a place and in the two levels of folders below it; links are not followed.

    Nothing is looked for within an archive or a bundle. In the folder of a run its publication is looked at, and
    nothing else of it.

    Args:
        place: a folder, or one document, index or tar file.
    """
    if not place.is_dir():
        found = _of_file(place, named=True)
        return [] if found is None else [found]
    return list(_below(place, _DEPTH, [0]))


def _below(folder: Path, depth: int, seen: list[int]) -> Iterator[Found]:
    seen[0] += 1
    if seen[0] > _MOST:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries}
    if BAGIT in names or any(_VERSION.fullmatch(name) and _is_file(folder / name / BAGIT) for name in names):
        yield Found(path=folder, form="archive")
        return
    if MANIFEST_FILE in names and _is_bundle(folder, names):
        yield Found(path=folder, form="bundle")
        return
    for name in (*DOCUMENTS, *INDEX_FILES, *sorted(name for name in names if name.endswith(".tar"))):
        found = _of_file(folder / name, named=False) if name in names else None
        if found is not None:
            yield found
    folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")]
    run = {"publication", "work"} <= names
    for entry in folders:
        if entry.name == "publication":
            yield from _below(folder / entry.name, _DEPTH, seen)
        elif depth > 0 and not run:
            yield from _below(folder / entry.name, depth - 1, seen)


def _is_bundle(folder: Path, names: set[str]) -> bool:
    """Return whether a folder with a manifest is a neural bundle; other programs have files of that name too."""
    manifest = folder / MANIFEST_FILE
    if not _is_file(manifest) or manifest.is_symlink():
        return False
    if "likelihood.json" in names:
        return True
    try:
        with manifest.open("rb") as stream:
            return b'"neural-likelihood/' in stream.read(_HEAD)
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """Return whether a regular file is there; what may not be looked at counts as none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_tar(path: Path) -> bool:
    try:
        return is_tar(path)
    except OSError:
        return False


def _of_file(path: Path, *, named: bool) -> Found | None:
    if not _is_file(path) or (path.is_symlink() and not named):
        return None
    if _is_tar(path):
        return Found(path=path, form="archive")
    kind = _KINDS.get(kind_of_file(path) or "")
    forms: dict[str, Form] = {"wrapped": "wrapped", "analysis": "analysis", "index": "index"}
    return Found(path=path, form=forms[kind]) if kind in forms else None
