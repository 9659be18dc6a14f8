"""Profile likelihood in two parameters: a grid of fits in lockstep, and the lines where it reaches its quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import contourpy
import numpy as np
from jaxtyping import Float
from scipy.special import chdtri

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.fit import FitResult, fit, not_above
from evercast.inference.fit_many import fit_many
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Contour", "Level", "contour", "contour_range"]

_MAX_MINIMA = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """Where t is the quantile of chi2 with two degrees of freedom.

    Args:
        lines: each (points, 2); closed ones end where they start.
    """

    confidence_level: float
    t: float
    lines: tuple[Float[np.ndarray, "_ 2"], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contour:
    """t(a, b) = -2 ln of the profile likelihood ratio on a grid.

    Args:
        parameters: names of a and b.
        first, second: (points,) values of a and of b.
        t: (first, second); NaN where a fit failed.
        best: the free fit; the lowest point met.
        failed: (a, b, reason).
    """

    parameters: tuple[str, str]
    first: Float[np.ndarray, " first"]
    second: Float[np.ndarray, " second"]
    t: Float[np.ndarray, "first second"]
    best: FitResult
    levels: tuple[Level, ...]
    failed: tuple[tuple[float, float, str], ...]


def contour_range(likelihood: Likelihood, best: FitResult, name: str, *, width: float = 3.5) -> tuple[float, float]:
    """Return best fit -+ `width` standard deviations within the bounds; the bounds where it lies at one.

    Raises:
        InvalidInput: neither an uncertainty nor bounds are known.
    """
    index = likelihood.index(name)
    low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
    uncertainty, value = best.parameter(name).uncertainty, best.parameter(name).value
    if uncertainty is not None:
        return max(low, value - width * uncertainty), min(high, value + width * uncertainty)
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    raise InvalidInput(f"{name} lies at a bound and has no other; give a range", code="contour.range")


def contour(
    likelihood: Likelihood,
    first: str,
    second: str,
    *,
    best: FitResult | None = None,
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None,
    points: int = 21,
    confidence_levels: Sequence[float] = (0.68, 0.95),
) -> Contour:
    """Return t on a grid and its contours.

    Args:
        likelihood: with the data to be used.
        first: parameter along the first axis.
        second: the other one.
        best: the free fit; None makes it. Where a point lies lower, it is repeated from there.
        ranges: of both; None: 3.5 standard deviations around the best fit, within the bounds.
        points: in each direction.
        confidence_levels: of the lines.

    Raises:
        InvalidInput: a parameter does not exist or is fixed, or both are the same.
        NumericalFailure: the free fit failed, or every point.
    """
    for name in (first, second):
        if name not in likelihood.names or likelihood.fixed[likelihood.index(name)]:
            raise InvalidInput(f"'{name}' is not a free parameter", code="contour.parameter")
    if first == second:
        raise InvalidInput(f"a contour needs two parameters, found '{first}' twice", code="contour.parameter")
    found = best if best is not None else fit(likelihood)
    for _ in range(_MAX_MINIMA):
        known = found
        spans = ranges or tuple(contour_range(likelihood, known, name) for name in (first, second))
        axes = tuple(np.linspace(*span, points) for span in spans)
        t, failed, lowest = _grid(likelihood, known, (first, second), axes)
        if lowest is not None:
            found = not_above(likelihood, known, lowest)
        if found is known:
            levels = tuple(_level(axes, t, entry) for entry in confidence_levels)
            return Contour(
                parameters=(first, second), first=axes[0], second=axes[1], t=t, best=known, levels=levels, failed=failed
            )
    raise NumericalFailure("ever lower minima of -2 ln L were found", code="fit.unstable")


def _grid(
    likelihood: Likelihood, best: FitResult, names: tuple[str, str], axes: Sequence[Float[np.ndarray, " n"]]
) -> tuple[Float[np.ndarray, "first second"], tuple[tuple[float, float, str], ...], FitResult | None]:
    """Return t, the failures, and a fit at the lowest point where that lies below the best fit."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    start = _predicted(likelihood, best, [likelihood.index(name) for name in names], grid)
    found = fit_many(LikelihoodBatch(likelihood), start=start, rows=np.zeros(len(grid), dtype=np.int64), fixed=names)
    if found.failed.all():
        raise NumericalFailure(f"every point of the grid failed; first: {found.reasons[0]}", code="scan.failed")
    failed = tuple(
        (float(grid[point, 0]), float(grid[point, 1]), reason) for point, reason in sorted(found.reasons.items())
    )
    difference = found.twice_nll - best.twice_nll
    lowest = int(np.nanargmin(difference))
    below = None
    if difference[lowest] < -best.guard.tolerance:
        held = dict(zip(names, map(float, grid[lowest]), strict=True))
        below = fit(likelihood, fixed=held, start=found.theta[lowest])
    shape = (len(axes[0]), len(axes[1]))
    return np.maximum(difference, 0.0).reshape(shape), failed, below


def _predicted(
    likelihood: Likelihood, best: FitResult, held: Sequence[int], grid: Float[np.ndarray, "_ 2"]
) -> Float[np.ndarray, "points parameters"]:
    """Return where the other parameters are expected: linearly, by the Hessian of the best fit, within two sigma."""
    theta, places = np.tile(best.theta, (len(grid), 1)), np.array(held, dtype=np.int64)
    working = np.array([entry.uncertainty is not None for entry in best.parameters])
    working[places] = False
    step = grid - best.theta[places]
    if working.any():
        coupling = best.hessian[working][:, places]
        moved = -np.linalg.solve(best.hessian[np.ix_(working, working)], coupling) @ step.T
        spread = np.sqrt(np.diag(best.covariance)[working])[:, None]
        theta[:, working] += np.clip(moved, -2.0 * spread, 2.0 * spread).T
    theta[:, places] = grid
    free = np.setdiff1d(np.arange(theta.shape[1]), places)
    theta[:, free] = np.where(
        likelihood.fixed[free], theta[:, free], np.clip(theta[:, free], likelihood.lower[free], likelihood.upper[free])
    )
    return theta


def _level(
    axes: Sequence[Float[np.ndarray, " n"]], t: Float[np.ndarray, "first second"], confidence_level: float
) -> Level:
    if not 0.0 < confidence_level < 1.0:
        message = f"the confidence level must lie between 0 and 1, found {confidence_level}"
        raise InvalidInput(message, code="fit.level")
    limit = float(chdtri(2, 1.0 - confidence_level))
    lines = contourpy.contour_generator(axes[0], axes[1], np.ma.masked_invalid(t.T)).lines(limit)
    return Level(confidence_level=confidence_level, t=limit, lines=tuple(np.asarray(line) for line in lines))
