"""Networks trained and evaluated on one device and on several, in a process that has them; prints what differs.

Run: ``python device_job.py STRATEGY``, PYTHONPATH with tests/networks, XLA_FLAGS with the number of devices.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import jax
import numpy as np
from toys import ARCHITECTURE, OPTIONS, toy

from evercast.networks.architecture import Weights
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks

FOLDS = CrossFitting(folds=2, seed=3)
NAMES = [NetworkName(member=member, fold=0, seed=10 + member) for member in range(5)]


class Kept:
    """Checkpoints in memory; after `fail_at` of them the training is interrupted."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.fail_at = -1

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        return self.kept.get(name)

    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        self.kept[name] = {key: np.array(array) for key, array in arrays.items()}
        self.fail_at -= 1
        if self.fail_at == 0:
            raise KeyboardInterrupt


def train(strategy: str, devices: list[jax.Device], checkpoints: Kept | None = None) -> list[TrainedNetwork]:
    return train_networks(
        toy(events=700), NAMES, architecture=ARCHITECTURE, options=replace(OPTIONS, epochs=13, patience=6),
        cross_fitting=FOLDS, strategy=strategy, devices=devices, checkpoints=checkpoints,
    )  # fmt: skip


def stacked(networks: list[TrainedNetwork]) -> Weights:
    """The members, each in both places of the cross-fitting."""
    return Weights.stack([network.weights for network in networks for _ in range(2)]).reshape(len(networks), 2)


def largest(one: Weights, other: Weights) -> float:
    pairs = zip(one.named(), other.named(), strict=True)
    return max(float(np.max(np.abs(first - second))) for (_, first), (_, second) in pairs)


def main(strategy: str) -> None:
    """Compare."""
    devices = jax.devices()
    alone, together = (stacked(train(strategy, some)) for some in (devices[:1], devices))
    kept = Kept()
    kept.fail_at = 2
    try:
        train(strategy, devices, kept)
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    resumed = stacked(train(strategy, devices, kept))
    events = np.random.default_rng(1).normal(size=(10_000, 2))
    fold = FOLDS.fold_of(np.arange(10_000, dtype=np.uint64))
    ratios = [
        ensemble_log_ratio(ARCHITECTURE, together, events, fold, strategy=strategy, devices=some, chunk=4096).log_ratio
        for some in (devices[:1], devices)
    ]
    result = {
        "devices": len(devices),
        "names": [name.member for name in NAMES],
        "training": largest(alone, together),
        "moved": float(np.std(alone.weight[0])),
        "interrupted": interrupted,
        "resumed": largest(together, resumed),
        "evaluation": float(np.max(np.abs(ratios[0] - ratios[1]))),
        "spread": float(np.std(ratios[0])),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
