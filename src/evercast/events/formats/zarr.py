"""Folders of arrays (zarr v3): one array per column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import awkward as ak
import numpy as np

from evercast.artifacts.arrays import Arrays, read_arrays, read_foreign_arrays
from evercast.events.formats.base import FileFacts, chosen_columns, damaged, empty

__all__ = ["ZarrFolder", "open_zarr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrFolder:
    """A folder of arrays. An array (events,) is a column; (events, items) is a column of lists of one length."""

    path: Path
    content: Arrays
    facts: FileFacts
    format: Literal["zarr"] = "zarr"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.content.arrays)

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time."""
        names = chosen_columns(self.path, columns, self.columns)
        for start in range(0, self.facts.n_events or 0, step):
            yield ak.Array({name: _lists(self.content[name][start : start + step]) for name in names})


def _lists(column: np.ndarray) -> ak.Array:
    return ak.from_regular(ak.Array(column), axis=None) if column.ndim > 1 else ak.Array(column)


def open_zarr(path: Path) -> ZarrFolder:
    """Open a zarr v3 group.

    One that `evercast.artifacts.arrays` wrote is compared with its inventory, file by file. Of any other, every chunk
    must be there: zarr reads a lost chunk as zeros.

    Raises:
        IntegrityError: a file is missing, short or changed.
        InvalidInput: ``sample.format`` (arrays of different length), ``sample.empty``.
    """
    content = read_arrays(path) if (path / "inventory.json").is_file() else read_foreign_arrays(path)
    lengths = {name: len(array) for name, array in content.arrays.items()}
    if len(set(lengths.values())) > 1:
        raise damaged(path, f"the arrays differ in length: {lengths}")
    events = next(iter(lengths.values()), 0)
    if events == 0:
        raise empty(path)
    return ZarrFolder(path=path, content=content, facts=FileFacts(n_events=events))
