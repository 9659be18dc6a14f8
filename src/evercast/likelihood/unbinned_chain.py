"""From sums over events to -2 ln L of a channel and its derivatives in the parameters; small arrays, numpy.

With nu_j(theta) the expected events, y(theta) the coordinates and F(nu / Z(y), y) the sum over events of w ln lambda:
-2 ln L = 2 [sum_j nu_j - F].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.likelihood.component_scales import ScaleValues
from evercast.likelihood.morph_factors import Coordinates
from evercast.likelihood.morph_layout import MorphLayout
from evercast.likelihood.terms import Expansion
from evercast.likelihood.unbinned_sums import HostSums

__all__ = ["differentiate", "log_normalisation", "twice_nll"]

Components = Float[np.ndarray, " components"]


class _Logs(NamedTuple):
    """ln Z of the components with derivatives in the parameters."""

    value: Components
    gradient: Float[np.ndarray, "components own"]
    hessian: Float[np.ndarray, "components own own"]


def log_normalisation(layout: MorphLayout, reference: HostSums) -> Components:
    """Return ln Z_j, Z_j = E_ref[r_j g_j]; 0 for components that do not move, NaN where Z is not positive."""
    result = np.zeros(len(layout.components))
    if layout.normalises:
        moved = np.array([component.is_moved for component in layout.components])
        value = np.asarray(reference.component)[moved]
        result[moved] = np.log(np.where(value > 0, value, np.nan))
    return result


def twice_nll(expected: Components, sums: HostSums, *, n_counted: int) -> float:
    """Return 2 [nu - sum_i w_i ln lambda_i]; infinite where it is not defined.

    That is where an intensity is not positive, and where nu is negative: no number of expected events, however small
    the negative component is at the observed ones. nu = 0 is allowed where no events were observed.

    Args:
        expected: (components,); nu is their sum.
        sums: of the data.
        n_counted: number of events with weight.
    """
    total = float(expected.sum())
    value = 2.0 * (total - float(sums.value))
    if total < 0 or (total == 0 and n_counted) or sums.n_bad > 0 or not math.isfinite(value):
        return math.inf
    return value


def _second(layout: MorphLayout, sums: HostSums, j: int) -> Float[np.ndarray, "coordinates coordinates"]:
    """Return the sum of weight x (z z^T + dz / dy) of a component in the coordinates."""
    along = np.array(layout.components[j].coordinates)
    bend = along[: len(layout.components[j].code4)]
    total = np.zeros((layout.n_coordinates, layout.n_coordinates))
    np.add.at(total, np.ix_(along, along), sums.square[j])
    np.add.at(total, (bend, bend), sums.bend[j])
    return total


def _first(layout: MorphLayout, sums: HostSums, j: int) -> Float[np.ndarray, " coordinates"]:
    total = np.zeros(layout.n_coordinates)
    np.add.at(total, list(layout.components[j].coordinates), sums.column[j])
    return total


def _logs(layout: MorphLayout, reference: HostSums, along: Coordinates, order: int) -> _Logs:
    n, n_own = len(layout.components), along.gradient.shape[1]
    result = _Logs(log_normalisation(layout, reference), np.zeros((n, n_own)), np.zeros((n, n_own, n_own)))
    for j, component in enumerate(layout.components):
        if not (component.is_moved and layout.normalises):
            continue
        slope = _first(layout, reference, j) / reference.component[j]
        result.gradient[j] = slope @ along.gradient
        if order > 1:
            bend = _second(layout, reference, j) / reference.component[j] - np.outer(slope, slope)
            result.hessian[j] = along.gradient.T @ bend @ along.gradient + _bent(slope, along)
    return result


def _bent(slope: Float[np.ndarray, " n"], along: Coordinates) -> Float[np.ndarray, "own own"] | float:
    return 0.0 if along.hessian is None else np.tensordot(slope, along.hessian, axes=1)


def differentiate(
    layout: MorphLayout,
    scales: ScaleValues,
    along: Coordinates,
    reference: HostSums,
    data: HostSums,
    *,
    n_counted: int,
    order: int,
) -> Expansion:
    """Return value, gradient and Hessian in the parameters.

    Args:
        layout: of the morphs.
        scales: expected events at one point.
        along: coordinates there.
        reference: sums of the reference, of at least this order.
        data: sums of the data, likewise.
        n_counted: number of events with weight.
        order: 1 leaves the Hessian 0.
    """
    n_own = along.gradient.shape[1]
    expected, first, second = scales.value[0], scales.gradient[0], scales.hessian[0]
    logs = _logs(layout, reference, along, order)
    inverse = np.exp(-logs.value)
    divided = expected * inverse
    slope = inverse[:, None] * (first - expected[:, None] * logs.gradient)
    by_coordinate = np.zeros(layout.n_coordinates)
    columns = [_first(layout, data, j) for j in range(len(expected))]
    for value, column in zip(divided, columns, strict=True):
        by_coordinate += value * column
    gradient = 2.0 * (first.sum(axis=0) - data.component @ slope - by_coordinate @ along.gradient)
    value = twice_nll(expected, data, n_counted=n_counted)
    if order == 1:
        return Expansion(value, gradient, np.zeros((n_own, n_own)))
    local = _local_hessian(layout, data, divided, columns)
    steps = np.concatenate([slope, along.gradient])
    mixed = first[:, :, None] * logs.gradient[:, None, :]
    square = logs.gradient[:, :, None] * logs.gradient[:, None, :]
    bend = second - mixed - mixed.transpose(0, 2, 1) + expected[:, None, None] * (square - logs.hessian)
    hessian = steps.T @ local @ steps + np.tensordot(data.component * inverse, bend, axes=1)
    hessian = hessian + _bent(by_coordinate, along)
    return Expansion(value, gradient, 2.0 * (second.sum(axis=0) - hessian))


def _local_hessian(
    layout: MorphLayout, data: HostSums, divided: Components, columns: list[Float[np.ndarray, " coordinates"]]
) -> Float[np.ndarray, "x x"]:
    """Return the second derivatives of F in (expected events / Z, coordinates)."""
    n = len(divided)
    hessian = -np.asarray(data.cross)
    for j, component in enumerate(layout.components):
        if component.is_moved:
            hessian[j, n:] += columns[j]
            hessian[n:, j] += columns[j]
            hessian[n:, n:] += divided[j] * _second(layout, data, j)
    return hessian
