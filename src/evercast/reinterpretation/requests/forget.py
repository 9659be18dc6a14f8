"""Results removed from the folder of a request, so that all is computed again: the folder may be a stranger's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors

__all__ = ["remove_results"]

_INPUTS: Final = frozenset({"inputs", "document"})
"""Of the work, what holds the files of the requester: they are compared with their digests before they are read."""


def remove_results(folder: Path, run: str) -> None:
    """Remove results of points, selected events, units of the engine and the response; copies and inputs stay.

    Args:
        folder: of the request.
        run: identity of the submission.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    work, frozen = folder / "work", folder / "runs" / run[:12]
    found = [folder / "points", folder / "responses" / run[:12], frozen / "selected.json", frozen / "before.json"]
    if work.is_symlink():
        found.append(work)
    elif work.is_dir():
        found += [place for place in work.iterdir() if place.name not in _INPUTS]
    for place in found:
        with disk_errors(place):
            _remove(place)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
