"""Fits of many data sets, or of one at many points, in lockstep; each stands behind the same guard as a single fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from evercast.errors import NumericalFailure
from evercast.inference.fit import exploration, fit, order_of_equals
from evercast.inference.minimise_many import ManyObjectives, Minima, minimise_many
from evercast.likelihood.evaluate import Likelihood

__all__ = ["DataSets", "Fits", "fit_many", "lower_of"]

Points = Float[np.ndarray, "points parameters"]
Rows = Int[np.ndarray, " points"]


@runtime_checkable
class DataSets(ManyObjectives, Protocol):
    """Data sets of one likelihood."""

    @property
    def likelihood(self) -> Likelihood:
        """Their parameters and bounds."""
        ...

    def member(self, row: int) -> Likelihood:
        """Return the likelihood on one of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """Minima of -2 ln L, one per point.

    Args:
        theta: (points, parameters); NaN where a fit failed.
        twice_nll: (points,); NaN where a fit failed.
        at_bound: (points, parameters).
        reasons: point -> why its fit failed.
        n_single: points that the single minimiser had to do.
    """

    theta: Points
    twice_nll: Float[np.ndarray, " points"]
    at_bound: Bool[np.ndarray, "points parameters"]
    reasons: Mapping[int, str] = field(default_factory=dict)
    n_single: int = 0

    @property
    def failed(self) -> Bool[np.ndarray, " points"]:
        """(points,) where no minimum was found."""
        return np.asarray(~np.isfinite(self.twice_nll))


def fit_many(
    batch: DataSets,
    *,
    start: Points,
    rows: Rows | None = None,
    fixed: Sequence[str] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    explore: bool = False,
) -> Fits:
    """Return the best fit of each point.

    Args:
        batch: the data sets.
        start: (points, parameters); what is in `fixed` keeps its value.
        rows: (points,) data set of each; None: point i has data set i.
        fixed: parameters that are held, besides those the model holds.
        bounds: parameter -> bounds instead of those of the model.
        explore: parameters in which a coefficient is not linear also start elsewhere, and the lowest minimum counts.
    """
    likelihood = batch.likelihood
    chosen = np.arange(len(start)) if rows is None else rows
    lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
    for name, (low, high) in (bounds or {}).items():
        lower[likelihood.index(name)], upper[likelihood.index(name)] = low, high
    free = ~likelihood.fixed & ~np.isin(likelihood.names, list(fixed))
    starts = [start, *(exploration(likelihood, start, lower, upper, free) if explore else [])]
    found = [minimise_many(batch, start=points, rows=chosen, lower=lower, upper=upper, free=free) for points in starts]
    best = _lowest(found, [likelihood.index(name) for name in sorted(likelihood.nonlinear)], likelihood.initial)
    return _with_single_fits(batch, best, start, chosen, fixed=fixed, bounds=bounds)


def _lowest(
    found: Sequence[Minima], nonlinear: Sequence[int], initial: Float[np.ndarray, " parameters"]
) -> tuple[Points, Float[np.ndarray, " points"], np.ndarray]:
    """Return points, values and bounds of the lowest converged minima; a value is NaN where a lower point did not.

    Of equally deep minima it is the one that a single fit takes.
    """
    values = np.array([np.where(entry.converged, entry.value, np.nan) for entry in found])
    reached = np.array([np.where(np.isfinite(entry.value), entry.value, np.inf) for entry in found])
    theta = np.array([entry.theta for entry in found])
    order = _first_of_equals(np.where(np.isfinite(values), values, np.inf), theta, list(nonlinear), initial)
    points = np.arange(len(order))
    best = values[order, points]
    best = np.where(reached.min(axis=0) < best - 1e-6, np.nan, best)
    return theta[order, points], best, np.array([entry.at_bound for entry in found])[order, points]


def _first_of_equals(
    values: Float[np.ndarray, "starts points"],
    theta: Float[np.ndarray, "starts points parameters"],
    nonlinear: list[int],
    initial: Float[np.ndarray, " parameters"],
) -> Rows:
    """Return which start of each point ends lowest; among equals up to rounding the one a single fit takes."""
    lowest = values.min(axis=0)
    higher = values > lowest + np.maximum(1e-6, 1e-12 * np.abs(np.where(np.isfinite(lowest), lowest, 0.0)))
    near, value = order_of_equals(theta[:, :, nonlinear], initial[nonlinear])
    keys = [*np.moveaxis(value, -1, 0)[::-1], *np.moveaxis(near, -1, 0)[::-1], higher]
    return np.asarray(np.lexsort(np.array([values, *keys], dtype=float), axis=0)[0])


def _with_single_fits(
    batch: DataSets,
    best: tuple[Points, Float[np.ndarray, " points"], Bool[np.ndarray, "points parameters"]],
    start: Points,
    rows: Rows,
    *,
    fixed: Sequence[str],
    bounds: Mapping[str, tuple[float, float]] | None,
) -> Fits:
    theta, value, at_bound = (entry.copy() for entry in best)
    likelihood, reasons = batch.likelihood, dict[int, str]()
    doubtful = np.flatnonzero(~np.isfinite(value))
    for point in doubtful:
        held = {name: float(start[point, likelihood.index(name)]) for name in fixed}
        try:
            single = fit(batch.member(int(rows[point])), fixed=held, bounds=bounds)
        except NumericalFailure as failure:
            reasons[int(point)] = failure.message
            theta[point], value[point] = np.nan, np.nan
            continue
        theta[point], value[point] = single.theta, single.twice_nll
        at_bound[point] = np.isin(likelihood.names, single.guard.at_bound)
    return Fits(theta=theta, twice_nll=value, at_bound=at_bound, reasons=reasons, n_single=len(doubtful))


def lower_of(
    batch: DataSets, best: Fits, conditional: Fits, *, bounds: Mapping[str, tuple[float, float]] | None = None
) -> Fits:
    """Return the free fits, repeated from the conditional ones where those lie lower by more than rounding."""
    tolerance = np.maximum(1e-6, 1e-12 * np.abs(best.twice_nll))
    above = np.flatnonzero(conditional.twice_nll < best.twice_nll - tolerance)
    if not above.size:
        return best
    again = fit_many(batch, start=conditional.theta[above], rows=above, bounds=bounds)
    theta, value, at_bound = best.theta.copy(), best.twice_nll.copy(), best.at_bound.copy()
    theta[above], value[above], at_bound[above] = again.theta, again.twice_nll, again.at_bound
    reasons = {**best.reasons, **{int(above[point]): reason for point, reason in again.reasons.items()}}
    still = above[conditional.twice_nll[above] < value[above] - tolerance[above]]
    for point in still:
        reasons[int(point)] = "a conditional fit lies below the free fit"
        theta[point], value[point] = np.nan, np.nan
    return Fits(theta=theta, twice_nll=value, at_bound=at_bound, reasons=reasons, n_single=best.n_single)
