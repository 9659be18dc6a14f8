"""Entries that were looked at before: kept in the cache of the user for as long as nothing they were read from changes.

What is kept is only shown. Whoever opens an analysis, to ask it or to check it, compares its digests again.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from evercast import __version__
from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EvercastError
from evercast.reinterpretation.catalogue.model import Entry, entry_from_json, entry_to_json
from evercast.reinterpretation.catalogue.places import Found
from evercast.schemas import schema_text

__all__ = ["Remembered"]

_SCHEMA: Final = "catalogue-entries/1.0.0"
_READ: Final = ("manifest-sha256.txt", "manifest-sha256.txt.sig", "manifest.json", "bag-info.txt", "signatures",
                "data/archive.json", "data/analysis.json")  # fmt: skip
_SCHEMAS: Final = ("wrapped-analysis", "analysis", "common", "archive", "neural-likelihood")
_RECENT_NS: Final = 2_000_000_000
"""What changed a moment ago may change again at the same time stamp; it is looked at again the next time."""


class Remembered:
    """Entries by what they were read from.

    Args:
        file: where they are kept; None keeps nothing.
        now: time, ns since 1970.
    """

    def __init__(self, file: Path | None, *, now: int) -> None:
        self._file, self._now = file, now
        self._known = {} if file is None else _load(file)
        self._used: dict[str, Any] = {}
        self._fresh = False

    def entries(self, found: Found, look: Callable[[Found], list[Entry]]) -> list[Entry]:
        """Return the entries of a place; `look` is called where it changed since they were kept.

        Args:
            found: the place.
            look: reads it.
        """
        key, stamp = str(found.path), list(_stamp(found))
        kept = self._known.get(key)
        if isinstance(kept, Mapping) and kept.get("stamp") == stamp:
            with suppress(KeyError, TypeError, ValueError):
                entries = [entry_from_json(body) for body in kept["entries"]]
                self._used[key] = kept
                return entries
        entries = look(found)
        if max((time for *_, time in stamp), default=0) < self._now - _RECENT_NS:
            self._used[key] = {"stamp": stamp, "entries": [entry_to_json(entry) for entry in entries]}
            self._fresh = True
        return entries

    def keep(self) -> None:
        """Write down what is known; where that is not possible the next one looks again."""
        if self._file is None or not self._fresh:
            return
        with suppress(EvercastError, OSError):
            make_folder(self._file.parent)
            atomic_write_json(self._file, {"schema": _SCHEMA, "made_by": _maker(), "places": self._known | self._used})


def _load(file: Path) -> dict[str, Any]:
    try:
        body = read_json(file)
    except (EvercastError, OSError):
        return {}
    if not isinstance(body, dict) or body.get("schema") != _SCHEMA or body.get("made_by") != _maker():
        return {}
    places = body.get("places")
    return {path: kept for path, kept in places.items() if os.path.lexists(path)} if isinstance(places, dict) else {}


@functools.cache
def _maker() -> str:
    """Return what decides how entries are read: this evercast and its schemas."""
    text = "".join((__version__, *(schema_text(kind) for kind in _SCHEMAS)))
    folder = Path(__file__).parent
    code = b"".join((folder / name).read_bytes() for name in ("entries.py", "archive_entries.py", "model.py"))
    return hashlib.sha256(text.encode() + code).hexdigest()


def _stamp(found: Found) -> Iterator[list[Any]]:
    """Yield name, inode, size and time of change of every file that an entry is read from."""
    path = found.path
    if not path.is_dir():
        yield _of("", path)
        return
    yield _of("", path)
    roots = [path, *(one for one in sorted(path.iterdir()) if one.name.startswith("v"))]
    for root in roots if found.form == "archive" else [path]:
        for name in _READ:
            if (root / name).exists():
                yield _of(f"{root.name}/{name}", root / name)


def _of(name: str, path: Path) -> list[Any]:
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return [name, 0, 0, 0]
    size = 0 if path.is_dir() else status.st_size
    return [name, status.st_ino, size, max(status.st_mtime_ns, status.st_ctime_ns)]
