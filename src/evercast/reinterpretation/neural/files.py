"""Files of a requester in the work folder: by their digests, as they were when the request was submitted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from evercast.artifacts.files import disk_errors, make_folder
from evercast.errors import IntegrityError
from evercast.events.identity import content_digest
from evercast.reinterpretation.requests.declared import DeclaredSignal, InputFile

__all__ = ["check_inputs", "keep_inputs", "kept_file"]


def keep_inputs(root: Path, target: Path, signal: DeclaredSignal) -> None:
    """Keep the files of a signal: as hard links where the disk has them, else as copies.

    Args:
        root: folder of the request.
        target: folder in which the document of the run lies.
        signal: whose files they are.

    Raises:
        IntegrityError: ``request.frozen``: a file changed since it was checked.
        EnvironmentUnfit: the disk refuses.
    """
    for entry in signal.inputs:
        kept_file(root / entry.path, target / entry.place)
    check_inputs(target, signal)


def kept_file(source: Path, place: Path) -> None:
    """Keep a file, or a folder of arrays, at another place; one that is there stays.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    if place.exists():
        return
    make_folder(place.parent)
    with disk_errors(place):
        if source.is_dir():
            shutil.copytree(source, place)
            return
        try:
            os.link(source, place)
        except OSError:
            shutil.copyfile(source, place)


def check_inputs(target: Path, signal: DeclaredSignal) -> None:
    """Refuse files that are no longer those that were submitted.

    Raises:
        IntegrityError: ``request.frozen``.
    """
    for entry in signal.inputs:
        _check(target / entry.place, entry)


def _check(place: Path, entry: InputFile) -> None:
    found = content_digest(place) if place.exists() else "nothing"
    if found != entry.sha256:
        message = f"the file {entry.path} has the digest {found}; {entry.sha256} was submitted"
        raise IntegrityError(message, code="request.frozen", where=str(place), hint="submit the request again")
