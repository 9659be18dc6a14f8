"""How much memory of a device networks need, and so how many of them are run together on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import jax

from evercast.networks.architecture import Architecture

__all__ = ["free_memory", "networks_together", "rows_together", "training_bytes"]

_SHARE: Final = 0.8
"""Of the memory that a device has free; the rest is for what the compiler and the libraries add."""
_UNKNOWN: Final = 128
"""Networks run together on a device that does not say how much memory it has."""
_STATES: Final = 8
"""Copies of the weights: themselves, the best, two moments, their slope, and what a step makes of three of them."""
_KEPT: Final = 4
"""Numbers of a unit and event that a step holds: before and after the activation, its derivative, the slope."""
_ROWS: Final = (4 + 4) * 2
"""Bytes of an event of an epoch: its row and its weight, of this epoch and of the next."""
_FORWARD: Final = 3
"""Numbers of a unit and event that an evaluation holds."""
_FEW_ROWS: Final = 1 << 12
_MANY_ROWS: Final = 1 << 16


def training_bytes(architecture: Architecture, *, batch: int, rows: int, chunk: int) -> int:
    """Return about how many bytes of a device the training of one network takes beside the events.

    Args:
        architecture: its form.
        batch: events in a step.
        rows: events of an epoch and of the validation part, with padding.
        chunk: events evaluated at once for the validation loss.
    """
    sizes = architecture.sizes()
    weights = sum((into + 1) * out for into, out in pairwise(sizes))
    units = sum(sizes)
    return 4 * (_STATES * weights + max(_KEPT * batch, _FORWARD * chunk) * units) + _ROWS * rows


def free_memory(devices: Sequence[jax.Device]) -> int | None:
    """Return the bytes that are free on the fullest device; None where a device does not say it, as a CPU."""
    free = []
    for device in devices:
        told = device.memory_stats()
        if not told or "bytes_limit" not in told:
            return None
        free.append(int(told["bytes_limit"]) - int(told.get("bytes_in_use", 0)))
    return min(free)


def networks_together(count: int, *, each: int, shared: int, free: int | None, devices: int) -> int:
    """Return how many of `count` networks are trained together on some devices, in groups of about equal size.

    Args:
        count: networks in all.
        each: bytes that one takes.
        shared: bytes that all share, on every device.
        free: bytes free on each device; None where it is not known.
        devices: over which they are spread evenly: the answer is a multiple.
    """
    fits = _UNKNOWN if free is None else max(1, int((_SHARE * free - shared) // each))
    groups = -(-count // (fits * devices))
    return -(-count // (groups * devices)) * devices


def rows_together(architecture: Architecture, *, networks: int, free: int | None) -> int:
    """Return how many events some vmapped networks evaluate at once on a device: a power of two."""
    each = 4 * _FORWARD * networks * max(architecture.sizes())
    rows = _MANY_ROWS
    while rows > _FEW_ROWS and (free is None or rows * each > _SHARE * free):
        rows //= 2
    return rows
