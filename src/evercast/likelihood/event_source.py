"""Where the sums over the events of a channel come from: arrays in memory, or stores read a block at a time.

A source answers with the sums over all its events at a point. `evercast.likelihood.distributed` has one whose events
are spread over devices and processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.drawn_events import gathered
from evercast.likelihood.event_arrays import BLOCK, blocks, in_memory, resident
from evercast.likelihood.model import EventSet
from evercast.likelihood.unbinned_kernel import At, Chunk
from evercast.likelihood.unbinned_sums import Kind, add_vector, sums_at

__all__ = ["EventSource", "MakeSource", "Resident", "Streamed", "local_source"]


@runtime_checkable
class EventSource(Protocol):
    """Events whose sums can be asked for."""

    def sums(self, kind: Kind, at: At) -> Float[np.ndarray, " numbers"]:
        """Return the sums over all events, as a vector that `to_sums` reads."""
        ...


MakeSource = Callable[[EventSet, float], EventSource]
"""From events and a factor for their weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """Events in memory."""

    arrays: Chunk

    def sums(self, kind: Kind, at: At) -> Float[np.ndarray, " numbers"]:
        """Return the sums over all events."""
        return np.asarray(sums_at(kind, self.arrays, at))


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _add_block(kind: Kind, total: Float[Array, " numbers"], arrays: Chunk, at: At) -> Float[Array, " numbers"]:
    return add_vector(kind, total, arrays, at)


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """Events in stores (memory maps, zarr arrays), of which one block at a time is in memory.

    Args:
        events: the stores.
        scale: factor of the weights.
    """

    events: EventSet
    scale: float

    def sums(self, kind: Kind, at: At) -> Float[np.ndarray, " numbers"]:
        """Return the sums over all events; the chunks are those of events in memory."""
        total = jnp.zeros(kind.n_numbers)
        for _, part in blocks(self.events, BLOCK):
            total = _add_block(kind, total, resident(part, length=BLOCK, scale=self.scale), at)
            total.block_until_ready()  # or the next blocks are read while this one waits, and all are in memory
        return np.asarray(total)


def local_source(events: EventSet, scale: float) -> EventSource:
    """Return the source of events on one device; rows of other events are copied."""
    events = gathered(events)
    return Resident(resident(events, scale=scale)) if in_memory(events) else Streamed(events, scale)
