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


class _ByCoordinate(NamedTuple):
    """Sums of weight x z, and of weight x (z z^T + dz / dy), per component in the coordinates."""

    first: Float[np.ndarray, "components coordinates"]
    second: Float[np.ndarray, "components coordinates coordinates"]


def log_normalisation(layout: MorphLayout, reference: HostSums) -> Components:
    """Return ln Z_j, Z_j = E_ref[r_j g_j]; 0 for components that do not move, NaN where Z is not positive."""
    result = np.zeros(layout.n_components)
    if layout.normalises:
        moved = list(layout.moved)
        value = reference.component[moved]
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


def _by_coordinate(layout: MorphLayout, sums: HostSums, order: int) -> _ByCoordinate:
    """Return the sums of each component in the coordinates; 0 for components that do not move."""
    n, size = layout.n_components, layout.n_coordinates
    first = np.zeros((n, size))
    second = np.zeros((n, size, size) if order > 1 else (n, 0, 0))
    for number, group in enumerate(layout.groups):
        own, along = np.array(group.components), np.array(group.coordinates)
        np.add.at(first, (own[:, None], along), sums.column[number])
        if order > 1:
            np.add.at(second, (own[:, None, None], along[:, :, None], along[:, None, :]), sums.square[number])
            bent = along[:, : group.n_code4]
            np.add.at(second, (own[:, None], bent, bent), sums.bend[number])
    return _ByCoordinate(first, second)


def _logs(layout: MorphLayout, reference: HostSums, along: Coordinates, order: int) -> _Logs:
    n, n_own = layout.n_components, along.gradient.shape[1]
    result = _Logs(log_normalisation(layout, reference), np.zeros((n, n_own)), np.zeros((n, n_own, n_own)))
    if not layout.normalises:
        return result
    sums = _by_coordinate(layout, reference, order)
    for j in layout.moved:
        slope = sums.first[j] / reference.component[j]
        result.gradient[j] = slope @ along.gradient
        if order > 1:
            bend = sums.second[j] / reference.component[j] - np.outer(slope, slope)
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
    sums = _by_coordinate(layout, data, order)
    by_coordinate = divided @ sums.first
    gradient = 2.0 * (first.sum(axis=0) - data.component @ slope - by_coordinate @ along.gradient)
    value = twice_nll(expected, data, n_counted=n_counted)
    if order == 1:
        return Expansion(value, gradient, np.zeros((n_own, n_own)))
    local = _local_hessian(data, divided, sums)
    steps = np.concatenate([slope, along.gradient])
    bend = second
    if layout.normalises:
        mixed = first[:, :, None] * logs.gradient[:, None, :]
        square = logs.gradient[:, :, None] * logs.gradient[:, None, :]
        bend = second - mixed - mixed.transpose(0, 2, 1) + expected[:, None, None] * (square - logs.hessian)
    hessian = steps.T @ local @ steps + np.tensordot(data.component * inverse, bend, axes=1)
    hessian = hessian + _bent(by_coordinate, along)
    return Expansion(value, gradient, 2.0 * (second.sum(axis=0) - hessian))


def _local_hessian(data: HostSums, divided: Components, sums: _ByCoordinate) -> Float[np.ndarray, "x x"]:
    """Return the second derivatives of F in (expected events / Z, coordinates)."""
    n = len(divided)
    hessian = -data.cross
    hessian[:n, n:] += sums.first
    hessian[n:, :n] += sums.first.T
    hessian[n:, n:] += np.tensordot(divided, sums.second, axes=1)
    return hessian
