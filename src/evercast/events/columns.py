"""Chunks of an event file as scopes for expressions: the columns that are used, checked, and grouped to collections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import awkward as ak
import numpy as np

from evercast.errors import InvalidInput
from evercast.events.evaluate import Scope
from evercast.events.formats import EventSource
from evercast.events.identity import event_identities
from evercast.events.momenta import momenta
from evercast.events.truth import TRUTH_COLUMNS, no_heavy_flavour

__all__ = ["Collections", "read_scopes"]

Collections = Mapping[str, Mapping[str, tuple[str, ...]]]
"""collection -> property -> the columns that hold it for item 1, item 2, ..."""


def read_scopes(
    source: EventSource, names: Sequence[str], collections: Collections, *, step: int, first_event: int
) -> Iterator[Scope]:
    """Yield the events of `source`, `step` at a time, with what `names` stands for.

    Args:
        source: an opened file.
        names: columns and collections to read.
        collections: how flat columns are grouped.
        step: events at a time.
        first_event: identity of the first event of the file; the others follow it.

    Raises:
        InvalidInput: ``sample.column``, ``sample.collection``, ``sample.no-b-hadrons``, ``sample.not-finite`` (with
            file, column, event, count), or what is wrong with the file.
    """
    columns = _columns(source, names, collections)
    done = 0
    for chunk in source.chunks(step, columns):
        checked = {name: _checked(chunk[name], name, source.path, done) for name in columns}
        values = {name: _value(name, checked, collections, source.path) for name in names}
        yield Scope(values=values, event=event_identities(first_event + done, len(chunk)))
        done += len(chunk)


def _columns(source: EventSource, names: Sequence[str], collections: Collections) -> list[str]:
    wanted: list[str] = []
    for name in names:
        wanted += (
            [column for items in collections[name].values() for column in items] if name in collections else [name]
        )
    there = {*source.columns, *getattr(source, "on_demand", ())}
    missing = [name for name in dict.fromkeys(wanted) if name not in there]
    for name in missing:
        if name in TRUTH_COLUMNS and "particles" not in missing:  # a file without any particle lacks more than these
            raise no_heavy_flavour(str(source.path), name)
    if missing:
        raise _no_column(source, missing, collections)
    return list(dict.fromkeys(wanted)) or list(source.columns[:1])


def _no_column(source: EventSource, missing: Sequence[str], collections: Collections) -> InvalidInput:
    known = ", ".join([*collections, *source.columns][:60])
    many = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
    first = "particles" if "particles" in missing else missing[0]
    hint = "correct the name, or group columns with 'collections'"
    if first == "particles":
        hint = "particles are those of LHE and HepMC files; nothing in this one shows either, so it was read as a table"
    message = f"there is no column {first!r}{many}; the file has: {known}"
    return InvalidInput(message, code="sample.column", where=str(source.path), hint=hint)


def _value(name: str, checked: Mapping[str, ak.Array], collections: Collections, path: Path) -> ak.Array:
    if name not in collections:
        column = checked[name]
        if column.fields and column.ndim == 2:
            return momenta({field: column[field] for field in column.fields}, name=name, where=str(path))
        return column
    properties = {key: _items([checked[column] for column in items]) for key, items in collections[name].items()}
    return momenta(properties, name=name, where=str(path))


def _items(columns: list[ak.Array]) -> ak.Array:
    """Return the columns side by side: a flat one gives an item, one of lists gives its items."""
    if all(column.ndim == 1 for column in columns):
        return ak.from_regular(ak.Array(np.column_stack([ak.to_numpy(column) for column in columns])))
    return ak.concatenate([column if column.ndim > 1 else ak.singletons(column) for column in columns], axis=1)


def _checked(column: ak.Array, name: str, path: Path, done: int) -> ak.Array:
    """Return the column without option types, after every number of it was found to be there and finite."""
    packed = ak.to_packed(column)
    if _has_options(packed):
        absent = _events_with(ak.is_none(packed, axis=axis) for axis in range(packed.ndim))
        _refuse(absent, name, path, done, "is missing")
        packed = _without_options(packed)
    for field in packed.fields or [None]:
        numbers = packed if field is None else packed[field]
        shown = name if field is None else f"{name}.{field}"
        if numbers.fields or not _is_float(numbers):
            continue
        _refuse(_events_with([~np.isfinite(numbers)]), shown, path, done, "is not finite")
    return packed


def _refuse(wrong: np.ndarray, name: str, path: Path, done: int, problem: str) -> None:
    if wrong.any():
        first = done + int(np.flatnonzero(wrong)[0])
        raise InvalidInput(
            f"column {name!r} {problem} in {int(wrong.sum())} of the {len(wrong)} events from event {done} on; the "
            f"first is event {first} (counted from 0)",
            code="sample.not-finite",
            where=str(path),
            hint="remove such events from the file, or do not use the column",
        )


def _events_with(flags: Iterator[ak.Array] | Sequence[ak.Array]) -> np.ndarray:
    """Return, per event, whether any flag is set in it."""
    total: np.ndarray | None = None
    for flag in flags:
        depth = flag
        while depth.ndim > 1:
            depth = ak.fill_none(ak.any(depth, axis=-1), False)  # noqa: FBT003 - the value, not an option
        events = ak.to_numpy(ak.fill_none(depth, False)).astype(bool)  # noqa: FBT003
        total = events if total is None else total | events
    return np.zeros(0, dtype=bool) if total is None else total


def _has_options(array: ak.Array) -> bool:
    return "?" in str(ak.type(array)) or "option" in str(ak.type(array))


def _without_options(array: ak.Array) -> ak.Array:
    """Return the array with option types removed, where nothing is missing."""

    def drop(layout: ak.contents.Content, **_: object) -> ak.contents.Content | None:
        return ak.to_layout(_without_options(ak.Array(layout.project()))) if layout.is_option else None

    return ak.transform(drop, array)


def _is_float(array: ak.Array) -> bool:
    return "float" in str(ak.type(array).content)
