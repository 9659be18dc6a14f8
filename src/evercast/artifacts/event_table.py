"""The table of selected events: observables, weights, identities and regions of one sample, as a folder of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
from jaxtyping import Bool, Float64, UInt64

from evercast.artifacts.arrays import Arrays, read_arrays, write_arrays
from evercast.errors import IntegrityError, InvalidInput

__all__ = ["EventTable", "Role", "read_event_table", "write_event_table"]

Role = Literal["simulation", "data"]

_FORMAT: Final = "event-table/1.1.0"
_TEXTS: Final = ("sample", "role")
_LISTS: Final = ("observable_names", "observable_units", "region_names")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTable:
    """Selected events of one sample; a row passes the preselection and at least one region.

    Args:
        observables: in the order and the units of `observable_names` and `observable_units`.
        weight: expected events per row; 1 in data.
        event: identity: the upper 32 bits tell the file by its content, the lower 32 bits are the index of the event in
            it. Every sample that reads the file shares it, and folds are drawn by it.
        regions: whether the row is in each region of `region_names`.
        drawn: pseudo-data: with role data, but the events are those of simulation, with the identities they have there.
            Networks may have trained on them.
    """

    sample: str
    role: Role
    observables: Float64[np.ndarray, "events observables"]
    weight: Float64[np.ndarray, " events"]
    event: UInt64[np.ndarray, " events"]
    regions: Bool[np.ndarray, "events regions"]
    observable_names: tuple[str, ...]
    observable_units: tuple[str, ...]
    region_names: tuple[str, ...]
    drawn: bool = False

    def __len__(self) -> int:
        return len(self.weight)

    def in_region(self, name: str) -> EventTable:
        """Return the rows in the region `name`, in order.

        Raises:
            InvalidInput: ``table.region``, there is no such region.
        """
        keep = self.regions[:, _position(name, self.region_names, kind="region", sample=self.sample)]
        return self.take(np.flatnonzero(keep))

    def take(self, rows: np.ndarray) -> EventTable:
        """Return the rows at the positions `rows`.

        Args:
            rows: (chosen,), integer positions; a position may stand several times.
        """
        return EventTable(
            sample=self.sample,
            role=self.role,
            observables=self.observables[rows],
            weight=self.weight[rows],
            event=self.event[rows],
            regions=self.regions[rows],
            observable_names=self.observable_names,
            observable_units=self.observable_units,
            region_names=self.region_names,
            drawn=self.drawn,
        )

    def columns(self, names: Sequence[str]) -> Float64[np.ndarray, "events chosen"]:
        """Return the observables `names`, in that order.

        Raises:
            InvalidInput: ``table.observable``, there is no such observable.
        """
        chosen = [_position(name, self.observable_names, kind="observable", sample=self.sample) for name in names]
        return np.ascontiguousarray(self.observables[:, chosen])


def _position(name: str, names: tuple[str, ...], *, kind: str, sample: str) -> int:
    if name not in names:
        raise InvalidInput(
            f"the events of sample {sample!r} have no {kind} {name!r}; there are: {', '.join(names)}",
            code=f"table.{kind}",
        )
    return names.index(name)


def write_event_table(path: Path, table: EventTable) -> None:
    """Write `table` as the folder `path`, whole or not at all.

    Raises:
        InvalidInput: ``array.exists``, or ``table.shape`` where the columns do not belong together.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    problem = _shape_problem(table)
    if problem:
        raise InvalidInput(problem, code="table.shape", where=str(path))
    arrays = {
        "observables": table.observables,
        "weight": table.weight,
        "event": table.event,
        "regions": table.regions,
    }
    attributes = {
        "format": _FORMAT,
        "sample": table.sample,
        "role": table.role,
        "observable_names": list(table.observable_names),
        "observable_units": list(table.observable_units),
        "region_names": list(table.region_names),
        "drawn": table.drawn,
    }
    write_arrays(path, arrays, attributes)


def read_event_table(path: Path) -> EventTable:
    """Return the table in the folder `path`, its digests checked.

    Raises:
        IntegrityError: what `read_arrays` finds, or ``table.format`` where the folder holds something else.
    """
    folder = read_arrays(path)
    text, lists = _attributes(path, folder)
    types = {"observables": np.float64, "weight": np.float64, "event": np.uint64, "regions": np.bool_}
    for name, dtype in types.items():
        if name not in folder.arrays or folder.arrays[name].dtype != dtype:
            raise _damaged(path, f"the array {name!r} of type {np.dtype(dtype).name} is not there")
    table = EventTable(
        sample=text["sample"],
        role=cast("Role", text["role"]),
        observables=folder["observables"],
        weight=folder["weight"],
        event=folder["event"],
        regions=folder["regions"],
        observable_names=lists["observable_names"],
        observable_units=lists["observable_units"],
        region_names=lists["region_names"],
        drawn=bool(folder.attributes["drawn"]),
    )
    problem = _shape_problem(table)
    if problem:
        raise _damaged(path, problem)
    return table


def _attributes(path: Path, folder: Arrays) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    found = folder.attributes
    if found.get("format") != _FORMAT:
        raise _damaged(path, f"the format is {found.get('format')!r}; expected {_FORMAT!r}")
    text = {key: value for key in _TEXTS if isinstance(value := found.get(key), str)}
    lists = {
        key: tuple(value)
        for key in _LISTS
        if isinstance(value := found.get(key), list) and all(isinstance(item, str) for item in value)
    }
    missing = [key for key in (*_TEXTS, *_LISTS) if key not in text and key not in lists]
    missing += [] if isinstance(found.get("drawn"), bool) else ["drawn"]
    if missing or text["role"] not in ("simulation", "data"):
        raise _damaged(path, f"the attribute {(missing or ['role'])[0]!r} is missing or wrong")
    return text, lists


def _shape_problem(table: EventTable) -> str | None:
    rows = len(table.weight)
    expected = {
        "observables": (table.observables.shape, (rows, len(table.observable_names))),
        "event": (table.event.shape, (rows,)),
        "regions": (table.regions.shape, (rows, len(table.region_names))),
        "observable_units": ((len(table.observable_units),), (len(table.observable_names),)),
    }
    wrong = [f"{name} has shape {found}; expected {want}" for name, (found, want) in expected.items() if found != want]
    if wrong:
        return wrong[0]
    if not (np.isfinite(table.observables).all() and np.isfinite(table.weight).all()):
        return "a number in observables or weight is NaN or infinite"
    return None


def _damaged(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        problem, code="table.format", where=str(path), hint="remove the folder and run again; it will be made anew"
    )
