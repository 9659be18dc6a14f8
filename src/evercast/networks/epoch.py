"""One epoch of the training of a group of networks, compiled, and the state that goes from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float32, Float64, Int32, Int64
from numpy.typing import NDArray

from evercast.networks.architecture import Architecture
from evercast.networks.device import NETWORKS, along
from evercast.networks.group import Group, Shared
from evercast.networks.loss import morphing_cross_entropy, weighted_cross_entropy
from evercast.networks.mlp import Layers, Mlp, initial_layers
from evercast.networks.optimisers import optimiser
from evercast.spec.model import Training

__all__ = ["Progress", "State", "keep_best", "one_epoch", "start"]


class State(eqx.Module):
    """What an epoch changes: the layers and the moments of the optimiser, each with a leading axis of networks."""

    layers: Layers
    moments: optax.OptState


_Apart = tuple[tuple[Array, ...], State, Array, Array]
"""What differs between networks: what is fixed, the state, rows and weights of an epoch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """Where the training of a group stands.

    Args:
        epoch: epochs done.
        state: the present state.
        best: the layers with the least validation loss so far.
        best_epoch: (networks,), their epoch; -1 before the first.
        losses: (networks, epochs, 2), training and validation loss, NaN where not reached.
    """

    epoch: int
    state: State
    best: Layers
    best_epoch: Int64[np.ndarray, " networks"]
    losses: Float64[np.ndarray, "networks epochs 2"]

    def last_epoch(self, options: Training) -> Int64[np.ndarray, " networks"]:
        """Return the last epoch that counts for each network as far as is known now."""
        latest = np.full(self.best_epoch.shape, self.epoch - 1)
        if options.patience is None or options.validation_fraction == 0.0:
            return latest
        counted: Int64[np.ndarray, " networks"] = np.minimum(latest, self.best_epoch + options.patience)
        return counted

    def active(self, options: Training) -> NDArray[np.bool_]:
        """Return which networks still learn: not `patience` epochs since their best one."""
        if options.patience is None or options.validation_fraction == 0.0:
            return np.ones(self.best_epoch.shape, dtype=bool)
        waits: NDArray[np.bool_] = self.epoch - 1 - self.best_epoch < options.patience
        return waits

    def finished(self, options: Training) -> bool:
        """Return whether no network learns any more."""
        return self.epoch >= options.epochs or not bool(np.any(self.active(options)))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as plain arrays."""
        leaves = jax.tree.leaves((self.state, self.best))
        arrays: dict[str, NDArray[np.generic]] = {f"leaf.{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return arrays | {
            "epoch": np.array([self.epoch]),
            "best_epoch": self.best_epoch,
            "losses": self.losses,
        }

    def restored(self, arrays: Mapping[str, NDArray[np.generic]]) -> Progress:
        """Return the progress that `to_arrays` described; self says how it is built."""
        leaves, structure = jax.tree.flatten((self.state, self.best))
        kept = [jnp.asarray(arrays[f"leaf.{i}"], dtype=leaf.dtype) for i, leaf in enumerate(leaves)]
        state, best = jax.tree.unflatten(structure, kept)
        return Progress(
            epoch=int(arrays["epoch"][0]),
            state=state,
            best=best,
            best_epoch=np.asarray(arrays["best_epoch"], dtype=np.int64),
            losses=np.asarray(arrays["losses"], dtype=np.float64),
        )


def start(architecture: Architecture, group: Group, *, seeds: Sequence[int], options: Training) -> Progress:
    """Return the progress of a group before its first epoch."""
    networks = [initial_layers(architecture, seed=seed) for seed in seeds]
    rule = optimiser(options.optimiser, weight_decay=options.weight_decay)
    states = [State(layers=layers, moments=rule.init(layers)) for layers in networks]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    count = len(group.mean)
    return Progress(
        epoch=0,
        state=state,
        best=state.layers,
        best_epoch=np.full(count, -1, dtype=np.int64),
        losses=np.full((count, options.epochs, 2), np.nan),
    )


def keep_best(
    progress: Progress, state: State, losses: Float64[np.ndarray, "networks 2"], *, options: Training
) -> Progress:
    """Return the progress after an epoch: losses noted, and the layers kept where the validation loss is the least."""
    epoch = progress.epoch
    active = progress.active(options)
    history = progress.losses.copy()
    history[active, epoch] = losses[active]
    if options.validation_fraction == 0.0:
        better = active
    else:
        earlier = np.where(np.isnan(progress.losses[:, :, 1]), np.inf, progress.losses[:, :, 1]).min(axis=1)
        better = active & (losses[:, 1] < earlier)
    return replace(
        progress,
        epoch=epoch + 1,
        state=state,
        best=_choose(jnp.asarray(better), state.layers, progress.best),
        best_epoch=np.where(better, epoch, progress.best_epoch),
        losses=history,
    )


@eqx.filter_jit
def _choose(better: Array, new: Layers, old: Layers) -> Layers:
    def pick(fresh: Array, kept: Array) -> Array:
        return jnp.where(better.reshape(-1, *(1,) * (fresh.ndim - 1)), fresh, kept)

    chosen: Layers = jax.tree.map(pick, new, old)
    return chosen


def one_epoch(
    shared: Shared,
    group: Group,
    state: State,
    rows: Int32[np.ndarray, "networks steps batch"],
    weight: Float32[np.ndarray, "networks steps batch"],
    rates: Float32[np.ndarray, " steps"],
    *,
    strategy: Literal["map", "vmap"],
    mesh: Mesh | None = None,
) -> tuple[State, Float32[Array, " networks"], Float32[Array, " networks"]]:
    """Return the state after one pass over `rows`, with training and validation loss of each network.

    With a `mesh` of devices the networks are spread over them, equally many on each; `shared` is on all of them.
    """
    fixed = (group.mean, group.scale, group.validation_rows, group.validation_weight)
    if mesh is None:
        on_device = jax.tree.map(jnp.asarray, (fixed, state, rows, weight, rates))
        run = _epoch_of_many if strategy == "vmap" else _epoch_of_one
        result: tuple[State, Array, Array] = run(shared, *on_device)
        return result
    spread: _Apart = jax.device_put((fixed, state, rows, weight), NamedSharding(mesh, along(NETWORKS)))
    sharded: tuple[State, Array, Array] = _epoch_of_shards(shared, *spread, jnp.asarray(rates), strategy, mesh)
    return sharded


@eqx.filter_jit
def _epoch_of_many(
    shared: Shared, fixed: tuple[Array, ...], state: State, rows: Array, weight: Array, rates: Array
) -> tuple[State, Array, Array]:
    many = jax.vmap(partial(_epoch, shared), in_axes=(0, 0, 0, 0, None))
    result: tuple[State, Array, Array] = many(fixed, state, rows, weight, rates)
    return result


@eqx.filter_jit
def _epoch_of_one(
    shared: Shared, fixed: tuple[Array, ...], state: State, rows: Array, weight: Array, rates: Array
) -> tuple[State, Array, Array]:
    def first(leaf: Array) -> Array:
        return leaf[0]

    fixed, state, rows, weight = jax.tree.map(first, (fixed, state, rows, weight))
    done = _epoch(shared, fixed, state, rows, weight, rates)
    result: tuple[State, Array, Array] = jax.tree.map(lambda leaf: leaf[None], done)
    return result


@eqx.filter_jit
def _epoch_of_shards(
    shared: Shared,
    fixed: tuple[Array, ...],
    state: State,
    rows: Array,
    weight: Array,
    rates: Array,
    strategy: Literal["map", "vmap"],
    mesh: Mesh,
) -> tuple[State, Array, Array]:
    """The same on several devices, each with its own networks; nothing is exchanged between them."""
    arrays, rest = eqx.partition(shared, eqx.is_array)

    def local(arrays: Shared, own: _Apart, rates: Array) -> tuple[State, Array, Array]:
        def one(each: _Apart) -> tuple[State, Array, Array]:
            return _epoch(eqx.combine(arrays, rest), *each, rates)

        done: tuple[State, Array, Array] = jax.vmap(one)(own) if strategy == "vmap" else jax.lax.map(one, own)
        return done

    everywhere, apart = along(), along(NETWORKS)
    run = jax.shard_map(
        local, mesh=mesh, in_specs=(everywhere, apart, everywhere), out_specs=apart, check_vma=False
    )  # fmt: skip
    result: tuple[State, Array, Array] = run(arrays, (fixed, state, rows, weight), rates)
    return result


def _epoch(
    shared: Shared, fixed: tuple[Array, ...], state: State, rows: Array, weight: Array, rates: Array
) -> tuple[State, Array, Array]:
    """One network, one epoch."""
    mean, scale, validation_rows, validation_weight = fixed
    steps = rows.shape[0]
    rule = optimiser(shared.optimiser, weight_decay=shared.weight_decay)

    def loss(layers: Layers, chosen: Array, share: Array) -> Array:
        network = Mlp(
            mean=mean, scale=scale, layers=layers, activation=shared.activation, precision=shared.precision
        )  # fmt: skip
        category = shared.category[chosen]
        if shared.powers.shape == (1, 1):
            label = (category > 0).astype(jnp.float32)
            return weighted_cross_entropy(network(shared.observables[chosen]), label, share)
        return morphing_cross_entropy(network.outputs(shared.observables[chosen]), shared.powers, category, share)

    def step(now: State, batch: tuple[Array, Array, Array]) -> tuple[State, Array]:
        chosen, share, rate = batch
        value, slope = jax.value_and_grad(loss)(now.layers, chosen, share * steps)
        direction, moments = rule.update(slope, now.moments, now.layers)
        layers = jax.tree.map(lambda old, change: old - rate * change, now.layers, direction)
        return State(layers=layers, moments=moments), value

    state, values = jax.lax.scan(step, state, (rows, weight, rates))
    chunks = (validation_rows.reshape(-1, shared.chunk), validation_weight.reshape(-1, shared.chunk))
    losses = jax.lax.map(lambda chunk: loss(state.layers, *chunk), chunks)
    return state, jnp.mean(values), jnp.sum(losses)
