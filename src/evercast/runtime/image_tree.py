"""The file system of an image before it is packed: nothing of the machine or the day of its making stays in it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["clean_tree"]

_EMPTIED: Final = ("etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/machine-id")
"""Copied from the machine that builds; filled by the container runtime where they are needed."""
_REMOVED: Final = (
    "etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
    "etc/apt/sources.list", "var/lib/dbus/machine-id", "var/cache/ldconfig/aux-cache",
    ".singularity.d/bootstrap_history",
)  # fmt: skip
_CLEARED: Final = (
    "etc/apt/sources.list.d", "mnt", "root", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log", "var/tmp",
)  # fmt: skip
_OLD: Final = ("var/cache/debconf/*-old", "var/lib/dpkg/*-old", "etc/ssl/certs/java")
_CHANGED: Final = re.compile(r"^([^:\n]*:[^:\n]*):[0-9]+:", re.MULTILINE)
"""User and password of a line of ``/etc/shadow``, then the day on which the password was set."""


def clean_tree(root: Path, *, definition: str, labels: Mapping[str, str]) -> None:
    """Remove from the file system of an image what differs from one making to the next, and label it.

    Args:
        root: top folder of the unpacked file system.
        definition: the recipe as it was written, without the values of its arguments, which name places of the machine.
        labels: replace all labels that are there.

    Raises:
        OSError: the disk refuses.
    """
    for name in _EMPTIED:
        if (path := root / name).is_file() or path.is_symlink():
            path.unlink()
            path.write_bytes(b"")
    for path in _unwanted(root):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shadow = root / "etc" / "shadow"
    if shadow.is_file():
        shadow.write_text(_CHANGED.sub(r"\1:1:", shadow.read_text()))
    notes = root / ".singularity.d"
    notes.mkdir(exist_ok=True)
    _replace(notes / "labels.json", json.dumps(dict(labels), indent=1, sort_keys=True) + "\n")
    _replace(notes / "Singularity", definition)


def _unwanted(root: Path) -> Iterator[Path]:
    """Yield what is removed; the list is complete before the first one is."""
    found = [root / name for name in _REMOVED]
    for name in _CLEARED:
        folder = root / name
        found += sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    for pattern in _OLD:
        found += sorted(root.glob(pattern))
    yield from (path for path in found if path.exists() or path.is_symlink())


def _replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o644)
