"""Rates of binned channels and -2 ln of their Poisson probabilities at many points, with exact derivatives, in numpy.

With rate_b = sum over samples of program x systems x gamma x template, nothing larger than (bins, samples, shifts) or
(rows, parameters) is made. The Hessian is made of this in `evercast.likelihood.binned_curvature`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_layout import Group, Layout
from evercast.likelihood.binned_shifts import ShiftValues

__all__ = [
    "Factors",
    "RateValues",
    "Slopes",
    "add_columns",
    "evaluate_factors",
    "group_rates",
    "group_slopes",
    "of_group",
    "scatter",
]

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
        first, second: (points, entries) g' / g and g'' / g of the normalisation variations.
        program_gradient, program_hessian: of the programs, in the parameters that they use.
        logarithmic: (points, rows, global) derivatives of ln systems; None without derivatives.
    """

    theta: Points
    systems: Float[np.ndarray, "points rows"]
    factor: Float[np.ndarray, "points rows"]
    first: Float[np.ndarray, "points entries"]
    second: Float[np.ndarray, "points entries"]
    program_gradient: Float[np.ndarray, "points programs used"]
    program_hessian: Float[np.ndarray, "points programs used used"]
    logarithmic: Float[np.ndarray, "points rows parameters"] | None

    @property
    def derivatives(self) -> Float[np.ndarray, "points rows parameters"]:
        """`logarithmic`, where the factors were evaluated with derivatives.

        Raises:
            ValueError: they were not.
        """
        if self.logarithmic is None:
            raise ValueError("the factors were evaluated without derivatives")
        return self.logarithmic


def evaluate_factors(layout: Layout, theta: Points, *, derivatives: bool) -> Factors:
    """Return program x systems of every row, with what its derivatives need.

    Args:
        layout: of the channels, of one model or of one for each point.
        theta: (points, own).
        derivatives: False leaves `logarithmic` out.
    """
    extended = np.concatenate([theta, np.ones((len(theta), 1))], axis=1)
    program = layout.programs.evaluate(extended)
    systems = layout.systems.evaluate(extended)
    logarithmic = None
    if derivatives:
        logarithmic = np.zeros((len(theta), systems.factor.shape[1], layout.n_global))
        logarithmic[:, layout.systems.row, layout.systems.column] = systems.first
    return Factors(
        theta=extended, systems=systems.factor, factor=program.value[:, layout.programs.of_row] * systems.factor,
        first=systems.first, second=systems.second, program_gradient=program.gradient,
        program_hessian=program.hessian, logarithmic=logarithmic,
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
    points, shape = len(factors.theta), group.nominal.shape[1:]
    weights = group.shifts.evaluate(factors.theta)
    up, down = (_times(differences, of) for differences, of in ((group.up, weights.up), (group.down, weights.down)))
    template = group.nominal + (up + down).reshape(points, *shape)
    gamma = np.prod(factors.theta[:, group.gamma], axis=1) if len(group.gamma) else np.ones_like(template)
    return RateValues(
        weights=weights, template=template, gamma=gamma,
        rates=np.sum(of_group(factors.factor, group) * gamma * template, axis=-1),
    )  # fmt: skip


def _times(
    differences: Float[np.ndarray, "models channels bins samples shifts"], weights: Float[np.ndarray, "points shifts"]
) -> Float[np.ndarray, "points cells"]:
    """Return (points, cells) the weighted sum over the shifts."""
    n_models, *cell, n_shifts = differences.shape
    cells = differences.reshape(n_models, math.prod(cell), n_shifts)
    if len(cells) == 1:
        return np.asarray(weights @ cells[0].T)
    return np.asarray((cells @ weights[:, :, None])[:, :, 0])


def of_group(values: Float[np.ndarray, "points rows *rest"], group: Group) -> np.ndarray:
    """Return what belongs to the rows of a group, as (points, channels, 1, samples, ...)."""
    _, n_channels, _, n_samples = group.nominal.shape
    part = values[:, group.first : group.first + group.n_rows]
    return part.reshape(len(values), n_channels, 1, n_samples, *values.shape[2:])


class Slopes(NamedTuple):
    """First derivatives of the rates of a group, and what they are made of.

    Args:
        jacobian: (points, channels, bins, global) derivatives of the rates.
        slots: (points, channels, bins, slots) derivatives of the rates by the bin factors of each bin.
        moved: (points, channels, bins, samples, shifts) derivatives of the templates.
        strength: (points, channels, bins, samples) factor x gamma.
        alone: for every bin factor of the cells, the product of the others.
        program: (points, channels, 1, samples, used) derivatives of the programs of the rows.
    """

    jacobian: Float[np.ndarray, "points channels bins parameters"]
    slots: Float[np.ndarray, "points channels bins slots"]
    moved: Float[np.ndarray, "points channels bins samples shifts"]
    strength: Cells
    alone: list[Cells]
    program: Float[np.ndarray, "points channels one samples used"]


def group_slopes(layout: Layout, group: Group, factors: Factors, values: RateValues) -> Slopes:
    """Return the first derivatives of the rates of a group.

    Args:
        layout: of all channels.
        group: one of its groups.
        factors: with derivatives.
        values: its rates.
    """
    factor, used = of_group(factors.factor, group), layout.programs.columns
    moved = group.up * values.weights.up_first[:, None, None, None]
    moved += group.down * values.weights.down_first[:, None, None, None]
    strength = factor * values.gamma
    program = of_group(factors.program_gradient[:, layout.programs.of_row], group)
    jacobian = (strength * values.template) @ of_group(factors.derivatives, group)[:, :, 0]
    jacobian[..., used] += (values.gamma * values.template * of_group(factors.systems, group)) @ program[:, :, 0]
    shifts = group.shifts
    add_columns(jacobian, shifts.column, (strength[..., None, :] @ moved)[..., 0, :], unique=shifts.unique)
    alone = _without_each(group, factors)
    return Slopes(jacobian, _slot_sums(group, alone, factor * values.template), moved, strength, alone, program)


def add_columns(target: np.ndarray, columns: np.ndarray, values: np.ndarray, *, unique: bool) -> None:
    """Add `values` to columns of the last axis of `target`, of which one may be named several times."""
    if not len(columns):
        return
    if unique:
        target[..., columns] += values
    else:
        scatter(target, (..., columns), values)


def scatter(target: np.ndarray, index: Any, values: np.ndarray) -> None:
    """Add values at an index, which may name one place several times."""
    np.add.at(target, index, values)


def _without_each(group: Group, factors: Factors) -> list[Cells]:
    """Return, for every bin factor of the cells, the product of the others."""
    parts = [factors.theta[:, index] for index in group.gamma]
    if len(parts) == 1:
        return [np.ones_like(parts[0])]
    return [np.prod([*parts[:k], *parts[k + 1 :]], axis=0) for k in range(len(parts))]


def _slot_sums(group: Group, alone: list[Cells], cells: Cells) -> Float[np.ndarray, "points channels bins slots"]:
    """Return the derivative of each rate by its bin factors: sums over the samples that carry them."""
    total = np.zeros((len(cells), *group.slots.shape))
    for others, member in zip(alone, group.member, strict=True):
        total += ((others * cells)[..., None, :] @ member)[..., 0, :]
    return total
