"""Archives written as one tar file, each content once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from evercast.artifacts.archive import StoredVersion
from evercast.artifacts.bag import SIGNATURES, TAGS
from evercast.artifacts.files import disk_errors, flush_to_disk
from evercast.artifacts.tar_files import end_of_tar, tar_header
from evercast.errors import IntegrityError

__all__ = ["write_tar"]

_BLOCK: Final = 1 << 20
_LINK: Final = 100
"""Longest path that an entry can be a link to."""


def write_tar(file: Path, versions: Sequence[tuple[str, StoredVersion]]) -> int:
    """Write versions into a tar file, whole or not at all, and return its size in bytes.

    A content that stands in the file already is a hard link to its first name.

    Args:
        file: the tar file; what has this name is replaced.
        versions: folder in the tar file -> version.

    Raises:
        IntegrityError: ``tar.name``: a path is too long; ``bag.unreadable``: a file changed meanwhile.
        EnvironmentUnfit: the disk refuses; what had this name before is untouched.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}.tmp")
    try:
        with disk_errors(file):
            with temporary.open("xb") as stream:
                first: dict[str, str] = {}
                for folder, version in versions:
                    _write_version(stream, folder, version, first)
                stream.write(end_of_tar(stream.tell()))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
            flush_to_disk(file.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return file.stat().st_size


def _write_version(stream: BufferedIOBase, folder: str, version: StoredVersion, first: dict[str, str]) -> None:
    """Write one version.

    Args:
        stream: the tar file.
        folder: of the version in it; empty for none.
        version: what to write.
        first: sha256 -> path of the entry that holds this content; grows.
    """
    content = version.content
    tags = [name for name in content.sizes if name in TAGS or name.startswith(f"{SIGNATURES}/")]
    for name in (*sorted(tags), *version.bag.files):
        path = f"{folder}/{name}" if folder else name
        digest = version.bag.files.get(name)
        earlier = first.get(digest) if digest is not None else None
        if earlier is not None:
            stream.write(tar_header(path, size=0, link=earlier))
            continue
        if digest is not None and len(path) <= _LINK:
            first[digest] = path
        size = content.sizes[name]
        stream.write(tar_header(path, size=size))
        _copy(version, name, stream, size)
        stream.write(bytes(-size % 512))


def _copy(version: StoredVersion, name: str, stream: BufferedIOBase, size: int) -> None:
    written = 0
    with version.content.open(name) as source:
        while block := source.read(_BLOCK):
            written += len(block)
            stream.write(block)
    if written != size:
        raise IntegrityError(
            "its size changed while it was read", code="bag.unreadable", where=version.content.where(name)
        )
