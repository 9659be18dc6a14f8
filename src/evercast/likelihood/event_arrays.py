"""Events of an `EventSet` as arrays that compiled functions take: whole, or a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from evercast.likelihood.model import EventSet
from evercast.likelihood.unbinned_kernel import Chunk

__all__ = ["BLOCK", "blocks", "column_counts", "in_memory", "padded_length", "resident"]

BLOCK = 1 << 13
"""Events read at once from a store: 200 columns x 2 x 8192 events x 4 bytes = 13 MB. A multiple of every chunk size."""
_STEP = 256
_BITS = 4
"""Above 4096 events lengths are multiples of an eighth of a power of two: at most an eighth is filled up."""
_LARGE = 1 << 16
"""Longer sets are taken as they are: filling them up would copy them."""
_ALIGNMENT = 64
"""Bytes; an array in memory at such an address is used in place, another one is copied."""
_COPIED = 1 << 24
"""Bytes of arrays that may be copied."""


def padded_length(n_events: int) -> int:
    """Return the length to which a set is filled with events of weight 0, so that few lengths are compiled."""
    if n_events >= _LARGE:
        return n_events
    step = max(_STEP, 1 << max(n_events.bit_length() - _BITS, 0))
    return max(-(-n_events // step) * step, step)


def column_counts(events: EventSet) -> tuple[int, int]:
    """Return the numbers of anchors and of terms."""
    return (
        0 if events.log_up is None else events.log_up.shape[1],
        0 if events.coefficients is None else events.coefficients.shape[1],
    )


def in_memory(events: EventSet) -> bool:
    """Return whether the events can be used in place or are few; others are read a block at a time."""
    for values in (events.log_ratio, events.log_up, events.log_down, events.coefficients, events.weight):
        if values is None:
            continue
        if not isinstance(values, np.ndarray) or isinstance(values, np.memmap):
            return False
        usable = values.flags.c_contiguous and values.ctypes.data % _ALIGNMENT == 0
        if values.nbytes > _COPIED and not usable:
            return False
    return True


def blocks(events: EventSet, size: int = BLOCK) -> Iterator[tuple[int, EventSet]]:
    """Yield (first event, events) of consecutive blocks, in numpy; one empty block where there are no events."""
    n_events = len(events.weight)
    for first in range(0, max(n_events, 1), size):
        part = slice(first, min(first + size, n_events))
        yield (
            first,
            EventSet(
                log_ratio=np.asarray(events.log_ratio[part]),
                weight=np.asarray(events.weight[part]),
                log_up=None if events.log_up is None else np.asarray(events.log_up[part]),
                log_down=None if events.log_down is None else np.asarray(events.log_down[part]),
                coefficients=None if events.coefficients is None else np.asarray(events.coefficients[part]),
            ),
        )


def resident(events: EventSet, *, length: int | None = None, scale: float = 1.0) -> Chunk:
    """Return the events on the default device, in the types in which they are stored; weights in float64.

    On a CPU columns at an address that XLA can use are not copied: they must not change afterwards.

    Args:
        events: a set in memory.
        length: filled with weight 0 to it; None: `padded_length`.
        scale: weights are multiplied by it.
    """
    n_events = len(events.weight)
    missing = (padded_length(n_events) if length is None else length) - n_events
    weight = scale * np.asarray(events.weight, dtype=np.float64)

    def filled(values: np.ndarray | None) -> np.ndarray:
        if values is None:
            return np.zeros((n_events + missing, 0), dtype=np.float32)
        return np.pad(values, ((0, missing), (0, 0))) if missing else values

    columns = (events.log_ratio, events.log_up, events.log_down, events.coefficients)
    ratio, up, down, terms = (filled(values) for values in columns)
    weight = np.pad(weight, (0, missing)) if missing else weight
    with jax.enable_x64(new_val=True):
        return Chunk(*(jax.device_put(values, may_alias=True) for values in (ratio, weight, up, down, terms)))
