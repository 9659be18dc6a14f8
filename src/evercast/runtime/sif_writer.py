"""Writes image files (SIF) whose bytes follow from their content alone: no clock, no user, no random id."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from evercast.artifacts.files import disk_errors
from evercast.runtime.sif import ARCHITECTURES, DEFINITION, DESCRIPTOR, HEADER, LABELS, PARTITION, SIGNATURE, read_sif

__all__ = ["forget_times", "write_sif"]

_PAGE: Final = 4096
_ENTRIES: Final = 48
"""Rows of the table of contents, most of them free: signing adds some."""
_TABLE: Final = _ENTRIES * DESCRIPTOR.size
_GROUP: Final = 0xF0000001
_LAUNCH: Final = b"#!/usr/bin/env run-singularity\n"
_SQUASHFS, _PRIMARY = 1, 2


def write_sif(
    file: Path, *, file_system: Path, definition: str, labels: Mapping[str, str], architecture: str, epoch: int
) -> None:
    """Write an image file.

    Args:
        file: is written.
        file_system: the SquashFS image of the container's file system.
        definition: the recipe, kept for people.
        labels: label -> value.
        architecture: e.g. ``amd64``.
        epoch: the time written wherever the format wants one, seconds since 1970.

    Raises:
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    code = next(key for key, name in ARCHITECTURES.items() if name == architecture)
    label_text = json.dumps(dict(labels), indent=1, sort_keys=True).encode()
    partition = _SQUASHFS.to_bytes(4, "little") + _PRIMARY.to_bytes(4, "little") + code
    contents: tuple[tuple[int, str, bytes | Path, bytes], ...] = (
        (DEFINITION, "recipe", definition.encode(), b""),
        (LABELS, "labels", label_text, b""),
        (PARTITION, "file-system", file_system, partition),
    )
    with disk_errors(file), file.open("wb") as stream:
        start = at = _padded(_PAGE + _TABLE)
        rows = []
        for number, (kind, name, content, extra) in enumerate(contents, start=1):
            size = _copy(content, stream, at)
            place = (0, at, size, size, epoch, epoch, 0, 0)
            row = (kind, True, number, _GROUP, *place, name.encode(), extra)
            rows.append(DESCRIPTOR.pack(*row))
            at = _padded(at + size)
        end = stream.tell()
        stream.seek(_PAGE)
        stream.write(b"".join(rows).ljust(_TABLE, b"\0"))
        identity = hashlib.sha256(b"".join(rows) + _digest(file_system)).digest()[:16]
        places = (_ENTRIES - len(rows), _ENTRIES, _PAGE, _TABLE, start, end - start)
        stream.seek(0)
        stream.write(HEADER.pack(_LAUNCH, b"SIF_MAGIC\0", b"01\0", code, identity, epoch, epoch, *places))


def forget_times(file: Path, *, epoch: int) -> None:
    """Give the times and users that signing wrote into an image file the values of `write_sif`.

    A signature covers neither: the file stays signed.
    """
    read_sif(file)
    with file.open("r+b") as stream:
        fields = list(HEADER.unpack(stream.read(HEADER.size)))
        fields[5] = fields[6] = epoch
        stream.seek(0)
        stream.write(HEADER.pack(*fields))
        for number in range(fields[8]):
            place = fields[9] + number * DESCRIPTOR.size
            stream.seek(place)
            row = list(DESCRIPTOR.unpack(stream.read(DESCRIPTOR.size)))
            if row[1] and row[0] == SIGNATURE:
                row[8:12] = [epoch, epoch, 0, 0]
                stream.seek(place)
                stream.write(DESCRIPTOR.pack(*row))


def _padded(offset: int) -> int:
    return -(-offset // _PAGE) * _PAGE


def _copy(content: bytes | Path, stream: BinaryIO, at: int) -> int:
    """Write the content at a place and return its size."""
    stream.seek(at)
    if isinstance(content, bytes):
        return stream.write(content)
    with content.open("rb") as source:
        shutil.copyfileobj(source, stream, 1 << 20)
    return stream.tell() - at


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
