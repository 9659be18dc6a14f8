"""Files that a browser sends: bounded, under names of our own making, kept in the folder of the request."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from evercast.artifacts.files import disk_errors, flush_to_disk, make_folder
from evercast.errors import IntegrityError, InvalidInput
from evercast.serve.places import FOLDER_LIMIT, digest_of, side_files

__all__ = ["FILES", "Limits", "clean_name", "keep_upload", "remove_upload"]

FILES: Final = "files"
"""Folder of uploads in that of the request."""
_LONGEST: Final = 100
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold.

    Args:
        file_bytes: of one upload.
        folder_bytes: of all of them.
    """

    file_bytes: int
    folder_bytes: int


def clean_name(name: str) -> str:
    """Return a name for a file that a browser sent: letters, digits, '.', '_', '+' and '-', not hidden, no folder.

    Example:
        >>> clean_name("../../my spectrum (2).slha")
        'my_spectrum_2_.slha'
    """
    last = re.split(r"[/\\]", name)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", plain).lstrip(".-_+")
    stem, dot, ending = plain.rpartition(".")
    if len(plain) > _LONGEST:
        plain = f"{stem[: _LONGEST - len(ending) - 1]}{dot}{ending}" if dot and len(ending) < 20 else plain[:_LONGEST]
    return plain or "file"


def keep_upload(folder: Path, name: str, stream: IO[bytes], limits: Limits) -> str:
    """Keep an upload in the folder of a request and return its path there; the same content again changes nothing.

    Args:
        folder: of the request.
        name: as the browser says it.
        stream: its content.
        limits: what fits.

    Raises:
        InvalidInput: ``serve.too-large``, ``serve.too-many``, ``serve.file-exists``, ``serve.empty-file``.
        IntegrityError: ``serve.file-link``: the folder of uploads is a link.
        EnvironmentUnfit: the disk refuses.
    """
    place = folder / FILES
    if place.is_symlink():
        raise IntegrityError("the folder of uploads is a link", code="serve.file-link", where=FILES)
    make_folder(place)
    there = side_files(place, left_out=frozenset())
    if len(there) >= FOLDER_LIMIT:
        raise InvalidInput(f"the request has {len(there)} files; {FOLDER_LIMIT} is the most", code="serve.too-many")
    room = min(limits.file_bytes, limits.folder_bytes - sum(file.size_bytes for file in there))
    clean = clean_name(name)
    temporary = place / f".upload-{secrets.token_hex(8)}"
    try:
        digest = _copy(stream, temporary, room, name=clean)
        _put(temporary, place, clean, digest)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    flush_to_disk(place)
    return f"{FILES}/{clean}"


def _copy(stream: IO[bytes], path: Path, room: int, *, name: str) -> str:
    digest, size = hashlib.sha256(), 0
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > room:
                    message = f"the file is larger than the {room} bytes for which there is room"
                    hint = "copy it into the folder of the request, or start evercast serve with --upload-limit"
                    raise InvalidInput(message, code="serve.too-large", where=name, hint=hint)
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    if size == 0:
        raise InvalidInput("the file is empty", code="serve.empty-file", where=name)
    return digest.hexdigest()


def _put(temporary: Path, place: Path, name: str, digest: str) -> None:
    try:
        os.link(temporary, place / name, follow_symlinks=False)
    except FileExistsError:
        if (place / name).is_symlink() or digest_of(place, name)[0] != digest:
            message = "the request has another file of this name"
            raise InvalidInput(message, code="serve.file-exists", where=name, hint="remove that one first") from None


def remove_upload(folder: Path, path: str) -> None:
    """Remove an upload; a file that lies elsewhere in the folder is left alone.

    Raises:
        InvalidInput: ``serve.no-file``.
    """
    kept, slash, name = path.partition("/")
    place = folder / FILES / name
    if kept != FILES or not slash or name != clean_name(name) or (folder / FILES).is_symlink() or not place.is_file():
        raise InvalidInput("there is no such upload", code="serve.no-file", where=path)
    place.unlink()
