"""The files below a folder, each of which must be one that an archive may hold."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import IntegrityError

__all__ = ["BagLimits", "check_name", "check_names", "walk_files"]

_PART: Final = re.compile(r"[A-Za-z0-9._+-]{1,100}")
_PATH_LENGTH: Final = 400
_DEPTH: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BagLimits:
    """How large what a stranger gives may be.

    Args:
        files: number of files and folders.
        size: bytes of all files.
    """

    files: int = 200_000
    size: int = 1 << 44


def check_name(name: str, *, where: str) -> None:
    """Refuse a path that is not safe on every file system: characters, length, depth, ``..``, absolute.

    Args:
        name: relative path with ``/``.
        where: the archive it is in, for the message.

    Raises:
        IntegrityError: ``bag.name``.
    """
    parts = name.split("/")
    if len(name) > _PATH_LENGTH or len(parts) > _DEPTH:
        raise _refused(where, "bag.name", f"a path is too long or too deep: {name[:60]!r}...", f"{_PATH_LENGTH} bytes")
    for part in parts:
        if _PART.fullmatch(part) is None or part in (".", ".."):
            raise _refused(
                where, "bag.name", f"the name {name[:100]!r} is not allowed",
                "letters, digits and . _ + - in parts of at most 100 characters, relative, without ..",
            )  # fmt: skip


def check_names(names: Iterable[str], *, where: str) -> None:
    """Refuse paths of files that are not safe together on every file system, or singly.

    Raises:
        IntegrityError: ``bag.name``; ``bag.collision``: two differ in case alone, or one is a file and a folder.
    """
    files, folded = set(names), dict[str, str]()
    for name in files:
        check_name(name, where=where)
        parts = name.split("/")
        for count in range(1, len(parts) + 1):
            part = "/".join(parts[:count])
            other = folded.setdefault(part.lower(), part)
            if other != part or (count < len(parts) and part in files):
                what = f"{part} and {other} differ in case alone" if other != part else f"{part} is a file and a folder"
                raise _refused(where, "bag.collision", what, "names that stay apart on every file system")


def walk_files(root: Path, limits: BagLimits) -> Iterator[tuple[str, int]]:
    """Give the path relative to `root` and the size of each file below it; no link is followed, nothing is opened.

    Raises:
        IntegrityError: ``bag.name``, ``bag.kind`` (no regular file, or setuid), ``bag.collision`` (two names that
            differ in case alone), ``bag.extra-folder`` (an empty folder) or ``bag.too-large``.
    """
    waiting, count, total = [""], 0, 0
    while waiting:
        folder = waiting.pop()
        seen: dict[str, str] = {}
        with os.scandir(root / folder) as entries:
            for entry in entries:
                count += 1
                name = f"{folder}/{entry.name}" if folder else entry.name
                _check_entry(root, name, entry, seen)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    size = entry.stat(follow_symlinks=False).st_size
                    total += size
                    yield name, size
                if count > limits.files or total > limits.size:
                    raise _refused(
                        str(root), "bag.too-large", f"more than {limits.files} files or {limits.size} bytes",
                        "less; give larger limits if you know where it comes from",
                    )  # fmt: skip
        if folder and not seen:
            raise _refused(str(root), "bag.extra-folder", f"{folder} is empty", "no folder that no manifest knows")


def _check_entry(root: Path, name: str, entry: os.DirEntry[str], seen: dict[str, str]) -> None:
    check_name(name.encode(errors="replace").decode(errors="replace"), where=str(root))
    folded = entry.name.lower()
    if folded in seen:
        raise _refused(
            str(root), "bag.collision", f"{name} and {seen[folded]} differ in case alone",
            "names that stay apart on every file system",
        )  # fmt: skip
    seen[folded] = name
    mode = entry.stat(follow_symlinks=False).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _refused(str(root), "bag.kind", f"{name} is {_kind(mode)}", "regular files and folders")
    if mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(mode):
        raise _refused(str(root), "bag.kind", f"{name} is setuid or setgid", "plain files")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _refused(where: str, code: str, message: str, expected: str) -> IntegrityError:
    return IntegrityError(f"{message}; expected {expected}", code=code, where=where)
