"""Identities of events: 64 bits that tell the file and the place in it, the same in every sample that reads the file.

The upper 32 bits are taken from the sha256 of the content of the file (of its files, for a folder of arrays; with
the name of the tree, for ROOT), the lower 32 bits are the index of the event in it. Neither the path of the file, nor
its place in the list of a sample, nor the files beside it enter. Folds and smearing are functions of the identity.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt64

from evercast.artifacts.files import sha256_file
from evercast.errors import InvalidInput

__all__ = ["INDEX_BITS", "content_digest", "event_identities", "file_identity", "index_in_file"]

INDEX_BITS: Final = 32
_INVENTORY: Final = "inventory.json"


def content_digest(path: Path) -> str:
    """Return the sha256 of a file, or of the names and digests of the files of a folder of arrays.

    Raises:
        InvalidInput: ``sample.missing``.
    """
    file = path / _INVENTORY if (path / _INVENTORY).is_file() else path
    if file.is_dir():
        inside = sorted(item for item in path.rglob("*") if item.is_file())
        lines = (f"{sha256_file(item)}  {item.relative_to(path).as_posix()}\n" for item in inside)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if not file.is_file():
        raise InvalidInput("there is no such file", code="sample.missing", where=str(file))
    return sha256_file(file)


def file_identity(digest: str, *, tree: str | None = None) -> int:
    """Return the identity of event 0 of a file: 32 bits of a digest, and 32 bits 0.

    Args:
        digest: `content_digest`.
        tree: of a ROOT file, which may hold several.

    Example:
        >>> hex(file_identity("00" * 32))
        '0x66687aad00000000'
    """
    name = bytes.fromhex(digest) if tree is None else bytes.fromhex(digest) + tree.encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") << INDEX_BITS


def event_identities(first: int, count: int) -> UInt64[np.ndarray, " events"]:
    """Return the identities of `count` events in a row.

    Args:
        first: that of the first one, below 2**64.
        count: of events.
    """
    return np.uint64(first) + np.arange(count, dtype=np.uint64)


def index_in_file(identity: np.uint64) -> int:
    """Return the index of an event in its file, counted from 0: the number that a message shows."""
    return int(identity) % (1 << INDEX_BITS)
