"""Small training sets with known density ratios."""

from __future__ import annotations

import numpy as np

from evercast.networks.architecture import Architecture
from evercast.networks.dataset import Events, TrainingSet, training_set
from evercast.spec.model import Training

ARCHITECTURE = Architecture(observables=("x", "y"), width=16, depth=2, activation="silu")
OPTIONS = Training(epochs=4, batch=128, learning_rate=1e-2, patience=None)


def gaussian(mean: float, *, events: int, seed: int, weight: np.ndarray | None = None) -> Events:
    """Events with x = N(mean, 1), y = N(0, 1)."""
    rng = np.random.default_rng(seed)
    values = rng.normal([mean, 0.0], 1.0, (events, 2))
    weights = np.ones(events) if weight is None else weight
    return Events(observables=values, weight=weights, event=np.arange(events, dtype=np.uint64) + np.uint64(seed << 20))


def toy(*, events: int = 1500) -> TrainingSet:
    """Process N(0.5, 1) against reference N(-0.5, 1): log r = x."""
    return training_set(
        gaussian(0.5, events=events, seed=1), gaussian(-0.5, events=events, seed=2), names=ARCHITECTURE.observables
    )
