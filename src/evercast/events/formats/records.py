"""Columns of generator records: final-state particles and weights, gathered event by event."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64

from evercast.events.truth import TRUTH_COLUMNS, Record, truth_column

__all__ = ["Batch", "batch_array", "join", "weight_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some events of a generator record.

    Args:
        count: particles of each event.
        pdg: of all particles, one event after the other.
        status: 1 for a particle of the final state.
        momentum: px, py, pz, energy in GeV.
        weights: the first one is the nominal one.
        mother: place of the first mother in its event, -1 without one; None where the history was not read.
    """

    count: Int64[np.ndarray, " events"]
    pdg: Int64[np.ndarray, " particles"]
    status: Int64[np.ndarray, " particles"]
    momentum: Float64[np.ndarray, "particles 4"]
    weights: Float64[np.ndarray, "events weights"]
    mother: Int64[np.ndarray, " particles"] | None = None

    def record(self) -> Record:
        """Return the particles with their history.

        Raises:
            ValueError: the history was not read.
        """
        if self.mother is None:
            raise ValueError("the history was not read")
        start = np.repeat(np.concatenate(([0], np.cumsum(self.count)[:-1])).astype(np.int64), self.count)
        return Record(
            count=self.count,
            pdg=self.pdg,
            mother=np.where(self.mother >= 0, start + self.mother, -1),
            final=self.status == 1,
            momentum=self.momentum,
        )

    def __len__(self) -> int:
        return len(self.count)


def weight_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the weights: ``weight`` for the first one, ``weight_NAME`` for every one that has a name.

    Characters that cannot stand in an expression become ``_``.

    Example:
        >>> weight_columns(["nominal", "MUR=2.0"])
        ('weight_nominal', 'weight_MUR_2_0')
    """
    return tuple("weight_" + re.sub(r"[^A-Za-z0-9_]", "_", name) for name in names)


def join(batches: Sequence[Batch]) -> Batch:
    """Return one batch with the events of all."""
    return Batch(
        count=np.concatenate([batch.count for batch in batches]),
        pdg=np.concatenate([batch.pdg for batch in batches]),
        status=np.concatenate([batch.status for batch in batches]),
        momentum=np.concatenate([batch.momentum for batch in batches]),
        weights=np.concatenate([batch.weights for batch in batches]),
    )


def batch_array(batch: Batch, names: Sequence[str], columns: Sequence[str]) -> ak.Array:
    """Return the batch as records of the chosen `columns`.

    Args:
        batch: the events; `particles` holds those with status 1, `record` all of them.
        names: columns of the named weights, in the order of `batch.weights`.
        columns: any of ``particles``, ``record``, ``weight``, those of `TRUTH_COLUMNS`, and `names`.
    """
    made: Mapping[str, ak.Array] = {name: _column(batch, list(names), name) for name in columns}
    return ak.Array(made)


def _column(batch: Batch, names: list[str], column: str) -> ak.Array:
    if column == "weight":
        return ak.Array(batch.weights[:, 0])
    if column in names:
        return ak.Array(batch.weights[:, names.index(column)])
    if column in TRUTH_COLUMNS:
        return truth_column(batch.record(), column)
    items = ak.Array(
        {
            "pdg": batch.pdg,
            "status": batch.status,
            **{name: batch.momentum[:, i] for i, name in enumerate(("px", "py", "pz", "energy"))},
        }
    )
    every = ak.unflatten(items, batch.count)
    return every if column == "record" else every[every["status"] == 1]
