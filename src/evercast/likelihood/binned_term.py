"""The Poisson bins of all binned channels as one term of a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evercast.likelihood.binned import bin_rates, poisson_twice_nll, row_scales
from evercast.likelihood.model import BinFactor, BinnedChannelModel, LikelihoodModel, ParameterModel
from evercast.likelihood.tensors import Structure, Tensors, build_structure, build_tensors, padded_size
from evercast.likelihood.terms import Expansion, Expansions
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["BinnedBatch", "BinnedTerm"]

Own = Float[np.ndarray, " own"]


def _twice_nll(structure: Structure, theta: Array, tensors: Tensors) -> Array:
    rates = bin_rates(structure, theta, tensors, row_scales(structure, theta, tensors))
    total = poisson_twice_nll(rates, tensors.observed, tensors.mask)
    return jnp.where(jnp.isnan(total), jnp.inf, total)


_value = jax.jit(_twice_nll, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _value_and_gradient(structure: Structure, theta: Array, tensors: Tensors) -> tuple[Array, Array]:
    return jax.value_and_grad(_twice_nll, argnums=1)(structure, theta, tensors)


@partial(jax.jit, static_argnums=0)
def _expand(structure: Structure, theta: Array, tensors: Tensors) -> tuple[Array, Array, Array]:
    def gradient(point: Array) -> tuple[Array, tuple[Array, Array]]:
        value, slope = jax.value_and_grad(_twice_nll, argnums=1)(structure, point, tensors)
        return slope, (value, slope)

    hessian, (value, slope) = jax.jacfwd(gradient, has_aux=True)(theta)
    return value, slope, hessian


@partial(jax.jit, static_argnums=0)
def _expand_batch(
    structure: Structure, theta: Array, rows: Array, tensors: Tensors, observed: Array
) -> tuple[Array, Array, Array]:
    def one(point: Array, row: Array) -> Array:
        return _expand(structure, point, tensors._replace(observed=observed[row]))

    value, slope, hessian = jax.vmap(one)(theta, rows)
    return value, slope, hessian


@partial(jax.jit, static_argnums=0)
def _rates(structure: Structure, theta: Array, tensors: Tensors) -> Array:
    return bin_rates(structure, theta, tensors, row_scales(structure, theta, tensors))


class BinnedTerm:
    """-2 ln of the Poisson probabilities of the counts in all binned channels of a likelihood.

    Functions are compiled once per structure and padded shape: another data set, or another patch of one family, is
    evaluated by the same compiled code.

    Args:
        parameters: all of the likelihood.
        channels: its binned channels, at least one.
    """

    def __init__(self, parameters: Sequence[ParameterModel], channels: Sequence[BinnedChannelModel]) -> None:
        used = _used(channels)
        self.index = np.array([i for i, p in enumerate(parameters) if p.name in used], dtype=np.int64)
        own = tuple(replace(parameters[i], constraint="none") for i in self.index)
        model = LikelihoodModel(name="binned", parameters=own, channels=tuple(channels))
        self._channels = tuple(channels)
        self._structure, formula = build_structure(model)
        self._tensors = build_tensors(model, formula)
        self._spare = padded_size(model) - len(own)
        self.rounding = 0.0

    def _padded(self, own: Own) -> Array:
        return jnp.asarray(np.concatenate([own, np.zeros(self._spare)]))

    def value(self, own: Own) -> float:
        """Return the value; infinite where a rate is negative, or zero with counts."""
        with jax.enable_x64(new_val=True):
            return float(_value(self._structure, self._padded(own), self._tensors))

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        with jax.enable_x64(new_val=True):
            value, slope = _value_and_gradient(self._structure, self._padded(own), self._tensors)
            return float(value), np.asarray(slope)[: len(own)]

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and Hessian in one evaluation."""
        with jax.enable_x64(new_val=True):
            value, slope, hessian = _expand(self._structure, self._padded(own), self._tensors)
            n = len(own)
            return Expansion(float(value), np.asarray(slope)[:n], np.asarray(hessian)[:n, :n])

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return per channel the expected events of its bins."""
        with jax.enable_x64(new_val=True):
            rates = np.asarray(_rates(self._structure, self._padded(own), self._tensors))
        return {channel.name: rates[i, : len(channel.observed)] for i, channel in enumerate(self._channels)}

    def batch(self, models: Sequence[LikelihoodModel]) -> BinnedBatch:
        """Return the term on the counts of each model."""
        observed = np.asarray(self._tensors.observed)[None]
        if models:
            observed = np.stack([_counts(model, observed.shape[1:]) for model in models])
        with jax.enable_x64(new_val=True):
            return BinnedBatch(self._structure, self._tensors, jnp.asarray(observed), self._spare)


@dataclass(frozen=True, slots=True, eq=False)
class BinnedBatch:
    """The Poisson bins of many data sets.

    Args:
        observed: (data sets, channels, bins).
        spare: padding behind the parameters.
    """

    structure: Structure
    tensors: Tensors
    observed: Float[Array, "datasets channels bins"]
    spare: int

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy."""
        return 8 * self.tensors.factor.shape[0] * 8 + int(np.prod(self.observed.shape[1:]))

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        n = own.shape[1]
        with jax.enable_x64(new_val=True):
            filled = jnp.asarray(np.pad(own, ((0, 0), (0, self.spare))))
            found = _expand_batch(self.structure, filled, jnp.asarray(rows), self.tensors, self.observed)
            value, slope, hessian = (np.asarray(entry) for entry in found)
        return Expansions(value, slope[:, :n], hessian[:, :n, :n])


def _counts(model: LikelihoodModel, shape: tuple[int, ...]) -> Float[np.ndarray, "channels bins"]:
    counts = np.zeros(shape)
    binned = (channel for channel in model.channels if isinstance(channel, BinnedChannelModel))
    for row, channel in enumerate(binned):
        counts[row, : len(channel.observed)] = channel.observed
    return counts


def _used(channels: Sequence[BinnedChannelModel]) -> set[str]:
    """Return the names of the parameters that the channels depend on."""
    used: set[str] = set()
    for channel in channels:
        for sample in channel.samples:
            used |= names_in(parse_coefficient(sample.coefficient))
            for modifier in sample.modifiers:
                names = modifier.parameters if isinstance(modifier, BinFactor) else (modifier.parameter,)
                used.update(name for name in names if name is not None)
    return used
