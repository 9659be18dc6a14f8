"""Neural positive resampling: signed weights become positive ones with the same density (arXiv:2007.11586).

The density of a sample with weights of both signs is p(x) = P_|w|(x) E[sign w | x], with P_|w| the density of the same
events with weights |w| and E the mean sign at x under them. A network learns s(x), the share of the positive weights,
so that E[sign w | x] = 2 s(x) - 1, and the weights become |w| (2 s(x) - 1). An event is weighted by a network that did
not train on its fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import Events, effective_sample_size, training_set
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.networks.folds import CrossFitting
from evercast.networks.suitability import refused
from evercast.networks.training import Checkpoints, NetworkName, train_networks
from evercast.spec.model import Training

__all__ = ["Resampling", "SignTraining", "resampled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How the negative weights of a sample were made positive.

    Args:
        n_events: before.
        n_negative: events with a negative weight.
        mean_sign: sum w / sum |w|.
        effective_sample_size: (sum w)^2 / sum w^2 of the signed weights.
        resampled_size: the same of the positive weights.
        n_dropped: events at which the network finds no positive density; their weight became 0.
        dropped_share: of sum |w|, that of these events.
        scale: factor by which the positive weights were multiplied to keep the sum of weights; 1 for the true sign.
    """

    n_events: int
    n_negative: int
    mean_sign: float
    effective_sample_size: float
    resampled_size: float
    n_dropped: int
    dropped_share: float
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignTraining:
    """How the networks that learn the mean sign are trained, one per fold.

    Args:
        architecture: their form.
        options: of the training.
        cross_fitting: the folds.
        seed: of the networks.
        strategy: as in `train_networks`.
        checkpoints: where the state of the training is kept.
        name: of the checkpoints.
        threads, devices: as in `train_networks`.
    """

    architecture: Architecture
    options: Training
    cross_fitting: CrossFitting
    seed: int
    strategy: Literal["map", "vmap"]
    checkpoints: Checkpoints | None = None
    name: str = "signs"
    threads: int = 1
    devices: tuple[jax.Device, ...] | None = None


def resampled(events: Events, training: SignTraining, *, what: str) -> tuple[Events, Resampling]:
    """Return the events with positive weights of the same density and the same sum, and what that took.

    Each event is weighted by the network that left its fold out.

    Args:
        events: some of them with negative weights.
        training: of the networks.
        what: the events in words.

    Raises:
        InvalidInput: ``training.too-few-events`` where a fold has no negative event, ``training.negative-class`` where
            the mean sign is nowhere positive.
        NumericalFailure: ``training.diverged``.
    """
    sign = _mean_sign(events, training)
    size = np.abs(events.weight)
    weight = size * np.maximum(sign, 0.0)
    total = float(np.sum(weight))
    if not total > 0.0:
        hint = "the negative weights outweigh the others; use more events, or set negative_weights: signed"
        raise refused(f"{what}: the mean sign of the weights is nowhere positive", "negative-class", hint)
    scale = float(np.sum(events.weight)) / total
    kept = Events(observables=events.observables, weight=scale * weight, event=events.event).take(weight > 0.0)
    report = Resampling(
        n_events=len(size),
        n_negative=int(np.sum(events.weight < 0.0)),
        mean_sign=float(np.sum(events.weight) / np.sum(size)),
        effective_sample_size=effective_sample_size(events.weight),
        resampled_size=effective_sample_size(kept.weight),
        n_dropped=len(size) - len(kept.weight),
        dropped_share=float(np.sum(size[~(weight > 0.0)]) / np.sum(size)),
        scale=scale,
    )
    return kept, report


def _mean_sign(events: Events, training: SignTraining) -> Float64[np.ndarray, " events"]:
    """Return E[sign w | x] out of fold.

    The classes are trained with equal total weight, so the logit is ln p_+(x) / p_-(x); the share of the positive
    weights outside of the fold, pi, is put in afterwards: 2 s - 1 = tanh((logit + ln pi / (1 - pi)) / 2).
    """
    folds = training.cross_fitting
    size = np.abs(events.weight)
    absolute = Events(observables=events.observables, weight=size, event=events.event)
    is_positive, is_negative = events.weight > 0.0, events.weight < 0.0
    networks = train_networks(
        training_set(
            absolute.take(is_positive),
            absolute.take(is_negative),
            names=training.architecture.observables,
            class_names=("negative", "positive"),
        ),
        [NetworkName(member=0, fold=fold, seed=(training.seed + fold) % (1 << 32)) for fold in range(folds.folds)],
        architecture=training.architecture,
        options=training.options,
        cross_fitting=folds,
        strategy=training.strategy,
        checkpoints=None if training.checkpoints is None else _Named(training.checkpoints, training.name),
        threads=training.threads,
        devices=training.devices,
    )
    weights = Weights.stack([network.weights for network in networks]).reshape(1, folds.folds)
    fold = folds.fold_of(events.event)
    logit = ensemble_log_ratio(
        training.architecture, weights, events.observables, fold, strategy=training.strategy, devices=training.devices
    ).log_ratio
    prior = np.array(
        [
            np.log(np.sum(size[is_positive & (fold != number)]) / np.sum(size[is_negative & (fold != number)]))
            for number in range(folds.folds)
        ]
    )
    mean: Float64[np.ndarray, " events"] = np.tanh(0.5 * (logit + prior[fold]))
    return mean


class _Named:
    """Checkpoints under a prefix, beside those of the networks of the block."""

    def __init__(self, inner: Checkpoints, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    def load(self, name: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Return the arrays kept under `name`, or None."""
        return self._inner.load(f"{self._prefix}.{name}")

    def save(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the arrays under `name`."""
        self._inner.save(f"{self._prefix}.{name}", arrays)
