"""Files of a request kept where its events are made and selected, by their digests, as they were submitted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from evercast.artifacts.files import disk_errors, make_folder
from evercast.errors import IntegrityError
from evercast.events.identity import content_digest
from evercast.reinterpretation.requests.declared import DeclaredSignal

__all__ = ["check_inputs", "keep_file", "keep_inputs"]


def keep_inputs(root: Path, folder: Path, signals: Iterable[DeclaredSignal]) -> None:
    """Keep the files of signals for a run: as hard links where the disk has them, else as copies.

    Args:
        root: folder of the request.
        folder: in which the document of the run lies.
        signals: whose files they are.

    Raises:
        IntegrityError: ``request.frozen``: a file changed since it was checked.
        EnvironmentUnfit: the disk refuses.
    """
    for signal in signals:
        for entry in signal.inputs:
            keep_file(root / entry.path, folder / entry.place, digest=entry.sha256)
        check_inputs(folder, [signal])


def keep_file(source: Path, place: Path, *, digest: str) -> None:
    """Keep a file, or a folder of arrays; a copy of this digest stays, one that somebody changed is replaced.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    if place.exists() and content_digest(place) == digest:
        return
    make_folder(place.parent)
    with disk_errors(place):
        _remove(place)
        _link(source, place)


def check_inputs(folder: Path, signals: Iterable[DeclaredSignal]) -> None:
    """Refuse files that are no longer those that were submitted.

    Raises:
        IntegrityError: ``request.frozen``.
    """
    for signal in signals:
        for entry in signal.inputs:
            place = folder / entry.place
            found = content_digest(place) if place.exists() else "nothing"
            if found != entry.sha256:
                message = f"the file {entry.path} has the digest {found}; {entry.sha256} was submitted"
                raise IntegrityError(message, code="request.frozen", where=str(place), hint="submit the request again")


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _link(source: Path, place: Path) -> None:
    """Link or copy a file, or every file of a folder; a folder appears whole."""
    if source.is_dir():
        trial = place.with_name(f".{place.name}.new")
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(source, trial, copy_function=_link_file)
        trial.rename(place)
        return
    _link_file(str(source), str(place))


def _link_file(source: str, place: str) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, place, follow_symlinks=False)
