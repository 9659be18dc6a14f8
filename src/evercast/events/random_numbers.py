"""Random numbers that are functions of a counter: the same event gets the same ones, whatever is read before it."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt64

__all__ = ["counter_normal", "counter_uniform"]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def counter_normal(
    seed: int, stream: str, event: UInt64[np.ndarray, " items"], item: UInt64[np.ndarray, " items"]
) -> Float64[np.ndarray, " items"]:
    """Return unit Gaussian numbers that are a function of (seed, stream, event, item) alone.

    Each counter is mixed with the finaliser of SplitMix64 (Steele et al., OOPSLA 2014) and two such numbers are
    turned to a Gaussian one by Box and Muller.
    """
    state = _state(seed, stream, event, item)
    with np.errstate(over="ignore"):
        first, second = _mixed(state + _GOLDEN), _mixed(state + _GOLDEN + _GOLDEN)
    radius = np.sqrt(-2.0 * np.log(_uniform(first) + 2.0**-54))
    gaussian: Float64[np.ndarray, " items"] = radius * np.cos(2.0 * np.pi * _uniform(second))
    return gaussian


def counter_uniform(
    seed: int, stream: str, event: UInt64[np.ndarray, " items"], item: UInt64[np.ndarray, " items"]
) -> Float64[np.ndarray, " items"]:
    """Return numbers in [0, 1) that are a function of (seed, stream, event, item) alone."""
    with np.errstate(over="ignore"):
        return _uniform(_mixed(_state(seed, stream, event, item) + _GOLDEN))


def _state(
    seed: int, stream: str, event: UInt64[np.ndarray, " items"], item: UInt64[np.ndarray, " items"]
) -> UInt64[np.ndarray, " items"]:
    digest = hashlib.sha256(f"{seed}:{stream}".encode()).digest()
    key = np.frombuffer(digest[:8], dtype="<u8").astype(np.uint64)
    with np.errstate(over="ignore"):
        return _mixed(_mixed(key ^ (event * _GOLDEN)) ^ (item * _GOLDEN + _MIX_1))


def _uniform(value: UInt64[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
    """Return the upper 53 bits as numbers in [0, 1)."""
    return np.asarray(value >> np.uint64(11), dtype=np.float64) * 2.0**-53


def _mixed(value: UInt64[np.ndarray, " items"]) -> UInt64[np.ndarray, " items"]:
    state = value + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
