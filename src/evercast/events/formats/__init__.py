"""Event files of several formats behind one interface, chosen by content and read in chunks.

Every reader delivers all events of its file or raises: a file that is cut or damaged never gives fewer events silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from evercast.errors import InvalidInput
from evercast.events.formats.base import EventSource, FileFacts, FormatName
from evercast.events.formats.detect import detect_format

__all__ = ["EventSource", "FileFacts", "FormatName", "detect_format", "open_events"]


def open_events(
    path: Path,
    *,
    format: Literal["auto"] | FormatName = "auto",  # noqa: A002 - the word of the document
    tree: str | None = None,
    verified: bool = False,
) -> EventSource:
    """Open an event file.

    Args:
        path: the file; gzip is undone for text formats. A folder for zarr.
        format: what it is said to be; the content decides and must agree.
        tree: name of the TTree or RNTuple of a ROOT file.
        verified: whether the file is known to be whole, because its digest was compared with one that was declared.

    Raises:
        InvalidInput: ``sample.missing``, ``sample.empty``, ``sample.truncated``, ``sample.format``, ``sample.tree``.
        IntegrityError: a zarr folder differs from its inventory.
    """
    found = detect_format(path)
    if format not in ("auto", found):
        raise InvalidInput(
            f"the file is declared as {format}; its content is {found}", code="sample.format", where=str(path)
        )
    if tree is not None and found != "root":
        raise InvalidInput(f"'tree' is for ROOT files; this is {found}", code="sample.tree", where=str(path))
    if found == "root":
        from evercast.events.formats.root import open_root  # noqa: PLC0415 - readers are loaded when needed

        return open_root(path, tree)
    if found == "csv":
        from evercast.events.formats.csv import open_csv  # noqa: PLC0415

        return open_csv(path, verified=verified)
    return _OPENERS[found](path)


def _parquet(path: Path) -> EventSource:
    from evercast.events.formats.parquet import open_parquet  # noqa: PLC0415

    return open_parquet(path)


def _hepmc(path: Path) -> EventSource:
    from evercast.events.formats.hepmc import open_hepmc  # noqa: PLC0415

    return open_hepmc(path)


def _lhe(path: Path) -> EventSource:
    from evercast.events.formats.lhe import open_lhe  # noqa: PLC0415

    return open_lhe(path)


def _zarr(path: Path) -> EventSource:
    from evercast.events.formats.zarr import open_zarr  # noqa: PLC0415

    return open_zarr(path)


_OPENERS: Mapping[FormatName, Callable[[Path], EventSource]] = MappingProxyType(
    {"parquet": _parquet, "hepmc": _hepmc, "lhe": _lhe, "zarr": _zarr}
)
