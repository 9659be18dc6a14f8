"""Rates of binned channels and -2 ln of their Poisson probabilities at many points, with exact derivatives, in numpy.

With rate_b = sum over samples of program x systems x gamma x template, nothing larger than (bins, samples, shifts) or
(bins, parameters) is made; the Hessian is J^T diag(2 n / rate^2) J plus sums of second derivatives, which never need
more than products of matrices of the size rows x parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_layout import Group, Layout
from evercast.likelihood.binned_shifts import ShiftValues

__all__ = ["Curvature", "Factors", "RateValues", "add_columns", "evaluate_factors", "evaluate_group", "group_rates"]

Points = Float[np.ndarray, "points columns"]
Cells = Float[np.ndarray, "points channels bins samples"]
Bins = Float[np.ndarray, "points channels bins"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factors:
    """What multiplies the templates of all rows.

    Args:
        theta: (points, own + 1), the last column is 1.
        systems: (points, rows) product of the normalisation variations.
        factor: (points, rows) program x systems.
        logarithmic: (points, rows, global) derivatives of ln systems.
        slope: (points, rows, global) derivatives of `factor`, over `systems`.
        second: (points, entries) g'' / g of the normalisation variations.
        program: value, gradient and Hessian of the programs in all global parameters: (points, programs, ...).
    """

    theta: Points
    systems: Float[np.ndarray, "points rows"]
    factor: Float[np.ndarray, "points rows"]
    logarithmic: Float[np.ndarray, "points rows parameters"] | None
    slope: Float[np.ndarray, "points rows parameters"] | None
    second: Float[np.ndarray, "points entries"]
    program_gradient: Float[np.ndarray, "points programs parameters"] | None
    program_hessian: Float[np.ndarray, "points programs used used"]


def evaluate_factors(layout: Layout, theta: Points, *, derivatives: bool) -> Factors:
    """Return program x systems of every row, with what its derivatives need.

    Args:
        layout: of the channels.
        theta: (points, own).
        derivatives: False leaves `logarithmic`, `slope` and `program_gradient` out.
    """
    extended = np.concatenate([theta, np.ones((len(theta), 1))], axis=1)
    program = layout.programs.evaluate(extended)
    systems = layout.systems.evaluate(extended)
    of_row = layout.programs.of_row
    factor = program.value[:, of_row] * systems.factor
    logarithmic = slope = gradient = None
    if derivatives:
        shape = (len(theta), systems.factor.shape[1], layout.n_global)
        logarithmic = np.zeros(shape)
        logarithmic[:, layout.systems.row, layout.systems.column] = systems.first
        gradient = np.zeros((len(theta), program.value.shape[1], layout.n_global))
        gradient[:, :, layout.programs.columns] = program.gradient
        slope = program.value[:, of_row, None] * logarithmic + gradient[:, of_row]
    return Factors(
        theta=extended, systems=systems.factor, factor=factor, logarithmic=logarithmic, slope=slope,
        second=systems.second, program_gradient=gradient, program_hessian=program.hessian,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateValues:
    """Templates and rates of a group.

    Args:
        weights: of the shifts.
        template: (points, channels, bins, samples) nominal + shifts.
        gamma: (points, channels, bins, samples) product of the bin factors.
        rates: (points, channels, bins).
    """

    weights: ShiftValues
    template: Cells
    gamma: Cells
    rates: Bins


def group_rates(group: Group, factors: Factors) -> RateValues:
    """Return the rates of all bins of a group."""
    points, shape = len(factors.theta), group.nominal.shape
    weights = group.shifts.evaluate(factors.theta)
    up, down = _flat_shifts(group)
    shifted = weights.up @ up.T + weights.down @ down.T
    template = group.nominal + shifted.reshape(points, *shape)
    gamma = np.prod(factors.theta[:, group.gamma], axis=1) if len(group.gamma) else np.ones_like(template)
    return RateValues(
        weights=weights, template=template, gamma=gamma,
        rates=np.sum(_of_group(factors.factor, group) * gamma * template, axis=-1),
    )  # fmt: skip


def _flat_shifts(group: Group) -> tuple[Float[np.ndarray, "cells shifts"], Float[np.ndarray, "cells shifts"]]:
    shape = (group.nominal.size, len(group.shifts.code))
    return group.up.reshape(shape), group.down.reshape(shape)


def _of_group(values: Float[np.ndarray, "points rows *rest"], group: Group) -> np.ndarray:
    """Return what belongs to the rows of a group, as (points, channels, 1, samples, ...)."""
    n_channels, _, n_samples = group.nominal.shape
    part = values[:, group.first : group.first + group.n_rows]
    return part.reshape(len(values), n_channels, 1, n_samples, *values.shape[2:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curvature:
    """What a group adds to the derivatives of -2 ln L.

    Args:
        gradient: (points, own + 1).
        jacobian: (points, channels, bins, global) derivatives of the rates.
        slots: (points, channels, bins, slots) derivatives of the rates by the bin factors of each bin.
        hessian: (points, own + 1, own + 1), but for what `rows` and `shifted` give; None where not asked for.
        rows: (points, rows of the group) sum over bins of weight x gamma x template.
        shifted: (points, rows of the group, global) sum over bins of weight x gamma x derivative of the template.
    """

    gradient: Points
    jacobian: Float[np.ndarray, "points channels bins parameters"]
    slots: Float[np.ndarray, "points channels bins slots"]
    hessian: Float[np.ndarray, "points own own"] | None
    rows: Float[np.ndarray, "points rows"] | None
    shifted: Float[np.ndarray, "points rows parameters"] | None


def evaluate_group(
    layout: Layout, group: Group, factors: Factors, values: RateValues, observed: Bins, *, hessian: bool
) -> Curvature:
    """Return gradient and Hessian of the Poisson terms of a group.

    Args:
        layout: of all channels.
        group: one of its groups.
        factors: with derivatives.
        values: its rates.
        observed: (points or 1, channels, bins) counts.
        hessian: False leaves the Hessian out.
    """
    n_own, n_global = len(layout.index), layout.n_global
    points = len(factors.theta)
    ratio = np.where(observed > 0, observed / values.rates, 0.0)
    weight = 2.0 * (1.0 - ratio)
    moved = group.up * values.weights.up_first[:, None, None, None] + (
        group.down * values.weights.down_first[:, None, None, None]
    )
    strength = _of_group(factors.factor, group) * values.gamma
    jacobian = (values.gamma * values.template * _of_group(factors.systems, group)) @ _of_group_slope(factors, group)
    add_columns(jacobian, group.shifts.column, (strength[..., None, :] @ moved)[..., 0, :])
    alone = _without_each(group, factors)
    slots = _slot_sums(group, alone, _of_group(factors.factor, group) * values.template)
    gradient = np.zeros((points, n_own + 1))
    gradient[:, :n_global] = np.einsum("pcb,pcbn->pn", weight, jacobian)
    add_columns(gradient, group.slots.ravel(), (weight[..., None] * slots).reshape(points, -1), unique=group.unique)
    if not hessian:
        return Curvature(gradient=gradient, jacobian=jacobian, slots=slots, hessian=None, rows=None, shifted=None)
    bend = np.where(observed > 0, 2.0 * ratio / values.rates, 0.0)
    matrix = np.zeros((points, n_own + 1, n_own + 1))
    flat = jacobian.reshape(points, -1, n_global)
    matrix[:, :n_global, :n_global] = (flat * bend.reshape(points, -1, 1)).transpose(0, 2, 1) @ flat
    _add_slots(matrix, group, factors, values, alone, (weight, bend, jacobian, slots, moved))
    _add_shift_curvature(matrix, group, values.weights, weight[..., None] * strength)
    shifted = np.zeros((points, *group.nominal.shape[::2], n_global))
    pull = weight[..., None] * values.gamma
    add_columns(shifted, group.shifts.column, np.einsum("pcbs,pcbsv->pcsv", pull, moved))
    return Curvature(
        gradient=gradient,
        jacobian=jacobian,
        slots=slots,
        hessian=matrix,
        rows=np.sum(pull * values.template, axis=2).reshape(points, -1),
        shifted=shifted.reshape(points, group.n_rows, n_global),
    )


def _of_group_slope(factors: Factors, group: Group) -> np.ndarray:
    """Return (points, channels, samples, global)."""
    if factors.slope is None:
        raise ValueError("the factors were evaluated without derivatives")
    return _of_group(factors.slope, group)[:, :, 0]


def add_columns(target: np.ndarray, columns: np.ndarray, values: np.ndarray, *, unique: bool | None = None) -> None:
    """Add `values` to columns of the last axis of `target`, of which one may be named several times."""
    if not len(columns):
        return
    if unique if unique is not None else len(set(columns.tolist())) == len(columns):
        target[..., columns] += values
    else:
        _scatter(target, (..., columns), values)


def _scatter(target: np.ndarray, index: Any, values: np.ndarray) -> None:
    np.add.at(target, index, values)


def _without_each(group: Group, factors: Factors) -> list[Cells]:
    """Return, for every bin factor of the cells, the product of the others."""
    parts = [factors.theta[:, index] for index in group.gamma]
    ones = np.ones((len(factors.theta), *group.nominal.shape))
    return [np.prod([ones, *parts[:k], *parts[k + 1 :]], axis=0) for k in range(len(parts))]


def _slot_sums(group: Group, alone: list[Cells], cells: Cells) -> Float[np.ndarray, "points channels bins slots"]:
    """Return the derivative of each rate by its bin factors: sums over the samples that carry them."""
    total = np.zeros((len(cells), *group.slots.shape))
    for others, member in zip(alone, group.member, strict=True):
        total += np.einsum("pcbs,cbsk->pcbk", others * cells, member)
    return total


def _add_slots(
    matrix: np.ndarray,
    group: Group,
    factors: Factors,
    values: RateValues,
    alone: list[Cells],
    parts: tuple[np.ndarray, ...],
) -> None:
    """Add the second derivatives by bin factors, with each other and with the global parameters."""
    if not len(group.gamma):
        return
    weight, bend, jacobian, slots, moved = parts
    n_global = jacobian.shape[-1]
    carried = sum(others[..., None] * member for others, member in zip(alone, group.member, strict=True))
    by_slot = np.swapaxes(carried, -1, -2)  # (points, channels, bins, slots, samples)
    scaled = by_slot * (values.template * _of_group(factors.systems, group))[..., None, :]
    cross = scaled @ _of_group_slope(factors, group)[:, :, None]
    shifted = (by_slot * _of_group(factors.factor, group)[..., None, :]) @ moved
    add_columns(cross, group.shifts.column, shifted)
    cross = weight[..., None, None] * cross + (bend[..., None] * slots)[..., None] * jacobian[..., None, :]
    points, index = len(weight), group.slots.ravel()
    rows = cross.reshape(points, -1, n_global)
    add_columns(matrix[:, :n_global], index, rows.transpose(0, 2, 1), unique=group.unique)
    add_columns(matrix[:, :, :n_global].transpose(0, 2, 1), index, rows.transpose(0, 2, 1), unique=group.unique)
    own = (bend[..., None] * slots)[..., None] * slots[..., None, :]
    own += weight[..., None, None] * _slot_pairs(group, factors, values)
    _scatter(matrix, (slice(None), group.slots[..., :, None], group.slots[..., None, :]), own)


def _slot_pairs(group: Group, factors: Factors, values: RateValues) -> np.ndarray | float:
    """Return the second derivatives of each rate by two different bin factors."""
    n_factors = len(group.gamma)
    if n_factors < 2:
        return 0.0
    cells = _of_group(factors.factor, group) * values.template
    parts = [factors.theta[:, index] for index in group.gamma]
    total = np.zeros((len(cells), *group.slots.shape, group.slots.shape[-1]))
    for i in range(n_factors):
        for j in range(n_factors):
            if i != j:
                rest = np.prod([cells, *(parts[k] for k in range(n_factors) if k not in {i, j})], axis=0)
                total += np.einsum("pcbs,cbsk,cbsl->pcbkl", rest, group.member[i], group.member[j])
    return total


def _add_shift_curvature(matrix: np.ndarray, group: Group, weights: ShiftValues, strength: Cells) -> None:
    """Add the second derivatives of the templates, which are diagonal."""
    points = len(strength)
    up, down = (strength.reshape(points, -1) @ entry for entry in _flat_shifts(group))
    diagonal = np.zeros((points, matrix.shape[-1]))
    add_columns(diagonal, group.shifts.column, up * weights.up_second + down * weights.down_second)
    own = np.arange(matrix.shape[-1])
    matrix[:, own, own] += diagonal
