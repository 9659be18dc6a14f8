"""One unbinned channel on many data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.component_scales import ScaleValues
from evercast.likelihood.drawn_events import SharedColumns, gathered, shared_columns
from evercast.likelihood.event_arrays import padded_length, resident
from evercast.likelihood.model import EventSet
from evercast.likelihood.terms import Expansion, Expansions, Term
from evercast.likelihood.unbinned_form import Form, chain
from evercast.likelihood.unbinned_kernel import At, Chunk
from evercast.likelihood.unbinned_sums import Kind, sums_of, to_sums

__all__ = ["PointByPoint", "UnbinnedBatch", "make_batch"]


class _Data(NamedTuple):
    """Data sets filled with weight 0 to one length, in one of two forms.

    Args:
        columns: with a leading axis of data sets; or without one, of the events of which all sets are rows.
        weight: (sets, events).
        rows: (sets, events) of `columns`; None where these have a leading axis.
    """

    columns: Chunk
    weight: Float[Array, "sets events"]
    rows: Int[Array, "sets events"] | None

    def of(self, row: Array) -> tuple[Chunk, Array | None]:
        """Return a data set: its columns and weights, and which rows of the columns are its events."""
        if self.rows is None:
            return Chunk(*(leaf[row] for leaf in self.columns))._replace(weight=self.weight[row]), None
        return self.columns._replace(weight=self.weight[row]), self.rows[row]


@partial(jax.jit, static_argnums=0)
def _batch_sums(
    kind: Kind, reference: Chunk | None, data: _Data, rows: Int[Array, " points"], at: At
) -> tuple[Array, Array]:
    """Return the sums of the reference and of the chosen data set at each point, one vector a point."""

    def one(pair: tuple[Array, At]) -> tuple[Array, Array]:
        row, point = pair
        of_reference, logs = jnp.zeros(0), jnp.zeros(kind.layout.n_components)
        if reference is not None:
            sums = sums_of(replace(kind, reference=True), reference, point)
            of_reference = ravel_pytree(sums)[0]
            moved = np.array(kind.layout.moved)
            logs = logs.at[moved].set(jnp.log(sums.component[moved]))
        point = point._replace(expected=point.expected * jnp.exp(-logs))
        chosen, places = data.of(row)
        return of_reference, ravel_pytree(sums_of(kind, chosen, point, rows=places))[0]

    of_reference, of_data = jax.lax.map(one, (rows, at))
    return of_reference, of_data


@dataclass(frozen=True, slots=True, eq=False)
class UnbinnedBatch:
    """An unbinned channel on many data sets.

    Args:
        form: of the channel.
        reference: of the channel.
        data: of all sets.
        n_counted: events with weight, per data set.
    """

    form: Form
    reference: Chunk | None
    data: _Data
    n_counted: tuple[int, ...]

    @property
    def is_compiled(self) -> bool:
        """Whether each number of points is compiled for."""
        return True

    @property
    def n_values(self) -> int:
        """Numbers that one data set and the sums over it occupy."""
        own = self.data.columns if self.data.rows is None else ()
        columns = sum(int(np.prod(leaf.shape[1:])) for leaf in own)
        return columns + self.data.weight.shape[1] + self._kind.n_numbers

    @property
    def _kind(self) -> Kind:
        return Kind(layout=self.form.layout, order=2, reference=False, dtype="float64", within=False)

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        kind = self._kind
        of_reference = replace(kind, reference=True)
        scales = self.form.scales.evaluate(own)
        with jax.enable_x64(new_val=True):
            found = _batch_sums(kind, self.reference, self.data, rows, self.form.at(own, scales.value))
            references, sets = np.asarray(found[0]), np.asarray(found[1])
        parts = [
            chain(
                self.form,
                point,
                ScaleValues(*(entry[number, None] for entry in scales)),
                of_reference.nothing() if self.reference is None else to_sums(of_reference, reference),
                to_sums(kind, numbers),
                self.n_counted[row],
                2,
            )
            for number, (point, row, reference, numbers) in enumerate(zip(own, rows, references, sets, strict=True))
        ]
        return _together(parts)


@dataclass(frozen=True, slots=True, eq=False)
class PointByPoint:
    """A term on its own data, one point after the other: events where they are, in memory, in stores or on devices.

    Args:
        term: with value, gradient and Hessian at one point.
    """

    term: Term

    @property
    def is_compiled(self) -> bool:
        """Whether each number of points is compiled for."""
        return False

    @property
    def n_values(self) -> int:
        """Numbers of a Hessian."""
        return len(self.term.index) ** 2

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point; there is one data set."""
        if np.any(rows):
            raise InvalidInput("there is one data set, number 0", code="likelihood.batch")
        return _together([self.term.expand(point) for point in own])


def _together(parts: Sequence[Expansion]) -> Expansions:
    return Expansions(
        np.array([part.value for part in parts]),
        np.array([part.gradient for part in parts]),
        np.array([part.hessian for part in parts]),
    )


def make_batch(form: Form, reference: EventSet | None, sets: Sequence[EventSet]) -> UnbinnedBatch:
    """Return a channel on several data sets; columns that they share are held once.

    Args:
        form: of the channel.
        reference: events over which Z is the mean, if it is divided out.
        sets: the data sets.
    """
    shared = shared_columns(sets)
    data = _copied(sets) if shared is None else _shared(shared)
    counted = tuple(int(np.count_nonzero(entry.weight)) for entry in sets)
    scale = 1.0 if reference is None else 1.0 / float(np.sum(reference.weight))
    return UnbinnedBatch(form, None if reference is None else resident(reference, scale=scale), data, counted)


def _copied(sets: Sequence[EventSet]) -> _Data:
    length = padded_length(max(len(entry.weight) for entry in sets))
    with jax.enable_x64(new_val=True):
        columns = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), *(resident(gathered(entry), length=length) for entry in sets)
        )
        return _Data(columns._replace(weight=jnp.zeros((len(sets), 0))), columns.weight, None)


def _shared(shared: SharedColumns) -> _Data:
    length = padded_length(max(len(rows) for rows in shared.rows))
    rows = np.zeros((len(shared.rows), length), dtype=np.int32)
    weight = np.zeros(rows.shape)
    for number, (own, weights) in enumerate(zip(shared.rows, shared.weight, strict=True)):
        rows[number, : len(own)], weight[number, : len(own)] = own, weights
    columns = resident(shared.events, length=len(shared.events.weight))
    with jax.enable_x64(new_val=True):
        return _Data(columns._replace(weight=jnp.zeros(0)), jnp.asarray(weight), jnp.asarray(rows))
