"""Files put into a bag: each content is written once, whatever the number of its names and of the versions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from evercast.artifacts.bag_walk import check_name
from evercast.artifacts.files import sha256_file
from evercast.errors import IntegrityError

__all__ = ["PlacedFile", "link_known", "place_file", "write_once"]

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFile:
    """A file in a bag.

    Args:
        linked: whether its content stood in the archive already and was not written again.
    """

    sha256: str
    size: int
    linked: bool


def place_file(
    root: Path, name: str, source: Path | bytes, *, known: Mapping[str, Path], expected: str | None = None
) -> PlacedFile:
    """Put a file or some content into a bag that is being made.

    Args:
        root: folder of the bag.
        name: where, ``data/...``.
        source: what to copy, or the content.
        known: sha256 -> file that has this content already, in this bag or an earlier version.
        expected: the sha256 that it must have; None takes any.

    Raises:
        IntegrityError: ``bag.name``; ``bag.source-changed``: it is not what it must be.
        OSError: the disk refuses.
    """
    check_name(name, where=str(root))
    digest = hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else sha256_file(source)
    if expected is not None and digest != expected:
        raise IntegrityError(
            f"its sha256 is {digest}; expected {expected}",
            code="bag.source-changed",
            where=name if isinstance(source, bytes) else str(source),
            hint="compare the run with its receipts: evercast status DOCUMENT --verify",
        )
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if link_known(target, digest, known):
        return PlacedFile(sha256=digest, size=target.stat().st_size, linked=True)
    size = write_once(target, source, digest=digest)
    return PlacedFile(sha256=digest, size=size, linked=False)


def link_known(target: Path, digest: str, known: Mapping[str, Path]) -> bool:
    """Make `target` another name of a file with this content; False where there is none that still has it."""
    there = known.get(digest)
    if there is None or sha256_file(there) != digest:
        return False
    try:
        os.link(there, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        return False
    return True


def write_once(target: Path, source: Path | bytes | BufferedIOBase, *, digest: str, size: int | None = None) -> int:
    """Write content to a new file that nobody changes any more, and return its size.

    Raises:
        IntegrityError: ``bag.source-changed``: what was written is not what it must be.
        OSError: the disk refuses.
    """
    found, written = hashlib.sha256(), 0
    with target.open("xb") as stream:
        for block in _blocks(source):
            written += len(block)
            if size is not None and written > size:
                break
            found.update(block)
            stream.write(block)
    if found.hexdigest() != digest or (size is not None and written != size):
        raise IntegrityError(
            f"{target.name} is not what it must be while it is copied: found sha256 {found.hexdigest()}",
            code="bag.source-changed",
            where=str(source) if isinstance(source, Path) else target.name,
        )
    target.chmod(0o444)
    return written


def _blocks(source: Path | bytes | BufferedIOBase) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as stream:
            yield from _blocks(stream)
    else:
        while block := source.read(_BLOCK):
            yield block
