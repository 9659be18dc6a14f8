"""Events of a user, by column: found by name, units compared where they are stated, every number looked at.

A column is called as the observable, ``m4l``, or with its unit, ``m4l [GeV]``. A Parquet file may state the unit of a
field in its metadata, under ``unit``. Nothing is converted: a program that guesses units guesses wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import awkward as ak
import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from evercast.errors import InvalidInput
from evercast.events.formats import EventSource, open_events
from evercast.spec.report import did_you_mean

__all__ = ["Column", "columns_of_file", "columns_of_mapping"]

_STEP: Final = 1 << 18
_WITH_UNIT: Final = re.compile(r"\s*(?P<name>[^\[\]]+?)\s*(?:\[(?P<unit>[^\[\]]*)\])?\s*")
_SHOWN: Final = 20
_FLAT: Final = ("parquet", "csv", "zarr", "root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An observable that is asked for.

    Args:
        name: of the observable.
        unit: in which the networks take it; ``1`` for a pure number.
    """

    name: str
    unit: str


def columns_of_file(
    path: Path, wanted: Sequence[Column], *, units: Mapping[str, str] | None = None
) -> Float64[np.ndarray, "events columns"]:
    """Return the wanted columns of a file, in the order in which they are wanted.

    Args:
        path: Parquet, CSV, ROOT, or a zarr folder; other columns in it are passed over.
        wanted: names and units.
        units: name -> unit of the numbers, where the caller states it; that of the file must be right too.

    Raises:
        InvalidInput: ``events.columns``, ``events.unit``, ``events.column-type``, ``events.not-finite``,
            ``events.format``, or ``sample.*`` where the file is damaged, cut or empty.
        IntegrityError: a zarr folder differs from its inventory.
    """
    opened = open_events(path)
    if opened.format not in _FLAT:
        raise InvalidInput(
            f"the file holds {opened.format} events, not columns of observables",
            code="events.format",
            where=str(path),
            hint="run the selection of the analysis on it first; observables stand in manifest.json",
        )
    heads = _heads(opened.columns, str(path))
    stated = {
        **_units_of_fields(opened, heads),
        **{name: unit for name, (_, unit) in heads.items() if unit is not None},
    }
    _check_told(wanted, units or {}, str(path))
    _check_units(wanted, stated, str(path))
    places = _found(wanted, {name: head for name, (head, _) in heads.items()}, str(path))
    chunks = opened.chunks(_STEP, list(dict.fromkeys(places)))
    parts = [[_numbers(chunk[place], place, str(path)) for place in places] for chunk in chunks]
    columns = [np.concatenate([part[number] for part in parts]) for number in range(len(places))]
    return _checked(wanted, columns, str(path))


def columns_of_mapping(
    events: Mapping[str, ArrayLike], wanted: Sequence[Column], *, units: Mapping[str, str] | None = None
) -> Float64[np.ndarray, "events columns"]:
    """Return the wanted columns of a mapping from names to numbers, such as a data frame or an awkward record array.

    Args:
        events: name -> (events,) numbers; further entries are passed over.
        wanted: names and units.
        units: name -> unit of the numbers, where the caller states it.

    Raises:
        InvalidInput: ``events.columns``, ``events.unit``, ``events.column-type``, ``events.not-finite``,
            ``events.empty``.
    """
    heads = _heads([str(name) for name in _names(events)], "the events")
    stated = {name: unit for name, (_, unit) in heads.items() if unit is not None}
    _check_told(wanted, units or {}, "the events")
    _check_units(wanted, stated, "the events")
    places = _found(wanted, {name: head for name, (head, _) in heads.items()}, "the events")
    return _checked(wanted, [_numbers(events[place], place, "the events") for place in places], "the events")


def _names(events: Mapping[str, ArrayLike]) -> Sequence[str]:
    """Return the names of the columns; a data frame has them as `columns`, an awkward array as `fields`."""
    for attribute in ("fields", "columns"):
        names = getattr(events, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return list(events.keys())


def _heads(columns: Sequence[str], where: str) -> dict[str, tuple[str, str | None]]:
    """Return name -> the head of its column, and the unit that stands in it."""
    found: dict[str, tuple[str, str | None]] = {}
    for head in columns:
        match = _WITH_UNIT.fullmatch(head)
        name, unit = (head, None) if match is None else (match["name"], match["unit"])
        if name in found:
            message = f"the columns '{found[name][0]}' and '{head}' are of one observable"
            raise InvalidInput(message, code="events.columns", where=where)
        found[name] = (head, None if unit is None else unit.strip() or "1")
    return found


def _units_of_fields(opened: EventSource, heads: Mapping[str, tuple[str, str | None]]) -> dict[str, str]:
    if opened.format != "parquet":
        return {}
    import pyarrow.parquet  # noqa: PLC0415

    schema = pyarrow.parquet.read_schema(opened.path)
    stated = {name: (schema.field(head).metadata or {}).get(b"unit") for name, (head, _) in heads.items()}
    return {name: unit.decode(errors="replace").strip() or "1" for name, unit in stated.items() if unit is not None}


def _check_told(wanted: Sequence[Column], units: Mapping[str, str], where: str) -> None:
    """Compare the units that the caller states; each must be of an observable."""
    known = [one.name for one in wanted]
    unknown = [str(name) for name in units if name not in known]
    if unknown:
        message = f"a unit is stated for {', '.join(map(repr, unknown))}, which is no observable"
        hint = did_you_mean(unknown[0], known) or f"observables: {', '.join(known)}"
        raise InvalidInput(message, code="events.unit", where=where, hint=hint)
    _check_units(wanted, units, where)


def _check_units(wanted: Sequence[Column], stated: Mapping[str, str], where: str) -> None:
    wrong = [one for one in wanted if stated.get(one.name, one.unit) != one.unit]
    if wrong:
        problems = "; ".join(f"'{one.name}' is in {stated[one.name]}, expected {one.unit}" for one in wrong)
        hint = "convert the numbers; evercast does not"
        raise InvalidInput(f"units differ: {problems}", code="events.unit", where=where, hint=hint)


def _found(wanted: Sequence[Column], heads: Mapping[str, str], where: str) -> list[str]:
    missing = [one.name for one in wanted if one.name not in heads]
    if missing:
        near = did_you_mean(missing[0], heads)
        there = ", ".join(list(heads)[:_SHOWN]) + (", ..." if len(heads) > _SHOWN else "")
        raise InvalidInput(
            f"there is no column {', '.join(repr(name) for name in missing)}; columns: {there or 'none'}",
            code="events.columns",
            where=where,
            hint=near or f"needed are, in any order: {', '.join(f'{one.name} [{one.unit}]' for one in wanted)}",
        )
    return [heads[one.name] for one in wanted]


def _numbers(values: object, name: str, where: str) -> Float64[np.ndarray, " events"]:
    """Return one number per event, in double precision."""
    array = ak.Array(values) if isinstance(values, ak.Array) else None
    if array is not None:
        if array.ndim != 1 or ak.any(ak.is_none(array)):
            raise _wrong_type(name, "lists, or values are missing", where)
        values = ak.to_numpy(array)
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        raise _wrong_type(name, f"{found.dtype} of shape {found.shape}", where)
    return found.astype(np.float64)


def _wrong_type(name: str, what: str, where: str) -> InvalidInput:
    message = f"column '{name}' holds {what}; expected one number per event"
    return InvalidInput(message, code="events.column-type", where=where)


def _checked(
    wanted: Sequence[Column], columns: Sequence[Float64[np.ndarray, " events"]], where: str
) -> Float64[np.ndarray, "events columns"]:
    lengths = {one.name: len(values) for one, values in zip(wanted, columns, strict=True)}
    if len(set(lengths.values())) != 1:
        raise InvalidInput(f"the columns differ in length: {lengths}", code="events.columns", where=where)
    if not len(columns[0]):
        raise InvalidInput("there are no events", code="events.empty", where=where)
    for one, values in zip(wanted, columns, strict=True):
        bad = ~np.isfinite(values)
        if bad.any():
            message = f"column '{one.name}' holds {int(bad.sum())} values that are NaN or infinite, first in row "
            raise InvalidInput(f"{message}{int(np.argmax(bad))}", code="events.not-finite", where=where)
    return np.stack(columns, axis=1)
