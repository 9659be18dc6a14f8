"""Training of the networks of a block: one compiled epoch for all, early stopping by network, resumable.

The events stay on the device. An epoch is one compiled scan over minibatches of fixed shape; padding has weight 0. Each
network has its own order of events, its own validation part and its own start, all from its seed, so that what it
becomes does not depend on which others are trained with it. With strategy ``map`` that holds to the last bit; ``vmap``
trains all networks at once, which is what a GPU needs, and agrees with it to the rounding of float32.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import NDArray

from evercast.errors import NumericalFailure
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import ClassSummary, TrainingSet
from evercast.networks.epoch import Progress, keep_best, one_epoch, start
from evercast.networks.folds import CrossFitting, shuffled
from evercast.networks.group import Group, Shared
from evercast.networks.optimisers import learning_rates, optimiser
from evercast.networks.splitting import Split, split, standardisation
from evercast.spec.model import Training

__all__ = ["Checkpoints", "NetworkName", "TrainedNetwork", "train_networks"]

_log = logging.getLogger(__name__)
_CHECKPOINT_EVERY = 10
_TOGETHER = 128  # networks vmapped at once: their activations have to fit in the memory of a GPU


@runtime_checkable
class Checkpoints(Protocol):
    """Where the state of a training is kept so that it survives a kill."""

    def load(self, name: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Return the arrays kept under `name`, or None."""

    def save(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the arrays under `name`, whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkName:
    """Which network: member of the ensemble, fold it leaves out, and the seed of everything random in it."""

    member: int
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"member {self.member}, fold {self.fold}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedNetwork:
    """A network and how it came about.

    Args:
        name: which one.
        weights: its numbers at the epoch with the least validation loss.
        best_epoch: that epoch, counted from 0.
        training_loss: mean over each epoch while the weights change.
        validation_loss: after each epoch; empty without validation events.
        training: summary of the training part by class.
        validation: summary of the validation part by class.
    """

    name: NetworkName
    weights: Weights
    best_epoch: int
    training_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    training: Mapping[str, ClassSummary]
    validation: Mapping[str, ClassSummary]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """What is common to all networks of a call."""

    events: TrainingSet
    shared: Shared
    architecture: Architecture
    options: Training
    rates: Float32[np.ndarray, "epochs steps"]
    strategy: Literal["map", "vmap"]
    checkpoints: Checkpoints | None


def train_networks(
    events: TrainingSet,
    names: Sequence[NetworkName],
    *,
    architecture: Architecture,
    options: Training,
    cross_fitting: CrossFitting,
    strategy: Literal["map", "vmap"],
    checkpoints: Checkpoints | None = None,
    threads: int = 1,
) -> list[TrainedNetwork]:
    """Train the networks and return them in the order of `names`.

    Args:
        events: both classes.
        names: the networks.
        architecture: their form.
        options: epochs, batch, optimiser, schedule, patience, validation fraction.
        cross_fitting: the folds, the same in training and evaluation.
        strategy: ``map``, one after the other, for a CPU; ``vmap``, all at once, for a GPU.
        checkpoints: where the state is kept; a call with the same arguments goes on from there, with the same bits.
        threads: networks trained at the same time with strategy ``map``.

    Raises:
        InvalidInput: a fold without events of a class, a constant observable, a class of negative weight.
        NumericalFailure: ``training.diverged`` where a loss is not finite.
    """
    optimiser(options.optimiser, weight_decay=options.weight_decay)
    splits = [_split_of(events, cross_fitting, options, fold=name.fold, seed=name.seed) for name in names]
    lengths = [_lengths(events, cross_fitting, options, fold=fold) for fold in range(cross_fitting.folds)]
    steps = -(-max(training for training, _ in lengths) // options.batch)
    plan = _Plan(
        events=events,
        shared=Shared.of(events, options, activation=architecture.activation, validation=max(v for _, v in lengths)),
        architecture=architecture,
        options=options,
        rates=learning_rates(options.schedule, initial=options.learning_rate, epochs=options.epochs, steps=steps),
        strategy=strategy,
        checkpoints=checkpoints,
    )
    size = _TOGETHER if strategy == "vmap" else 1
    pairs = list(zip(names, splits, strict=True))
    groups = [pairs[first : first + size] for first in range(0, len(pairs), size)]
    if threads == 1 or len(groups) == 1:
        return [network for group in groups for network in _train_group(plan, group)]
    with ThreadPoolExecutor(threads) as pool:
        return [network for done in pool.map(lambda group: _train_group(plan, group), groups) for network in done]


def _split_of(events: TrainingSet, cross_fitting: CrossFitting, options: Training, *, fold: int, seed: int) -> Split:
    return split(events, cross_fitting, fold=fold, seed=seed, validation_fraction=options.validation_fraction)


def _lengths(events: TrainingSet, cross_fitting: CrossFitting, options: Training, *, fold: int) -> tuple[int, int]:
    """Return how many rows train and validate in a fold; it is the same for each seed."""
    part = _split_of(events, cross_fitting, options, fold=fold, seed=0)
    return len(part.training), len(part.validation)


def _train_group(plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]]) -> list[TrainedNetwork]:
    """Train some networks together, in single precision whatever the likelihood has switched on in this process."""
    with jax.enable_x64(False):  # noqa: FBT003 - the signature of JAX
        return _train_in_single_precision(plan, pairs)


def _train_in_single_precision(plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]]) -> list[TrainedNetwork]:
    """Train some networks together; more than one only with strategy ``vmap``."""
    names = [name for name, _ in pairs]
    group = _group(plan, [part for _, part in pairs])
    progress = start(plan.architecture, group, seeds=[name.seed for name in names], options=plan.options)
    key = "-".join(f"{name.member}.{name.fold}" for name in (names if len(names) == 1 else (names[0], names[-1])))
    kept = plan.checkpoints.load(key) if plan.checkpoints else None
    if kept is not None:
        progress = progress.restored(kept)
        _log.info("network %s goes on after epoch %d", key, progress.epoch)
    while not progress.finished(plan.options):
        progress = _advance(plan, group, names, progress)
        due = progress.epoch % _CHECKPOINT_EVERY == 0 or progress.finished(plan.options)
        if plan.checkpoints and due:
            plan.checkpoints.save(key, progress.to_arrays())
        if due:
            _log.info("network %s: %d of at most %d epochs done", key, progress.epoch, plan.options.epochs)
    return [_result(plan, group, progress, index, name, part) for index, (name, part) in enumerate(pairs)]


def _group(plan: _Plan, parts: Sequence[Split]) -> Group:
    """Return the standardisation and the padded rows of some networks, with a leading axis."""
    epochs_rows = plan.rates.shape[1] * plan.options.batch
    moments = [standardisation(plan.events, part) for part in parts]
    return Group(
        mean=np.stack([mean for mean, _ in moments]),
        scale=np.stack([scale for _, scale in moments]),
        training_rows=np.stack([_padded(part.training, epochs_rows) for part in parts]),
        training_weight=np.stack([_weights(plan, part.training, part.balance, epochs_rows) for part in parts]),
        validation_rows=np.stack([_padded(part.validation, plan.shared.validation) for part in parts]),
        validation_weight=np.stack(
            [_weights(plan, part.validation, part.validation_balance, plan.shared.validation) for part in parts]
        ),
    )


def _padded(rows: NDArray[np.int64], length: int) -> Int32[np.ndarray, " rows"]:
    return np.pad(rows, (0, length - len(rows))).astype(np.int32)


def _weights(
    plan: _Plan, rows: NDArray[np.int64], balance: NDArray[np.float64], length: int
) -> Float32[np.ndarray, " rows"]:
    shares = plan.events.weight[rows] * balance[plan.events.category[rows]]
    return np.pad(shares, (0, length - len(rows))).astype(np.float32)


def _advance(plan: _Plan, group: Group, names: Sequence[NetworkName], progress: Progress) -> Progress:
    """Return the progress one epoch later."""
    epoch, steps = progress.epoch, plan.rates.shape[1]
    orders = np.stack([shuffled(group.training_rows.shape[1], seed=name.seed, turn=epoch) for name in names])
    shape = (len(names), steps, plan.options.batch)
    rows = np.take_along_axis(group.training_rows, orders, axis=1).reshape(shape)
    weight = np.take_along_axis(group.training_weight, orders, axis=1).reshape(shape)
    state, training, validation = one_epoch(
        plan.shared, group, progress.state, rows, weight, plan.rates[epoch], strategy=plan.strategy
    )
    losses = np.stack([np.asarray(training), np.asarray(validation)], axis=1).astype(np.float64)
    for name, pair, active in zip(names, losses, progress.active(plan.options), strict=True):
        if active and not np.isfinite(pair).all():
            raise NumericalFailure(
                f"the loss of {name} is {pair[0]} (training), {pair[1]} (validation) in epoch {epoch}",
                code="training.diverged",
                hint="use a smaller learning rate, or fewer negative weights",
            )
    return keep_best(progress, state, losses, options=plan.options)


def _result(
    plan: _Plan, group: Group, progress: Progress, index: int, name: NetworkName, part: Split
) -> TrainedNetwork:
    last = int(progress.last_epoch(plan.options)[index])
    history = progress.losses[index, : last + 1]
    has_validation = len(part.validation) > 0
    masks = {}
    for key, rows in (("training", part.training), ("validation", part.validation)):
        masks[key] = np.zeros(len(plan.events.weight), dtype=bool)
        masks[key][rows] = True
    return TrainedNetwork(
        name=name,
        weights=Weights(
            mean=group.mean[index],
            scale=group.scale[index],
            weight=tuple(np.ascontiguousarray(np.asarray(array[index]).T) for array in progress.best.weight),
            bias=tuple(np.asarray(array[index]) for array in progress.best.bias),
        ),
        best_epoch=int(progress.best_epoch[index]),
        training_loss=tuple(history[:, 0].tolist()),
        validation_loss=tuple(history[:, 1].tolist()) if has_validation else (),
        training=plan.events.summary(masks["training"]),
        validation=plan.events.summary(masks["validation"]),
    )
