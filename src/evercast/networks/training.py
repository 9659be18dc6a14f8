"""Training of the networks of a block: one compiled epoch for all, early stopping by network, resumable.

The events stay on the device. An epoch is one compiled scan over minibatches of fixed shape; padding has weight 0. Each
network has its own order of events, its own validation part and its own start, all from its seed, so that what it
becomes does not depend on which others are trained with it. With strategy ``map`` that holds to the last bit; ``vmap``
trains many networks at once, which is what a GPU needs, and agrees with it to the rounding of float32.

On several devices each has its own networks. With ``map`` every device takes the next network when it is done with one;
with ``vmap`` a group is as large as the memory of the devices allows and is spread over them by one compiled function.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float32, Int32
from numpy.typing import NDArray

from evercast.errors import NumericalFailure
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import ClassSummary, TrainingSet
from evercast.networks.device import NETWORKS, along, mesh_of
from evercast.networks.epoch import Progress, keep_best, one_epoch, start
from evercast.networks.epoch_rows import EpochRows
from evercast.networks.folds import CrossFitting
from evercast.networks.group import Group, Shared
from evercast.networks.memory import free_memory, networks_together, training_bytes
from evercast.networks.optimisers import learning_rates, optimiser
from evercast.networks.splitting import Split, split, standardisation
from evercast.spec.model import Training

__all__ = ["Checkpoints", "NetworkName", "TrainedNetwork", "train_networks"]

_log = logging.getLogger(__name__)
_CHECKPOINT_EVERY = 10


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
    """What is common to all networks of a call.

    Args:
        shared: the events on each of some devices, or, with a mesh, once for all of them.
        mesh: the devices that one group is spread over; None where a group is on one of them.
        threads: that prepare the next epoch of a group.
    """

    events: TrainingSet
    shared: tuple[Shared, ...]
    mesh: Mesh | None
    threads: int
    architecture: Architecture
    options: Training
    rates: Float32[np.ndarray, "epochs steps"]
    strategy: Literal["map", "vmap"]
    checkpoints: Checkpoints | None


def train_networks(  # noqa: PLR0913 - options by name
    events: TrainingSet,
    names: Sequence[NetworkName],
    *,
    architecture: Architecture,
    options: Training,
    cross_fitting: CrossFitting,
    strategy: Literal["map", "vmap"],
    checkpoints: Checkpoints | None = None,
    threads: int = 1,
    devices: Sequence[jax.Device] | None = None,
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
            Groups of another size are begun anew where they do not fit on these devices.
        threads: networks trained at the same time with strategy ``map``; with ``vmap`` they prepare epochs.
        devices: those to train on; None: the first.

    Raises:
        InvalidInput: a fold without events of a class, a constant observable, a class of negative weight.
        NumericalFailure: ``training.diverged`` where a loss is not finite.
    """
    optimiser(options.optimiser, weight_decay=options.weight_decay)
    splits = [_split_of(events, cross_fitting, options, fold=name.fold, seed=name.seed) for name in names]
    lengths = [_lengths(events, cross_fitting, options, fold=fold) for fold in range(cross_fitting.folds)]
    steps = -(-max(training for training, _ in lengths) // options.batch)
    used = tuple(devices or jax.local_devices()[:1])
    mesh = mesh_of(used, NETWORKS) if strategy == "vmap" else None
    shared = Shared.of(events, options, activation=architecture.activation, validation=max(v for _, v in lengths))
    plan = _Plan(
        events=events,
        shared=_everywhere(shared, used, mesh),
        mesh=mesh,
        threads=threads,
        architecture=architecture,
        options=options,
        rates=learning_rates(options.schedule, initial=options.learning_rate, epochs=options.epochs, steps=steps),
        strategy=strategy,
        checkpoints=checkpoints,
    )
    pairs = list(zip(names, splits, strict=True))
    if strategy == "vmap":
        together = _together(plan, len(pairs), used)
        return [network for group in _groups(plan, pairs, together) for network in _train_group(plan, group, together)]
    return _train_one_by_one(plan, pairs)


def _everywhere(shared: Shared, devices: Sequence[jax.Device], mesh: Mesh | None) -> tuple[Shared, ...]:
    if mesh is not None:
        return (jax.device_put(shared, NamedSharding(mesh, along())),)
    return tuple(jax.device_put(shared, device) for device in devices)


def _together(plan: _Plan, count: int, devices: Sequence[jax.Device]) -> int:
    """Return how many networks are vmapped together, on all devices."""
    shared = plan.shared[0]
    rows = plan.rates.shape[1] * plan.options.batch + shared.validation
    each = training_bytes(plan.architecture, batch=plan.options.batch, rows=rows, chunk=shared.chunk)
    free = free_memory(devices)  # the events are there already
    together = networks_together(count, each=each, shared=0, free=free, devices=len(devices))
    _log.info("%d of %d networks at once on %d devices, %.1f MB each", together, count, len(devices), each / 1e6)
    return together


def _groups(
    plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]], together: int
) -> Iterator[Sequence[tuple[NetworkName, Split]]]:
    """Yield the networks in groups: those of which a state is kept and that fit, or else `together`."""
    first = 0
    while first < len(pairs):
        sizes = range(min(together, len(pairs) - first), 0, -1) if plan.checkpoints else ()
        kept = (
            n for n in sizes if plan.checkpoints and plan.checkpoints.load(_key(pairs[first : first + n], together))
        )
        size = next(kept, together)
        yield pairs[first : first + size]
        first += size


def _train_one_by_one(plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]]) -> list[TrainedNetwork]:
    """Train as many networks at a time as there are threads or devices, each on one device."""
    places: SimpleQueue[Shared] = SimpleQueue()
    workers = min(max(plan.threads, len(plan.shared)), len(pairs))
    for number in range(workers):
        places.put(plan.shared[number % len(plan.shared)])

    def train(pair: tuple[NetworkName, Split]) -> TrainedNetwork:
        place = places.get()
        try:
            return _train_group(replace(plan, shared=(place,)), [pair], 1)[0]
        finally:
            places.put(place)

    if workers <= 1:
        return [train(pair) for pair in pairs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(train, pairs))


def _split_of(events: TrainingSet, cross_fitting: CrossFitting, options: Training, *, fold: int, seed: int) -> Split:
    return split(events, cross_fitting, fold=fold, seed=seed, validation_fraction=options.validation_fraction)


def _lengths(events: TrainingSet, cross_fitting: CrossFitting, options: Training, *, fold: int) -> tuple[int, int]:
    """Return how many rows train and validate in a fold; it is the same for each seed."""
    part = _split_of(events, cross_fitting, options, fold=fold, seed=0)
    return len(part.training), len(part.validation)


def _key(pairs: Sequence[tuple[NetworkName, Split]], together: int) -> str:
    """Return the name of the state of a group, which is filled up to a multiple of the devices."""
    ends = [pairs[0][0]] if len(pairs) == 1 else [pairs[0][0], pairs[-1][0]]
    key = "-".join(f"{name.member}.{name.fold}" for name in ends)
    return key if len(pairs) == together else f"{key}.of.{together}"


def _train_group(plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]], together: int) -> list[TrainedNetwork]:
    """Train some networks together, in single precision whatever the likelihood has switched on in this process.

    More than one only with strategy ``vmap``. A group that is smaller than `together` is filled up with its last one,
    so that one function is compiled for all of them.
    """
    filled = [*pairs, *[pairs[-1]] * (together - len(pairs))]
    with jax.enable_x64(False):  # noqa: FBT003 - the signature of JAX
        return _train_in_single_precision(plan, filled, key=_key(pairs, together))[: len(pairs)]


def _train_in_single_precision(
    plan: _Plan, pairs: Sequence[tuple[NetworkName, Split]], *, key: str
) -> list[TrainedNetwork]:
    names = [name for name, _ in pairs]
    group = _group(plan, [part for _, part in pairs])
    progress = start(plan.architecture, group, seeds=[name.seed for name in names], options=plan.options)
    kept = plan.checkpoints.load(key) if plan.checkpoints else None
    if kept is not None:
        progress = progress.restored(kept)
        _log.info("network %s goes on after epoch %d", key, progress.epoch)
    with ExitStack() as stack:
        ahead = stack.enter_context(ThreadPoolExecutor(plan.threads)) if plan.strategy == "vmap" else None
        seeds = [name.seed for name in names]
        epochs = EpochRows(group, seeds, epochs=plan.options.epochs, batch=plan.options.batch, ahead=ahead)
        while not progress.finished(plan.options):
            progress = _advance(plan, group, names, progress, epochs)
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
        validation_rows=np.stack([_padded(part.validation, plan.shared[0].validation) for part in parts]),
        validation_weight=np.stack(
            [_weights(plan, part.validation, part.validation_balance, plan.shared[0].validation) for part in parts]
        ),
    )


def _padded(rows: NDArray[np.int64], length: int) -> Int32[np.ndarray, " rows"]:
    return np.pad(rows, (0, length - len(rows))).astype(np.int32)


def _weights(
    plan: _Plan, rows: NDArray[np.int64], balance: NDArray[np.float64], length: int
) -> Float32[np.ndarray, " rows"]:
    shares = plan.events.weight[rows] * balance[plan.events.category[rows]]
    return np.pad(shares, (0, length - len(rows))).astype(np.float32)


def _advance(
    plan: _Plan, group: Group, names: Sequence[NetworkName], progress: Progress, epochs: EpochRows
) -> Progress:
    """Return the progress one epoch later."""
    epoch = progress.epoch
    rows, weight = epochs.of(epoch)
    state, training, validation = one_epoch(
        plan.shared[0], group, progress.state, rows, weight, plan.rates[epoch], strategy=plan.strategy, mesh=plan.mesh
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
