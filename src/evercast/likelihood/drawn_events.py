"""Events that are rows of other events: data sets drawn from one simulation share its columns.

With morphs an event has hundreds of columns. A data set drawn from a simulation holds the numbers of the rows instead,
and many of them are evaluated on one set of columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int

from evercast.likelihood.event_arrays import BLOCK, in_memory
from evercast.likelihood.model import EventSet, Store, Stored

__all__ = ["Rows", "SharedColumns", "drawn", "gathered", "shared_columns"]

Places = Int[np.ndarray, " rows"]

_COLUMNS = ("log_ratio", "log_up", "log_down", "coefficients")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of an array that stays where it is; a `Store`, and an array for `numpy.asarray`.

    Args:
        values: the array.
        rows: (rows,) numbers of the rows, in any order, with repetitions.
    """

    values: np.ndarray | Store
    rows: Places

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return (len(self.rows), *self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """That of the array."""
        return self.values.dtype

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Return rows, in memory."""
        return _picked(self.values, self.rows[rows])

    def __array__(
        self,
        dtype: np.dtype[np.generic] | None = None,
        copy: bool | None = None,  # noqa: FBT001  # numpy's protocol; rows are always copied
    ) -> np.ndarray:
        """Return all rows, in memory."""
        return _picked(self.values, self.rows).astype(dtype or self.dtype, copy=False)


class SharedColumns(NamedTuple):
    """Data sets that are rows of one set of events.

    Args:
        events: columns of all; the weights are not used.
        rows: per set the rows of `events`.
        weight: per set the weights of its rows.
    """

    events: EventSet
    rows: tuple[Places, ...]
    weight: tuple[Float[np.ndarray, " rows"], ...]


def drawn(events: EventSet, rows: Places) -> EventSet:
    """Return events of weight 1 drawn from others; with columns of morphs, these are not copied."""
    wide = events.log_up is not None or events.coefficients is not None

    def pick(values: np.ndarray | Stored | None) -> np.ndarray | Stored | None:
        if values is None:
            return None
        return cast("np.ndarray", Rows(values, rows)) if wide else _picked(values, rows)

    ratio, *others = (pick(getattr(events, name)) for name in _COLUMNS)
    up, down, coefficients = others
    weight = np.ones(len(rows))
    return EventSet(
        log_ratio=cast("np.ndarray", ratio), weight=weight, log_up=up, log_down=down, coefficients=coefficients
    )


def gathered(events: EventSet) -> EventSet:
    """Return the events with columns of their own in place of `Rows`."""
    found = {name: getattr(events, name) for name in _COLUMNS}
    own = {name: np.asarray(values) for name, values in found.items() if isinstance(values, Rows)}
    return replace(events, **own) if own else events


def shared_columns(sets: Sequence[EventSet]) -> SharedColumns | None:
    """Return the sets as rows of one, where they have columns of morphs and are drawn from one set or differ in weight.

    Columns that cannot be used in place are read, those rows alone that are in a set with a weight.
    """
    sources = [tuple(_source(getattr(entry, name)) for name in _COLUMNS) for entry in sets]
    if len(sets) < 2 or (sources[0][1] is None and sources[0][3] is None):
        return None
    if any(one is not other for source in sources for one, other in zip(source, sources[0], strict=True)):
        return None
    rows, weights = zip(*(_weighted_rows(entry) for entry in sets), strict=True)
    _, up, down, coefficients = sources[0]
    ratio = cast("np.ndarray", sources[0][0])
    size = ratio.shape[0]
    base = EventSet(log_ratio=ratio, weight=np.ones(size), log_up=up, log_down=down, coefficients=coefficients)
    if not in_memory(base):
        used, places = np.unique(np.concatenate(rows), return_inverse=True)
        base = gathered(replace(drawn(base, used), weight=np.ones(len(used))))
        rows = tuple(np.split(places, np.cumsum([len(entry) for entry in rows])[:-1]))
    return SharedColumns(base, rows, weights)


def _source(values: np.ndarray | Stored | None) -> np.ndarray | Stored | None:
    """Return the array of which the values are rows, or themselves."""
    return cast("np.ndarray", values.values) if isinstance(values, Rows) else values


def _weighted_rows(events: EventSet) -> tuple[Places, Float[np.ndarray, " rows"]]:
    weight = np.asarray(events.weight, dtype=np.float64)
    chosen = np.flatnonzero(weight)
    rows = events.log_ratio.rows if isinstance(events.log_ratio, Rows) else np.arange(len(weight))
    return rows[chosen], weight[chosen]


def _picked(values: np.ndarray | Store, rows: Places) -> np.ndarray:
    """Return rows of an array; stores are read a block at a time, and only blocks with rows."""
    if isinstance(values, np.ndarray):
        return np.asarray(values[rows])
    result = np.empty((len(rows), *values.shape[1:]), dtype=values.dtype)
    for first, inside in _by_block(rows):
        result[inside] = np.asarray(values[first : first + BLOCK])[rows[inside] - first]
    return result


def _by_block(rows: Places) -> Iterator[tuple[int, Places]]:
    order = np.argsort(rows, kind="stable")
    block = rows[order] // BLOCK
    for part in np.split(order, np.flatnonzero(np.diff(block)) + 1):
        if part.size:
            yield int(rows[part[0]] // BLOCK) * BLOCK, part
