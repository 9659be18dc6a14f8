"""Events of an `EventSet` as arrays that compiled functions take."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evercast.likelihood.model import EventSet
from evercast.likelihood.unbinned_kernel import Chunk

__all__ = ["column_counts", "empty_chunk", "padded_length", "resident"]

_STEP = 256
_LARGE_STEP = 4096
_LARGE = 1 << 16
"""Longer sets are taken as they are: filling them up would copy them."""


def padded_length(n_events: int) -> int:
    """Return the length to which a set is filled with events of weight 0, so that few lengths are compiled."""
    if n_events >= _LARGE:
        return n_events
    step = _STEP if n_events <= _LARGE_STEP else _LARGE_STEP
    return max(-(-n_events // step) * step, step)


def column_counts(events: EventSet) -> tuple[int, int]:
    """Return the numbers of anchors and of terms."""
    return (
        0 if events.log_up is None else events.log_up.shape[1],
        0 if events.coefficients is None else events.coefficients.shape[1],
    )


def resident(events: EventSet, *, length: int | None = None, normalised: bool = False) -> Chunk:
    """Return the events on the default device, in the types in which they are stored; weights in float64.

    Args:
        events: a set in memory.
        length: filled with weight 0 to it; None: `padded_length`.
        normalised: weights are divided by their sum.
    """
    n_events = len(events.weight)
    missing = (padded_length(n_events) if length is None else length) - n_events
    weight = np.asarray(events.weight, dtype=np.float64)
    weight = weight / weight.sum() if normalised else weight

    def filled(values: np.ndarray | None) -> np.ndarray:
        if values is None:
            return np.zeros((n_events + missing, 0), dtype=np.float32)
        return np.pad(values, ((0, missing), (0, 0))) if missing else values

    columns = (events.log_ratio, events.log_up, events.log_down, events.coefficients)
    ratio, up, down, terms = (filled(values) for values in columns)
    weight = np.pad(weight, (0, missing)) if missing else weight
    with jax.enable_x64(new_val=True):
        return Chunk(*(jnp.asarray(values) for values in (ratio, weight, up, down, terms)))


def empty_chunk(n_components: int) -> Chunk:
    """Return no events."""
    none: Float[np.ndarray, "0 0"] = np.zeros((0, 0), dtype=np.float32)
    with jax.enable_x64(new_val=True):
        ratio, weight = jnp.zeros((0, n_components)), jnp.zeros(0)
        return Chunk(ratio, weight, *(jnp.asarray(none) for _ in range(3)))
