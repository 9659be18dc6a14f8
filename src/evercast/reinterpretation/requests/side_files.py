"""Files beside a request: below its folder, no links anywhere on the way, known by size and digest."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final, Protocol

from evercast.errors import IntegrityError, InvalidInput
from evercast.events.identity import content_digest

__all__ = ["Stamp", "Stated", "check_side_file", "place_of", "read_side_file", "stamp_of"]

_CHUNK: Final = 1 << 22

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of every file, by which a change during a read is noticed."""


class Stated(Protocol):
    """What a request says of a file."""

    @property
    def path(self) -> str:
        """Below the folder of the request."""

    @property
    def sha256(self) -> str:
        """Digest of its content."""

    @property
    def size_bytes(self) -> int:
        """Its size."""


def place_of(folder: Path, path: str) -> Path:
    """Return where a file below the folder of a request lies.

    Raises:
        IntegrityError: ``request.file-link``: it is a link, or lies below one, or holds one.
        InvalidInput: ``request.no-file``: there is none, or it is no regular file.
    """
    place = folder
    for part in Path(path).parts:
        place /= part
        if place.is_symlink():
            raise IntegrityError("the file or its folder is a link", code="request.file-link", where=path)
    if place.is_dir():
        inside = list(place.rglob("*"))
        if any(item.is_symlink() for item in inside):
            raise IntegrityError("the folder holds a link", code="request.file-link", where=path)
        if any(not item.is_dir() and not item.is_file() for item in inside):
            raise InvalidInput("the folder holds what is no regular file", code="request.no-file", where=path)
        return place
    if not place.exists():
        raise InvalidInput("the file cannot be read: no such file or directory", code="request.no-file", where=path)
    if not place.is_file():
        raise InvalidInput("the file is no regular file", code="request.no-file", where=path)
    return place


def read_side_file(folder: Path, stated: Stated) -> bytes:
    """Return the content of a small file below the folder of a request.

    Raises:
        IntegrityError: ``request.file-link``, ``request.file-size``, ``request.file-digest``.
        InvalidInput: ``request.no-file``.
    """
    place = place_of(folder, stated.path)
    with os.fdopen(_opened(place, stated.path), "rb") as stream:
        content = stream.read(stated.size_bytes + 1)
        size = os.fstat(stream.fileno()).st_size
    _check(stated, size=size, digest=hashlib.sha256(content).hexdigest())
    return content


def check_side_file(folder: Path, stated: Stated) -> Path:
    """Return where a file or a folder of arrays lies, after its size and its digest were compared.

    Raises:
        IntegrityError: ``request.file-link``, ``request.file-size``, ``request.file-digest``.
        InvalidInput: ``request.no-file``.
    """
    place = place_of(folder, stated.path)
    if place.is_dir():
        size = sum(item.stat().st_size for item in place.rglob("*") if item.is_file())
        _check(stated, size=size, digest=None)
        _check(stated, size=size, digest=content_digest(place))
        return place
    digest = hashlib.sha256()
    with os.fdopen(_opened(place, stated.path), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        _check(stated, size=size, digest=None)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    _check(stated, size=size, digest=digest.hexdigest())
    return place


def stamp_of(place: Path) -> Stamp:
    """Return the stamp of a file, or of the files of a folder."""
    files = sorted(item for item in place.rglob("*") if item.is_file()) if place.is_dir() else [place]
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in (item.stat() for item in files))


def _opened(place: Path, path: str) -> int:
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        message = f"the file cannot be read: {(err.strerror or str(err)).lower()}"
        raise InvalidInput(message, code="request.no-file", where=path) from err
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidInput("the file is no regular file", code="request.no-file", where=path)
    return handle


def _check(stated: Stated, *, size: int, digest: str | None) -> None:
    if size != stated.size_bytes:
        message = f"the file has {size} bytes; the request states {stated.size_bytes}"
        raise IntegrityError(message, code="request.file-size", where=stated.path)
    if digest is not None and digest != stated.sha256:
        message = f"the file has sha256 {digest}; the request states {stated.sha256}"
        raise IntegrityError(message, code="request.file-digest", where=stated.path)
