"""Downloaded likelihoods: brought into the cache, and archives of a bundle unpacked without trust.

A bundle is one flat folder of regular files, so that is all an archive may hold: no link, no device, no path that leads
anywhere else. Sizes are counted while they are read; what the archive says of itself is not believed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from evercast.artifacts.bag_walk import check_names
from evercast.artifacts.files import disk_errors, sha256_file
from evercast.errors import IntegrityError

__all__ = ["is_archive", "unpacked"]

_MOST_FILES: Final = 20_000
_LARGEST: Final = 1 << 36
"""Bytes of all files of a bundle together."""
_RATIO: Final = 200
_RATIO_FROM: Final = 1 << 26
"""Above so many bytes an archive may not hold more than `_RATIO` times its own size."""
_BLOCK: Final = 1 << 20


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a zip, tar or gzip file does."""
    with path.open("rb") as stream:
        head = stream.read(512)
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06") or head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar"


def unpacked(archive: Path, cache: Path) -> Path:
    """Return the folder of the bundle in an archive, unpacked in the cache under the digest of the archive.

    Args:
        archive: a zip, tar or tar.gz file with a bundle, directly or in one folder.
        cache: folder of the cache.

    Raises:
        IntegrityError: ``unpack.damaged``, ``unpack.kind`` (a link, device, or encrypted), ``bag.name``,
            ``bag.collision``, ``unpack.too-large``, ``unpack.layout``.
        EnvironmentUnfit: the disk is full or read-only.
    """
    target = cache / "unpacked" / sha256_file(archive)
    if target.is_dir():
        return target
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(target):
        temporary.mkdir(parents=True)
        try:
            _unpack(archive, temporary)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(archive: Path, target: Path) -> None:
    with archive.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
    with _archive_errors(archive):
        if is_zip:
            with zipfile.ZipFile(archive) as opened:
                members = _zip_members(opened, archive)
                names = _flat(list(members), archive)
                left = _Budget(archive)
                for inner, name in names.items():
                    with opened.open(members[inner]) as content:
                        _write(content, target / name, left)
            return
        with tarfile.open(archive, "r:*") as opened_tar:
            left = _Budget(archive)
            entries = _tar_members(opened_tar, archive)
            names = _flat(list(entries), archive)
            for inner, name in names.items():
                content_tar = opened_tar.extractfile(entries[inner])
                if content_tar is None:
                    raise _refused(archive, "unpack.kind", f"{inner!r} is no regular file")
                with content_tar:
                    _write(content_tar, target / name, left)


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as err:
        raise _refused(archive, "unpack.damaged", f"it cannot be read: {str(err)[:200]}") from err


def _zip_members(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in opened.infolist():
        if entry.is_dir():
            continue
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise _refused(archive, "unpack.kind", f"{entry.filename[:100]!r} is a link, a device or encrypted")
        if entry.filename in found:
            raise _refused(archive, "unpack.layout", f"{entry.filename[:100]!r} stands twice")
        found[entry.filename] = entry
        _count(archive, len(found))
    return found


def _tar_members(opened: tarfile.TarFile, archive: Path) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    left = _Budget(archive)
    for entry in opened:
        if entry.isdir():
            continue
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise _refused(archive, "unpack.kind", f"{entry.name[:100]!r} is a link, a device or a sparse file")
        if entry.name in found:
            raise _refused(archive, "unpack.layout", f"{entry.name[:100]!r} stands twice")
        found[entry.name] = entry
        left.take(entry.size)
        _count(archive, len(found))
    return found


def _count(archive: Path, files: int) -> None:
    if files > _MOST_FILES:
        raise _refused(archive, "unpack.too-large", f"it holds more than {_MOST_FILES} files")


def _flat(names: list[str], archive: Path) -> dict[str, str]:
    """Return name in the archive -> name in the folder; all files lie directly in it, or in one folder of it."""
    plain = {name: name.removeprefix("./") for name in names}
    check_names(plain.values(), where=str(archive))
    folders = {name.rpartition("/")[0] for name in plain.values()}
    if len(folders) != 1 or "/" in next(iter(folders)):
        shown = ", ".join(sorted(folders)[:5]) or "nothing"
        raise _refused(archive, "unpack.layout", f"a bundle is one folder of files; it holds the folders {shown}")
    return {inner: name.rpartition("/")[2] for inner, name in plain.items()}


class _Budget:
    """How many bytes may still be unpacked."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._left = min(_LARGEST, max(_RATIO_FROM, _RATIO * archive.stat().st_size))

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _refused(self._archive, "unpack.too-large", "it unpacks to far more than its own size")


def _write(content: IO[bytes], path: Path, budget: _Budget) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
    with os.fdopen(handle, "wb") as out:
        while block := content.read(_BLOCK):
            budget.take(len(block))
            out.write(block)


def _refused(archive: Path, code: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"the archive is not unpacked: {problem}",
        code=code,
        where=str(archive),
        hint="get it again from where it was published",
    )
