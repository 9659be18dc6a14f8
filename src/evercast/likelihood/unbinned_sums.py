"""Sums over all events of a set, a few hundred at a time, so that nothing of the size of the set is made."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from evercast.likelihood.morph_factors import MorphFactors
from evercast.likelihood.morph_layout import MorphLayout
from evercast.likelihood.unbinned_kernel import Chunk, Element, Sums, add_sums, data_sums, empty_sums, reference_sums

__all__ = ["chunk_size", "sum_data", "sum_reference"]

_CHUNK = 256
"""Events whose columns stay in the second-level cache: 200 columns x 256 events x 4 bytes = 0.2 MB."""
_PLAIN_CHUNK = 4096
"""Without columns."""


def chunk_size(layout: MorphLayout) -> int:
    """Return how many events are handled at once."""
    return _CHUNK if layout.n_coordinates else _PLAIN_CHUNK


def _sum(arrays: Chunk, size: int, start: Sums, of_chunk: Callable[[Chunk], Sums]) -> Sums:
    """Return `start` and the sums of all chunks; the last chunk overlaps the one before, without weight there."""
    n_events = arrays.weight.shape[0]
    size = min(size, n_events)
    steps = jnp.arange(size)

    def add_chunk(number: Array, total: Sums) -> Sums:
        first = jnp.minimum(number * size, n_events - size)
        chunk = Chunk(*(jax.lax.dynamic_slice_in_dim(values, first, size) for values in arrays))
        weight = jnp.where(first + steps >= number * size, chunk.weight, 0.0)
        return add_sums(total, of_chunk(chunk._replace(weight=weight)))

    total: Sums = jax.lax.fori_loop(0, -(-n_events // size), add_chunk, start)
    return total


def sum_data(
    layout: MorphLayout,
    arrays: Chunk,
    expected: Float[Array, " components"],
    factors: MorphFactors,
    *,
    order: int,
    dtype: Element,
) -> Sums:
    """Return the sums of `data_sums` over all events."""
    start = empty_sums(layout, order=order, reference=False)
    return _sum(
        arrays,
        chunk_size(layout),
        start,
        lambda chunk: data_sums(layout, chunk, expected, factors, order=order, dtype=dtype),
    )


def sum_reference(layout: MorphLayout, arrays: Chunk, factors: MorphFactors, *, order: int, dtype: Element) -> Sums:
    """Return the sums of `reference_sums` over all events; empty where Z is not computed."""
    start = empty_sums(layout, order=order, reference=True)
    if not layout.normalises:
        return start
    return _sum(
        arrays,
        chunk_size(layout),
        start,
        lambda chunk: reference_sums(layout, chunk, factors, order=order, dtype=dtype),
    )
