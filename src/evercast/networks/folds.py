"""Folds, splits and orders drawn from a counter, not from a stream: each event has its own number, the same everywhere.

The generator is splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014, doi:10.1145/2660193.2660195), which is fixed
arithmetic on 64-bit integers: the same on every machine and with every version of every library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["CrossFitting", "random_bits", "shuffled"]

_STEP = np.uint64(0x9E3779B97F4A7C15)


def random_bits(counter: UInt64[np.ndarray, "*shape"], *, seed: int) -> UInt64[np.ndarray, "*shape"]:
    """Return 64 random bits for each counter: splitmix64 of the counter in the stream `seed`.

    Args:
        counter: any shape.
        seed: not negative, below 2**64.
    """
    start = _mix(np.array([seed], dtype=np.uint64) * _STEP + _STEP)
    return _mix((counter + np.uint64(1)) * _STEP + start)


def _mix(bits: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, "*shape"] = bits ^ (bits >> np.uint64(31))
    return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFitting:
    """How events are shared out to the folds of the cross-fitting.

    Args:
        folds: their number K, 1 or more.
        seed: the same wherever the same events are trained on and evaluated.
    """

    folds: int
    seed: int

    def fold_of(self, event: UInt64[np.ndarray, " events"]) -> Int64[np.ndarray, " events"]:
        """Return the fold, 0 to K - 1, of each event.

        It depends on the identity of the event only, on all of its 64 bits (file and index in it), so that one event
        has one fold in every sample that reads its file, whatever other files the sample reads.

        Example:
            >>> CrossFitting(folds=4, seed=7).fold_of(np.arange(8, dtype=np.uint64)).tolist()
            [2, 0, 0, 1, 1, 0, 3, 0]
        """
        return (random_bits(event, seed=self.seed) % np.uint64(self.folds)).astype(np.int64)


def shuffled(length: int, *, seed: int, turn: int) -> Int64[np.ndarray, " rows"]:
    """Return the numbers 0 to `length` - 1 in a random order, another one at each `turn` (the epoch).

    The random bits of different counters differ, as splitmix64 is one to one, so every way of sorting gives one order.
    """
    counter = np.arange(length, dtype=np.uint64) + np.uint64(turn) * np.uint64(1 << 32)
    return np.argsort(random_bits(counter, seed=seed))
