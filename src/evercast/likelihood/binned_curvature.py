"""Gradient and Hessian of -2 ln of the Poisson probabilities of binned channels, at many points, in numpy.

Per row r (a sample of a channel) with the factor F = P G (program x systems), l the derivatives of ln G, A the sum over
its bins of weight x gamma x template and B that of weight x gamma x derivative of the template, the Hessian in the
global parameters is

    sum_r [ A F (l l^T, on the diagonal g'' / g) + (l (A G dP + F B)^T + dP (G B)^T) + transpose + A G d2P ]
    + J^T diag(2 n / rate^2) J + sum_r F w gamma d2T

with J the derivatives of the rates. All but the last sum and d2P is Z + Z^T of one product of two matrices of the size
(rows + programs + bins) x parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_layout import Group, Layout
from evercast.likelihood.binned_rates import (
    Factors,
    RateValues,
    Slopes,
    add_columns,
    group_slopes,
    of_group,
    scatter,
)

__all__ = ["add_gradient", "hessian_of"]

Bins = Float[np.ndarray, "points channels bins"]


class _Part(NamedTuple):
    """A group with its derivatives; weight and bend are those of -2 ln L by the rates."""

    group: Group
    values: RateValues
    slopes: Slopes
    weight: Bins
    bend: Bins


def add_gradient(
    gradient: Float[np.ndarray, "points own"],
    layout: Layout,
    factors: Factors,
    values: Sequence[RateValues],
    observed: Sequence[np.ndarray],
) -> list[_Part]:
    """Add the gradient of all groups to `gradient`; return what their Hessian needs.

    Args:
        gradient: (points, own + 1).
        layout: of all channels.
        factors: with derivatives.
        values: rates, per group.
        observed: (points or 1, channels, bins) counts, per group.
    """
    points, n_global = len(gradient), layout.n_global
    parts = []
    for group, found, counts in zip(layout.groups, values, observed, strict=True):
        ratio = np.where(counts > 0, counts / found.rates, 0.0)
        slopes = group_slopes(layout, group, factors, found)
        weight = 2.0 * (1.0 - ratio)
        bend = np.where(counts > 0, 2.0 * ratio / found.rates, 0.0)
        gradient[:, :n_global] += (
            weight.reshape(points, 1, -1) @ slopes.jacobian.reshape(points, -1, n_global)
        )[:, 0]  # fmt: skip
        by_slot = (weight[..., None] * slopes.slots).reshape(points, -1)
        add_columns(gradient, group.slots.ravel(), by_slot, unique=group.unique)
        parts.append(_Part(group, found, slopes, weight, bend))
    return parts


def hessian_of(layout: Layout, factors: Factors, parts: Sequence[_Part]) -> Float[np.ndarray, "points own own"]:
    """Return the Hessian, (points, own + 1, own + 1); the last row and column mean nothing."""
    points, n, n_own = len(factors.theta), layout.n_global, factors.theta.shape[1]
    matrix = np.zeros((points, n_own, n_own))
    block, diagonal, rows = _global_block(layout, factors, parts)
    np.add(block, block.transpose(0, 2, 1), out=matrix[:, :n, :n])
    used, own = layout.programs.columns, np.arange(n)
    matrix[:, own, own] = diagonal
    if len(used):
        by_program = (factors.systems * rows) @ _programs_of(layout, slice(None)).T
        matrix[:, used[:, None], used] += np.einsum("pk,pkij->pij", by_program, factors.program_hessian)
    for part in parts:
        _add_slots(matrix, factors, layout, part)
    return matrix


def _programs_of(layout: Layout, rows: slice) -> Float[np.ndarray, "programs rows"]:
    """Return 1 where a row has a program."""
    of_row = layout.programs.of_row[rows]
    return np.asarray(np.arange(len(layout.programs.formulas))[:, None] == of_row, dtype=float)


def _global_block(
    layout: Layout, factors: Factors, parts: Sequence[_Part]
) -> tuple[np.ndarray, Float[np.ndarray, "points parameters"], Float[np.ndarray, "points rows"]]:
    """Return Z, the diagonal of Z + Z^T as it must be, and A of all rows."""
    points, n = len(factors.theta), layout.n_global
    logarithmic, used = factors.derivatives, layout.programs.columns
    n_rows, n_programs = logarithmic.shape[1], factors.program_gradient.shape[1]
    n_bins = sum(part.weight[0].size for part in parts)
    left, right = np.zeros((2, points, n_rows + n_programs + n_bins, n))
    left[:, :n_rows] = logarithmic
    left[:, n_rows : n_rows + n_programs, used] = factors.program_gradient
    diagonal, sums = np.zeros((points, n)), np.zeros((points, n_rows))
    first = n_rows + n_programs
    for part in parts:
        group, slopes = part.group, part.slopes
        rows, shifts = slice(group.first, group.first + group.n_rows), group.shifts
        pull = part.weight[..., None] * part.values.gamma
        sums[:, rows] = np.sum(pull * part.values.template, axis=2).reshape(points, -1)
        shifted = _over_bins(pull, slopes.moved).reshape(points, group.n_rows, len(shifts.code))
        own = right[:, rows]
        add_columns(own, shifts.column, factors.factor[:, rows, None] * shifted, unique=shifts.unique)
        own[..., used] += (sums * factors.systems)[:, rows, None] * slopes.program.reshape(
            points, group.n_rows, len(used)
        )
        by_program = _programs_of(layout, rows) @ (factors.systems[:, rows, None] * shifted)
        add_columns(right[:, n_rows : n_rows + n_programs], shifts.column, by_program, unique=shifts.unique)
        bins = slice(first, first + part.weight[0].size)
        left[:, bins] = slopes.jacobian.reshape(points, -1, n)
        np.multiply(left[:, bins], 0.5 * part.bend.reshape(points, -1, 1), out=right[:, bins])
        first = bins.stop
        _add_shift_curvature(diagonal, part)
    diagonal += 2.0 * np.einsum("pri,pri->pi", left, right)
    strength = factors.factor * sums
    scatter(diagonal, (slice(None), layout.systems.column), factors.second * strength[:, layout.systems.row])
    right[:, :n_rows] += (0.5 * strength)[..., None] * logarithmic
    return left.transpose(0, 2, 1) @ right, diagonal, sums


def _over_bins(
    pull: Float[np.ndarray, "points channels bins samples"],
    moved: Float[np.ndarray, "points channels bins samples shifts"],
) -> Float[np.ndarray, "points channels samples shifts"]:
    if pull.shape[2] == 1:
        return np.asarray(pull[:, :, 0, :, None] * moved[:, :, 0])
    return np.asarray(np.einsum("pcbs,pcbsv->pcsv", pull, moved))


def _add_shift_curvature(diagonal: Float[np.ndarray, "points parameters"], part: _Part) -> None:
    """Add the second derivatives of the templates, which are diagonal."""
    weights, shifts = part.values.weights, part.group.shifts
    if not (weights.up_second.any() or weights.down_second.any()):
        return
    pull = (part.weight[..., None] * part.slopes.strength).reshape(len(diagonal), 1, -1)
    n_shifts = len(shifts.code)
    up, down = ((pull @ entry.reshape(len(entry), -1, n_shifts))[:, 0] for entry in (part.group.up, part.group.down))
    curvature = up * weights.up_second + down * weights.down_second
    add_columns(diagonal, shifts.column, curvature, unique=shifts.unique)


def _add_slots(matrix: np.ndarray, factors: Factors, layout: Layout, part: _Part) -> None:
    """Add the second derivatives by bin factors, with each other and with the global parameters."""
    group, slopes = part.group, part.slopes
    if not len(group.gamma):
        return
    points, n_global = len(matrix), layout.n_global
    carried = sum(others[..., None] * member for others, member in zip(slopes.alone, group.member, strict=True))
    by_slot = np.swapaxes(carried, -1, -2)  # (points, channels, bins, slots, samples)
    strength = by_slot * of_group(factors.factor, group)[..., None, :]
    cross = (strength * part.values.template[..., None, :]) @ of_group(factors.derivatives, group)
    unscaled = by_slot * (part.values.template * of_group(factors.systems, group))[..., None, :]
    cross[..., layout.programs.columns] += unscaled @ slopes.program
    add_columns(cross, group.shifts.column, strength @ slopes.moved, unique=group.shifts.unique)
    bent = part.bend[..., None] * slopes.slots
    cross *= part.weight[..., None, None]
    cross += bent[..., None] * slopes.jacobian[..., None, :]
    index, rows = group.slots.ravel(), cross.reshape(points, -1, n_global)
    add_columns(matrix[:, :n_global], index, rows.transpose(0, 2, 1), unique=group.unique)
    add_columns(matrix[:, :, :n_global].transpose(0, 2, 1), index, rows.transpose(0, 2, 1), unique=group.unique)
    own = bent[..., None] * slopes.slots[..., None, :]
    if len(group.gamma) > 1:
        own += part.weight[..., None, None] * _slot_pairs(group, factors, part.values)
    scatter(matrix, (slice(None), group.slots[..., :, None], group.slots[..., None, :]), own)


def _slot_pairs(group: Group, factors: Factors, values: RateValues) -> np.ndarray:
    """Return the second derivatives of each rate by two different bin factors."""
    n_factors = len(group.gamma)
    cells = of_group(factors.factor, group) * values.template
    parts = [factors.theta[:, index] for index in group.gamma]
    total = np.zeros((len(cells), *group.slots.shape, group.slots.shape[-1]))
    for i in range(n_factors):
        for j in range(n_factors):
            if i != j:
                rest = np.prod([cells, *(parts[k] for k in range(n_factors) if k not in {i, j})], axis=0)
                total += np.einsum("pcbs,cbsk,cbsl->pcbkl", rest, group.member[i], group.member[j])
    return total
