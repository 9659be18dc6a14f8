"""Sums over all events of a set, a few hundred at a time, so that nothing of the size of the set is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from evercast.likelihood.morph_layout import MorphLayout
from evercast.likelihood.unbinned_kernel import (
    At,
    Chunk,
    Element,
    Sums,
    add_sums,
    data_sums,
    empty_sums,
    reference_sums,
    sums_shapes,
)

__all__ = ["HostSums", "Kind", "add_vector", "sums_at", "sums_of", "to_sums"]

Numbers = Float[np.ndarray, "..."]

_CHUNK = 256
"""Events whose columns stay in the second-level cache: 200 columns x 256 events x 4 bytes = 0.2 MB."""
_PLAIN_CHUNK = 4096
"""Without columns."""


class HostSums(NamedTuple):
    """`Sums` in numpy."""

    value: Numbers
    n_bad: Numbers
    component: Numbers
    column: tuple[Numbers, ...]
    square: tuple[Numbers, ...]
    bend: tuple[Numbers, ...]
    cross: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What sums are made, the static side.

    Args:
        layout: of the morphs.
        order: 0 value, 1 with first, 2 with second derivatives.
        reference: sums of w r g instead of w ln lambda.
        dtype: of the elements, ``float32`` or ``float64``.
        within: no parameter of a code-4 anchor lies beyond +-1.
    """

    layout: MorphLayout
    order: int
    reference: bool
    dtype: str
    within: bool

    @property
    def chunk_size(self) -> int:
        """How many events are handled at once."""
        return _CHUNK if self.layout.n_coordinates else _PLAIN_CHUNK

    def of_chunk(self, chunk: Chunk, at: At) -> Sums:
        """Return the sums over a chunk."""
        dtype: Element = jnp.dtype(self.dtype)
        function: Callable[..., Sums] = reference_sums if self.reference else data_sums
        return function(self.layout, chunk, at, order=self.order, dtype=dtype, within=self.within)

    def empty(self) -> Sums:
        """Return the sums over no events."""
        return empty_sums(self.layout, order=self.order, reference=self.reference)

    @property
    def n_numbers(self) -> int:
        """Length of the vector of sums."""
        shapes = sums_shapes(self.layout, order=self.order, reference=self.reference)
        several = (shape for entry in (shapes.column, shapes.square, shapes.bend) for shape in entry)
        single = (shapes.value, shapes.n_bad, shapes.component, shapes.cross)
        return sum(math.prod(shape) for shape in (*several, *single))

    def nothing(self) -> HostSums:
        """Return the sums over no events."""
        return to_sums(self, np.zeros(self.n_numbers))


def sums_of(
    kind: Kind, arrays: Chunk, at: At, start: Sums | None = None, *, rows: Int[Array, " events"] | None = None
) -> Sums:
    """Return the sums over all events; the last chunk overlaps the one before, unweighted there.

    Args:
        kind: what sums.
        arrays: the events.
        at: where.
        start: what the sums are added to.
        rows: event i has weight i and row `rows[i]` of the columns; None: row i.
    """
    n_events = arrays.weight.shape[0]
    size = min(kind.chunk_size, n_events)
    steps = jnp.arange(size)
    dtype = jnp.dtype(kind.dtype)
    at = At(jnp.asarray(at.expected), jnp.asarray(at.anchors, dtype), jnp.asarray(at.terms, dtype))

    columns = (arrays.log_ratio, arrays.log_up, arrays.log_down, arrays.coefficients)

    def add_chunk(number: Array, total: Sums) -> Sums:
        first = jnp.minimum(number * size, n_events - size)
        take = partial(jax.lax.dynamic_slice_in_dim, start_index=first, slice_size=size)
        weight = jnp.where(first + steps >= number * size, take(arrays.weight), 0.0)
        if rows is None:
            ratio, up, down, terms = (take(values) for values in columns)
        else:
            places = take(rows)
            ratio, up, down, terms = (values.at[places].get(mode="promise_in_bounds") for values in columns)
        return add_sums(total, kind.of_chunk(Chunk(ratio, weight, up, down, terms), at))

    total: Sums = jax.lax.fori_loop(0, -(-n_events // size), add_chunk, kind.empty() if start is None else start)
    return total


@partial(jax.jit, static_argnums=0)
def sums_at(kind: Kind, arrays: Chunk, at: At) -> Float[Array, " numbers"]:
    """Return the sums as one vector: one array to bring back."""
    return ravel_pytree(sums_of(kind, arrays, at))[0]


def add_vector(kind: Kind, total: Float[Array, " numbers"], arrays: Chunk, at: At) -> Float[Array, " numbers"]:
    """Return a vector of sums with those over further events added."""
    unravel = ravel_pytree(kind.empty())[1]
    return ravel_pytree(sums_of(kind, arrays, at, unravel(total)))[0]


def to_sums(kind: Kind, numbers: Float[np.ndarray, " numbers"]) -> HostSums:
    """Return the sums that a vector holds."""
    shapes = sums_shapes(kind.layout, order=kind.order, reference=kind.reference)
    first = 0

    def take(shape: tuple[int, ...]) -> Numbers:
        nonlocal first
        first += (size := math.prod(shape))
        return numbers[first - size : first].reshape(shape)

    return HostSums(
        value=take(shapes.value),
        n_bad=take(shapes.n_bad),
        component=take(shapes.component),
        column=tuple(take(shape) for shape in shapes.column),
        square=tuple(take(shape) for shape in shapes.square),
        bend=tuple(take(shape) for shape in shapes.bend),
        cross=take(shapes.cross),
    )
