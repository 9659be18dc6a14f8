"""Image files (SIF): what their header and their table of contents say, read without a container runtime."""

from __future__ import annotations

import json
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evercast.errors import EnvironmentUnfit

__all__ = [
    "ARCHITECTURES",
    "DEFINITION",
    "DESCRIPTOR",
    "HEADER",
    "LABELS",
    "PARTITION",
    "SIGNATURE",
    "Sif",
    "SifObject",
    "machine_architecture",
    "read_sif",
]

HEADER: Final = struct.Struct("<32s10s3s3s16s8q")
"""Launch line, magic, version, architecture, id, created, modified, free, total, table, table size, data, data size."""
DESCRIPTOR: Final = struct.Struct("<i?3I7q128s384s")
"""Kind, in use, id, group, link, offset, size, padded size, created, modified, user, group of the user, name, extra."""

DEFINITION: Final = 0x4001
LABELS: Final = 0x4003
PARTITION: Final = 0x4004
SIGNATURE: Final = 0x4005

ARCHITECTURES: Final[Mapping[bytes, str]] = {
    b"01\0": "386", b"02\0": "amd64", b"03\0": "arm", b"04\0": "arm64", b"05\0": "ppc64", b"06\0": "ppc64le",
    b"11\0": "s390x", b"12\0": "riscv64",
}  # fmt: skip
"""Code in the header -> name of the processor architecture."""
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386"}
_MAGIC: Final = b"SIF_MAGIC\0"
_MOST_OBJECTS: Final = 1024
_MOST_LABELS: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SifObject:
    """One entry of the table of contents.

    Args:
        kind: what it is, e.g. `PARTITION`.
        offset: where its bytes start.
        size: bytes.
        name: as stored.
        extra: what the kind adds: for a signature the kind of hash and the signer's key, where it is named.
    """

    kind: int
    offset: int
    size: int
    name: str
    extra: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sif:
    """What an image file says of itself.

    Args:
        file: the file.
        architecture: processor architecture, e.g. ``amd64``.
        objects: its table of contents.
        labels: label -> value; empty where the file carries none outside its file system.
    """

    file: Path
    architecture: str
    objects: tuple[SifObject, ...]
    labels: Mapping[str, str]

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature, by whomever."""
        return any(item.kind == SIGNATURE for item in self.objects)

    def content(self, item: SifObject) -> bytes:
        """Return the bytes of one object."""
        with self.file.open("rb") as stream:
            stream.seek(item.offset)
            return stream.read(item.size)


def machine_architecture() -> str:
    """Return the processor architecture of this machine as image files name it."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def read_sif(file: Path) -> Sif:
    """Return what the header of an image file says.

    Raises:
        EnvironmentUnfit: ``image.missing``; ``image.not-an-image`` (empty, a text, another kind of file);
            ``image.cut`` (shorter than its table of contents says).
    """
    try:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "there is no such file"
            raise _unfit("image.missing", f"the image cannot be used: {what}", file)
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(HEADER.size)
            fields = _header(head, size=size, file=file)
            total, start = fields[8], fields[9]
            stream.seek(start)
            table = stream.read(total * DESCRIPTOR.size)
    except OSError as err:
        raise _unfit("image.missing", f"the image cannot be read: {err.strerror}", file) from err
    if len(table) < total * DESCRIPTOR.size:
        raise _cut(file, size=size, needed=start + total * DESCRIPTOR.size)
    objects = tuple(_objects(table))
    needed = max((item.offset + item.size for item in objects), default=0)
    if needed > size:
        raise _cut(file, size=size, needed=needed)
    if not any(item.kind == PARTITION for item in objects):
        raise _unfit("image.not-an-image", "the image holds no file system", file)
    architecture = ARCHITECTURES.get(fields[3], _text(fields[3]))
    sif = Sif(file=file, architecture=architecture, objects=objects, labels={})
    return Sif(file=file, architecture=architecture, objects=objects, labels=_labels(sif))


def _header(head: bytes, *, size: int, file: Path) -> tuple[Any, ...]:
    """Return the fields of the header, or say what the file is instead."""
    if size == 0:
        raise _unfit("image.not-an-image", "the image is an empty file", file)
    if head[32:42] != _MAGIC:
        what = "a script" if head.startswith(b"#!") else "a text" if _is_text(head) else "no SIF image"
        raise _unfit("image.not-an-image", f"the image is {what}; found the bytes {head[:16]!r}", file)
    if len(head) < HEADER.size:
        raise _cut(file, size=size, needed=HEADER.size)
    fields = HEADER.unpack(head)
    total, start = fields[8], fields[9]
    if not 0 < total <= _MOST_OBJECTS or start < HEADER.size:
        raise _unfit("image.not-an-image", f"the header of the image is damaged; it names {total} objects", file)
    return fields


def _objects(table: bytes) -> list[SifObject]:
    return [
        SifObject(kind=row[0], offset=row[5], size=row[6], name=_text(row[12]), extra=row[13])
        for row in DESCRIPTOR.iter_unpack(table)
        if row[1]
    ]


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")


def _labels(sif: Sif) -> dict[str, str]:
    """Return the labels of an image that carries them outside its file system."""
    for item in sif.objects:
        if item.kind == LABELS and item.size <= _MOST_LABELS:
            try:
                body = json.loads(sif.content(item))
            except ValueError:
                return {}
            return {str(key): str(value) for key, value in body.items()} if isinstance(body, dict) else {}
    return {}


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)


def _cut(file: Path, *, size: int, needed: int) -> EnvironmentUnfit:
    return _unfit("image.cut", f"the image is cut: found {size} bytes, expected at least {needed}", file)


def _unfit(code: str, message: str, file: Path) -> EnvironmentUnfit:
    hint = "copy it again, or build it: evercast image build NAME"
    return EnvironmentUnfit(message, code=code, where=str(file), hint=hint)
