"""The compiled likelihood: -2 ln L, its gradient and its exact Hessian at a point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.binned import bin_rates, constraint_twice_nll, poisson_twice_nll, row_scales
from evercast.likelihood.checks import check_model
from evercast.likelihood.coefficients import is_linear
from evercast.likelihood.model import BinnedChannelModel, LikelihoodModel, UnbinnedChannelModel
from evercast.likelihood.tensors import Structure, Tensors, build_structure, build_tensors, padded_size
from evercast.likelihood.unbinned import unbinned_twice_nll
from evercast.spec.expressions import names as names_in

__all__ = ["Expansion", "Likelihood"]

Point = Float[np.ndarray, " parameters"]


class Expansion(NamedTuple):
    """-2 ln L at a point with its derivatives.

    Args:
        value: infinite where the model is not defined or a total intensity is not positive.
        gradient: (parameters,).
        hessian: (parameters, parameters).
    """

    value: float
    gradient: Point
    hessian: Float[np.ndarray, "parameters parameters"]


def _twice_nll(structure: Structure, theta: Array, tensors: Tensors) -> Array:
    scales = row_scales(structure, theta, tensors)
    total = constraint_twice_nll(theta, tensors)
    if tensors.observed.shape[0]:
        total += poisson_twice_nll(bin_rates(structure, theta, tensors, scales), tensors.observed, tensors.mask)
    for (first, stop), events in zip(structure.unbinned_rows, tensors.events, strict=True):
        total += unbinned_twice_nll(scales[first:stop], events)
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
def _expected(structure: Structure, theta: Array, tensors: Tensors) -> tuple[Array, Array]:
    scales = row_scales(structure, theta, tensors)
    if not tensors.observed.shape[0]:
        return scales, tensors.observed
    return scales, bin_rates(structure, theta, tensors, scales)


class Likelihood:
    """A likelihood model made ready for evaluation.

    Functions are compiled once per structure and shape, not per object: another data set or another patch of the same
    family is evaluated by the same compiled code. Arithmetic is float64.

    Attributes:
        names, initial, lower, upper, fixed: per parameter, in the order of parameter vectors.
        nonlinear: parameters that a coefficient holds in another form than linear: there may be several minima.

    Args:
        model: parameters, channels and data.

    Raises:
        InvalidInput: the model is not valid.
        NumericalFailure: log ratios are not finite.
    """

    def __init__(self, model: LikelihoodModel) -> None:
        check_model(model)
        self.model = model
        self.names = model.parameter_names
        self.initial = np.array([parameter.initial for parameter in model.parameters], dtype=float)
        self.lower = np.array([parameter.bounds[0] for parameter in model.parameters], dtype=float)
        self.upper = np.array([parameter.bounds[1] for parameter in model.parameters], dtype=float)
        self.fixed = np.array([parameter.fixed for parameter in model.parameters], dtype=bool)
        self._structure, formula = build_structure(model)
        curved = (node for node in self._structure.formulas if not is_linear(node))
        self.nonlinear = frozenset[str]().union(*(names_in(node) for node in curved))
        self._tensors = build_tensors(model, formula)
        self._spare = padded_size(model) - len(self.names)

    def _padded(self, theta: Point) -> Array:
        return jnp.asarray(np.concatenate([theta, np.zeros(self._spare)]))

    def index(self, name: str) -> int:
        """Return the position of a parameter in parameter vectors."""
        return self.names.index(name)

    def twice_nll(self, theta: Point) -> float:
        """Return -2 ln L; infinite where the model is undefined or a total intensity is not positive."""
        with jax.enable_x64(new_val=True):
            return float(_value(self._structure, self._padded(theta), self._tensors))

    def value_and_gradient(self, theta: Point) -> tuple[float, Point]:
        """Return -2 ln L and its gradient."""
        with jax.enable_x64(new_val=True):
            value, slope = _value_and_gradient(self._structure, self._padded(theta), self._tensors)
            return float(value), np.asarray(slope)[: len(self.names)]

    def gradient(self, theta: Point) -> Point:
        """Return the gradient of -2 ln L."""
        return self.value_and_gradient(theta)[1]

    def expand(self, theta: Point) -> Expansion:
        """Return -2 ln L, gradient and Hessian in one evaluation."""
        with jax.enable_x64(new_val=True):
            value, slope, hessian = _expand(self._structure, self._padded(theta), self._tensors)
            n = len(self.names)
            return Expansion(float(value), np.asarray(slope)[:n], np.asarray(hessian)[:n, :n])

    def hessian(self, theta: Point) -> Float[np.ndarray, "parameters parameters"]:
        """Return the matrix of second derivatives of -2 ln L."""
        return self.expand(theta).hessian

    def expected_events(self, theta: Point) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return per channel the expected events: per bin (binned) or per component (unbinned)."""
        with jax.enable_x64(new_val=True):
            scales, rates = _expected(self._structure, self._padded(theta), self._tensors)
        scales, rates = np.asarray(scales), np.asarray(rates)
        binned = [channel for channel in self.model.channels if isinstance(channel, BinnedChannelModel)]
        unbinned = [channel for channel in self.model.channels if isinstance(channel, UnbinnedChannelModel)]
        result = {channel.name: rates[number, : len(channel.observed)] for number, channel in enumerate(binned)}
        for channel, (first, stop) in zip(unbinned, self._structure.unbinned_rows, strict=True):
            result[channel.name] = scales[first:stop]
        return result
