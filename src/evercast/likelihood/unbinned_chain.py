"""From sums over events to -2 ln L of a channel and its derivatives in the parameters.

The sums are second-order expansions in (expected events / Z, coordinates) around the point itself; differentiating the
expansions gives exact first and second derivatives and keeps nothing of the size of the events.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.component_scales import ScaleFormulas, ScaleTensors, component_scales
from evercast.likelihood.morph_factors import MorphFactors, coordinates_at, morph_factors
from evercast.likelihood.morph_layout import MorphLayout
from evercast.likelihood.unbinned_kernel import Sums

__all__ = ["Prepared", "differentiate", "divided", "log_normalisation", "prepare", "twice_nll"]

Own = Float[Array, " own"]


class Prepared(NamedTuple):
    """What the sums need at a point.

    Args:
        expected: (components,) coefficient x yield x modifiers.
        factors: of the morphs.
    """

    expected: Float[Array, " components"]
    factors: MorphFactors


class _Expanded(NamedTuple):
    value: Array
    gradient: Array
    hessian: Array


def prepare(formulas: ScaleFormulas, layout: MorphLayout, own: Own, tensors: ScaleTensors) -> Prepared:
    """Return the expected events and the morph factors at (own,) parameters."""
    return Prepared(component_scales(formulas, own, tensors), morph_factors(layout, own))


def divided(layout: MorphLayout, expected: Float[Array, " components"], reference: Sums) -> Float[Array, " components"]:
    """Return the expected events over Z_j = E_ref[r_j g_j]; NaN where Z is not positive."""
    return expected / jnp.exp(log_normalisation(layout, reference))


def log_normalisation(layout: MorphLayout, reference: Sums) -> Float[Array, " components"]:
    """Return ln Z_j; 0 for components that do not move."""
    moved = np.array([component.is_moved for component in layout.components])
    if not layout.normalises:
        return jnp.zeros(len(moved))
    value = reference.component
    return jnp.where(moved, jnp.log(jnp.where(value > 0, value, jnp.nan)), 0.0)


def _along(layout: MorphLayout, j: int) -> np.ndarray:
    return np.array(layout.components[j].coordinates, dtype=np.int32)


def _expand_normalisation(layout: MorphLayout, sums: Sums, order: int) -> tuple[_Expanded, ...]:
    """Return ln Z_j of each component, expanded in the coordinates."""
    size, values = layout.n_coordinates, log_normalisation(layout, sums)
    result = []
    for j, component in enumerate(layout.components):
        gradient, hessian = jnp.zeros(size), jnp.zeros((size, size))
        if component.is_moved and layout.normalises:
            along = _along(layout, j)
            gradient = gradient.at[along].add(sums.column[j] / sums.component[j])
            if order > 1:
                hessian = _second(layout, sums, j) / sums.component[j] - jnp.outer(gradient, gradient)
        result.append(_Expanded(values[j], gradient, hessian))
    return tuple(result)


def _second(layout: MorphLayout, sums: Sums, j: int) -> Float[Array, "coordinates coordinates"]:
    """Return the sum of weight x (z z^T + dz / dy) of a component in the coordinates."""
    along = _along(layout, j)
    bend = along[: len(layout.components[j].code4)]
    total = jnp.zeros((layout.n_coordinates, layout.n_coordinates))
    return total.at[np.ix_(along, along)].add(sums.square[j]).at[bend, bend].add(sums.bend[j])


def _expand_sum(layout: MorphLayout, sums: Sums, divided: Array, order: int) -> _Expanded:
    """Return the sum of w ln lambda, expanded in (expected events / Z, coordinates)."""
    n, size = len(layout.components), len(layout.components) + layout.n_coordinates
    gradient = jnp.zeros(size).at[:n].add(sums.component)
    hessian = -sums.cross if order > 1 else jnp.zeros((size, size))
    for j, component in enumerate(layout.components):
        if not component.is_moved:
            continue
        along = n + _along(layout, j)
        gradient = gradient.at[along].add(divided[j] * sums.column[j])
        if order > 1:
            hessian = hessian.at[j, along].add(sums.column[j]).at[along, j].add(sums.column[j])
            hessian = hessian.at[n:, n:].add(divided[j] * _second(layout, sums, j))
    return _Expanded(sums.value, gradient, hessian)


def _evaluate(expanded: _Expanded, step: Array, order: int) -> Array:
    value = expanded.value + expanded.gradient @ step
    return value + 0.5 * step @ (expanded.hessian @ step) if order > 1 else value


def twice_nll(expected: Float[Array, " components"], sums: Sums, n_counted: Float[Array, ""]) -> Float[Array, ""]:
    """Return 2 [nu - sum_i w_i ln lambda_i]; infinite where it is not defined.

    That is where an intensity is not positive, and where nu is negative: no number of expected events, however small
    the negative component is at the observed ones. nu = 0 is allowed where no events were observed.

    Args:
        expected: (components,); nu is their sum.
        sums: of the data.
        n_counted: number of events with weight.
    """
    total = jnp.sum(expected)
    impossible = (total < 0) | ((total == 0) & (n_counted > 0)) | (sums.n_bad > 0)
    value = 2.0 * (total - sums.value)
    return jnp.where(impossible | ~jnp.isfinite(value), jnp.inf, value)


def differentiate(
    formulas: ScaleFormulas,
    layout: MorphLayout,
    own: Own,
    tensors: ScaleTensors,
    reference: Sums,
    data: Sums,
    n_counted: Float[Array, ""],
    *,
    order: int,
) -> tuple[Array, Array, Array]:
    """Return value, gradient and Hessian in the parameters.

    Args:
        formulas: of the expected events.
        layout: of the morphs.
        own: (own,) where the sums were made.
        tensors: of the expected events.
        reference: sums of the reference, of at least this order.
        data: sums of the data, likewise.
        n_counted: number of events with weight.
        order: 1 leaves the Hessian empty.
    """
    point = jax.lax.stop_gradient(own)
    start = divided(layout, component_scales(formulas, point, tensors), reference)
    expanded = _expand_sum(layout, data, start, order)
    normalisation = _expand_normalisation(layout, reference, order)
    origin = coordinates_at(layout, point)

    def value(theta: Array) -> Array:
        step = coordinates_at(layout, theta) - origin
        logs = jnp.stack([_evaluate(entry, step, order) for entry in normalisation])
        expected = component_scales(formulas, theta, tensors)
        shift = jnp.concatenate([expected * jnp.exp(-logs) - start, step])
        return 2.0 * (jnp.sum(expected) - _evaluate(expanded, shift, order))

    total = twice_nll(component_scales(formulas, point, tensors), data, n_counted)
    if order == 1:
        return total, jax.grad(value)(own), jnp.zeros((0, 0))
    hessian, slope = jax.jacfwd(lambda theta: (jax.grad(value)(theta),) * 2, has_aux=True)(own)
    return total, slope, hessian
