"""Files below a folder, opened without following a link anywhere on the way."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from evercast.errors import EvercastError, IntegrityError, InvalidInput

__all__ = ["FOLDER_LIMIT", "SideFile", "digest_of", "known_digest", "open_below", "side_files"]

FOLDER_LIMIT: Final = 1000
"""Files of the requester in one request."""
_DEPTH: Final = 4
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFile:
    """A file of the requester beside the request.

    Args:
        path: below the folder of the request, with '/'.
        size_bytes: of its content.
    """

    path: str
    size_bytes: int


def open_below(folder: Path, parts: tuple[str, ...]) -> BufferedReader:
    """Return a regular file below a folder, opened for reading.

    Args:
        folder: itself may be reached over links.
        parts: names of the folders and of the file.

    Raises:
        InvalidInput: ``serve.no-file``: there is none, or a part is no name.
        IntegrityError: ``serve.file-link``: a part is a link.
    """
    where = "/".join(parts)
    if not parts or any(part in {"", ".", ".."} or "/" in part or "\0" in part for part in parts):
        raise InvalidInput("this is no path of a file", code="serve.no-file", where=where)
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        handle = os.open(parts[-1], _FILE, dir_fd=at)
    except OSError as err:
        if folder.joinpath(*parts).is_symlink() or any(place.is_symlink() for place in _between(folder, parts)):
            raise IntegrityError("a link is not followed", code="serve.file-link", where=where) from err
        raise InvalidInput("there is no such file", code="serve.no-file", where=where) from err
    finally:
        if at >= 0:
            os.close(at)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidInput("this is no regular file", code="serve.no-file", where=where)
    return os.fdopen(handle, "rb")


def _between(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    for count in range(1, len(parts)):
        yield folder.joinpath(*parts[:count])


def side_files(folder: Path, *, left_out: frozenset[str]) -> tuple[SideFile, ...]:
    """Return the regular files below a folder, links and hidden ones left out.

    Args:
        folder: of the request.
        left_out: names in it that are not the requester's.
    """
    found: list[SideFile] = []
    _look(folder, "", left_out, found, depth=0)
    return tuple(sorted(found, key=lambda file: file.path))


def _look(folder: Path, prefix: str, left_out: frozenset[str], found: list[SideFile], *, depth: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in left_out or len(found) >= FOLDER_LIMIT:
                continue
            if entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append(SideFile(path=prefix + entry.name, size_bytes=size))
            elif entry.is_dir(follow_symlinks=False) and depth < _DEPTH:
                _look(Path(entry.path), f"{prefix}{entry.name}/", frozenset(), found, depth=depth + 1)


_DIGESTS: Final[dict[tuple[int, int, int, int], str]] = {}
"""Device, inode, size and time of a file -> its sha256: a file that did not change is read once."""


def digest_of(folder: Path, path: str) -> tuple[str, int]:
    """Return the sha256 and the size of a file below a folder.

    Raises:
        InvalidInput: ``serve.no-file``.
        IntegrityError: ``serve.file-link``.
    """
    with open_below(folder, tuple(path.split("/"))) as stream:
        status = os.fstat(stream.fileno())
        if _stamp(status) not in _DIGESTS:
            _DIGESTS[_stamp(status)] = hashlib.file_digest(stream, "sha256").hexdigest()
        return _DIGESTS[_stamp(status)], status.st_size


def known_digest(folder: Path, path: str) -> str | None:
    """Return the sha256 of a file that was read before; None where it was not, or is gone."""
    try:
        with open_below(folder, tuple(path.split("/"))) as stream:
            return _DIGESTS.get(_stamp(os.fstat(stream.fileno())))
    except EvercastError:
        return None


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
