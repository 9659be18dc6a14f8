"""Bootstrap replicas of the simulation: the Poisson(1) weight of an event is a function of its identity.

All samples, processes and variations that hold an event give it the same weight, so that one replica is one replica
of the whole simulation, whichever job asks for it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt64

from evercast.networks.dataset import Events
from evercast.networks.folds import random_bits
from evercast.networks.suitability import refused

__all__ = ["bootstrapped", "poisson_weights"]

_LARGEST: Final = 18
"""The probability of more than 18 events is 3e-18, less than the resolution 2**-53 of the uniform number."""

_CUMULATIVE: Final = tuple(
    math.exp(-1.0) * math.fsum(1.0 / math.factorial(k) for k in range(n + 1)) for n in range(_LARGEST)
)


def poisson_weights(event: UInt64[np.ndarray, " events"], *, seed: int) -> Float64[np.ndarray, " events"]:
    """Return a Poisson(1) number for each event, from its identity and the seed of the replica.

    Args:
        event: identities.
        seed: of the replica, not negative, below 2**64.

    Example:
        >>> poisson_weights(np.arange(8, dtype=np.uint64), seed=7)
        array([2., 1., 0., 0., 0., 2., 1., 1.])
    """
    uniform = (random_bits(event, seed=seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(np.array(_CUMULATIVE), uniform, side="right").astype(np.float64)


def bootstrapped(events: Events, *, seed: int, what: str) -> Events:
    """Return the events of a replica: weights times their Poisson(1) numbers, without those that got 0.

    Raises:
        InvalidInput: ``training.empty-class`` or ``training.negative-class`` where too few are left.
    """
    times = poisson_weights(events.event, seed=seed)
    replica = Events(observables=events.observables, weight=events.weight * times, event=events.event).take(times > 0.0)
    if len(replica.weight) == 0 or np.sum(replica.weight) <= 0.0:
        code = "negative-class" if len(replica.weight) else "empty-class"
        message = f"{what}: {len(replica.weight)} events are left in a bootstrap replica, without a positive sum"
        raise refused(message, code, "more events are needed for a bootstrap")
    return replica
