"""One unbinned channel as a term of a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.binned import row_scales
from evercast.likelihood.model import EventSet, LikelihoodModel, ParameterModel, UnbinnedChannelModel
from evercast.likelihood.tensors import Structure, Tensors, build_structure, build_tensors, padded_size
from evercast.likelihood.terms import Expansion, Expansions
from evercast.likelihood.unbinned import Events, pack_events, unbinned_twice_nll
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["UnbinnedBatch", "UnbinnedTerm"]

Own = Float[np.ndarray, " own"]

_EVENT_STEP = 256


def _twice_nll(structure: Structure, theta: Array, tensors: Tensors, events: Events) -> Array:
    total = unbinned_twice_nll(row_scales(structure, theta, tensors), events)
    return jnp.where(jnp.isnan(total), jnp.inf, total)


_value = jax.jit(_twice_nll, static_argnums=0)
_scales = jax.jit(row_scales, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _value_and_gradient(structure: Structure, theta: Array, tensors: Tensors, events: Events) -> tuple[Array, Array]:
    return jax.value_and_grad(_twice_nll, argnums=1)(structure, theta, tensors, events)


@partial(jax.jit, static_argnums=0)
def _expand(structure: Structure, theta: Array, tensors: Tensors, events: Events) -> tuple[Array, Array, Array]:
    def gradient(point: Array) -> tuple[Array, tuple[Array, Array]]:
        value, slope = jax.value_and_grad(_twice_nll, argnums=1)(structure, point, tensors, events)
        return slope, (value, slope)

    hessian, (value, slope) = jax.jacfwd(gradient, has_aux=True)(theta)
    return value, slope, hessian


@partial(jax.jit, static_argnums=0)
def _expand_batch(
    structure: Structure, theta: Array, rows: Array, tensors: Tensors, events: Events
) -> tuple[Array, Array, Array]:
    def one(point: Array, row: Array) -> Array:
        return _expand(structure, point, tensors, jax.tree.map(lambda leaf: leaf[row], events))

    value, slope, hessian = jax.vmap(one)(theta, rows)
    return value, slope, hessian


class UnbinnedTerm:
    """2 [nu - sum_i w_i ln(lambda(x_i) / p_ref(x_i))] of one channel.

    Args:
        parameters: all of the likelihood.
        channel: components and events.
    """

    def __init__(self, parameters: Sequence[ParameterModel], channel: UnbinnedChannelModel) -> None:
        used = _used(channel)
        self.index = np.array([i for i, p in enumerate(parameters) if p.name in used], dtype=np.int64)
        own = tuple(replace(parameters[i], constraint="none") for i in self.index)
        model = LikelihoodModel(name=channel.name, parameters=own, channels=(channel,))
        self._channel = channel
        self._structure, formula = build_structure(model)
        self._tensors = build_tensors(model, formula)
        with jax.enable_x64(new_val=True):
            self._events = pack_events(channel.events.log_ratio, channel.events.weight)
        self._spare = padded_size(model) - len(own)
        self.rounding = 0.0

    def _padded(self, own: Own) -> Array:
        return jnp.asarray(np.concatenate([own, np.zeros(self._spare)]))

    def value(self, own: Own) -> float:
        """Return the value; infinite where an intensity is not positive."""
        with jax.enable_x64(new_val=True):
            return float(_value(self._structure, self._padded(own), self._tensors, self._events))

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        with jax.enable_x64(new_val=True):
            value, slope = _value_and_gradient(self._structure, self._padded(own), self._tensors, self._events)
            return float(value), np.asarray(slope)[: len(own)]

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and Hessian in one evaluation."""
        with jax.enable_x64(new_val=True):
            value, slope, hessian = _expand(self._structure, self._padded(own), self._tensors, self._events)
            n = len(own)
            return Expansion(float(value), np.asarray(slope)[:n], np.asarray(hessian)[:n, :n])

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return the expected events of each component."""
        with jax.enable_x64(new_val=True):
            return {self._channel.name: np.asarray(_scales(self._structure, self._padded(own), self._tensors))}

    def batch(self, models: Sequence[LikelihoodModel]) -> UnbinnedBatch:
        """Return the term on the events of each model."""
        sets = [self._channel.events]
        if models:
            sets = [_events_of(model, self._channel.name) for model in models]
        length = max(len(entry.weight) for entry in sets)
        length = -(-max(length, 1) // _EVENT_STEP) * _EVENT_STEP
        with jax.enable_x64(new_val=True):
            packed = [_filled(entry, length) for entry in sets]
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *packed)
        return UnbinnedBatch(self._structure, self._tensors, stacked, self._spare)


@dataclass(frozen=True, slots=True, eq=False)
class UnbinnedBatch:
    """An unbinned channel on many data sets.

    Args:
        events: leading axis: data sets, filled with weight 0 to one length.
        spare: padding behind the parameters.
    """

    structure: Structure
    tensors: Tensors
    events: Events
    spare: int

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy."""
        return sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(self.events))

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        n = own.shape[1]
        with jax.enable_x64(new_val=True):
            filled = jnp.asarray(np.pad(own, ((0, 0), (0, self.spare))))
            found = _expand_batch(self.structure, filled, jnp.asarray(rows), self.tensors, self.events)
            value, slope, hessian = (np.asarray(entry) for entry in found)
        return Expansions(value, slope[:, :n], hessian[:, :n, :n])


def _events_of(model: LikelihoodModel, channel: str) -> EventSet:
    found = next(entry for entry in model.channels if entry.name == channel)
    if not isinstance(found, UnbinnedChannelModel):
        raise InvalidInput(
            f"channel '{channel}' is binned in a data set, unbinned in the model", code="likelihood.batch"
        )
    return found.events


def _filled(events: EventSet, length: int) -> Events:
    missing = length - len(events.weight)
    return pack_events(np.pad(events.log_ratio, ((0, missing), (0, 0))), np.pad(events.weight, (0, missing)))


def _used(channel: UnbinnedChannelModel) -> set[str]:
    """Return the names of the parameters that the channel depends on."""
    used: set[str] = set()
    for component in channel.components:
        used |= names_in(parse_coefficient(component.coefficient))
        used.update(modifier.parameter for modifier in component.modifiers)
    used.update(anchor.parameter for anchor in channel.anchors)
    for morph in channel.polynomials:
        used.update(name for term in morph.terms for name, _ in term)
    return used
