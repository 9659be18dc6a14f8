"""Files of a requester: below the folder of the request, no links, with the size and the digest that are stated."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from evercast.artifacts.files import disk_errors, make_folder, sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.requests.model import SampleFile, SideFile

__all__ = ["copied_file", "request_file"]


def request_file(folder: Path, stated: SampleFile | SideFile, *, where: str) -> Path:
    """Return where a file lies, after its size and digest were compared.

    Raises:
        IntegrityError: ``request.file-link``, ``request.file-size``, ``request.file-digest``.
        InvalidInput: ``request.no-file``.
    """
    place = folder
    for part in Path(stated.path).parts:
        place /= part
        if place.is_symlink():
            raise IntegrityError("the file or its folder is a link", code="request.file-link", where=where)
    try:
        found = os.lstat(place)
    except OSError as err:
        message = f"{stated.path} cannot be read: {(err.strerror or str(err)).lower()}"
        raise InvalidInput(message, code="request.no-file", where=where) from err
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{stated.path} is no regular file", code="request.no-file", where=where)
    if found.st_size != stated.size_bytes:
        message = f"{stated.path} has {found.st_size} bytes; the request states {stated.size_bytes}"
        raise IntegrityError(message, code="request.file-size", where=where)
    digest = sha256_file(place)
    if digest != stated.sha256:
        message = f"{stated.path} has sha256 {digest}; the request states {stated.sha256}"
        raise IntegrityError(message, code="request.file-digest", where=where)
    return place


def copied_file(folder: Path, stated: SampleFile | SideFile, target: Path, *, where: str) -> str:
    """Copy a file to a folder under its digest, unless it is there, and return its name there.

    Raises:
        IntegrityError: as `request_file`, also where it changes while it is copied.
        InvalidInput: ``request.no-file``.
        EnvironmentUnfit: the disk refuses.
    """
    name = f"{stated.sha256}{''.join(Path(stated.path).suffixes)[-20:]}"
    place = target / name
    if place.is_file() and not place.is_symlink() and sha256_file(place) == stated.sha256:
        return name
    source = request_file(folder, stated, where=where)
    make_folder(target)
    temporary = target / f".{name}.copy"
    with disk_errors(place):
        with source.open("rb") as reader, temporary.open("wb") as writer:
            while block := reader.read(1 << 20):
                writer.write(block)
        if sha256_file(temporary) != stated.sha256:
            temporary.unlink()
            message = f"{stated.path} changed while it was copied"
            raise IntegrityError(message, code="request.file-digest", where=where)
        temporary.replace(place)
    return name
