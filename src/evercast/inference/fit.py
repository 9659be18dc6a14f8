"""Fits: free or conditional, each behind the fit guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.guard import Guard, inspect, second_opinion, tolerance
from evercast.inference.kinks import minimum_on_kinks
from evercast.inference.lockstep import Steps, run
from evercast.inference.minimise import Minimum, minimise_steps
from evercast.inference.trust_region import inverse
from evercast.likelihood.diagnose import why_undefined
from evercast.likelihood.evaluate import Expansion, Likelihood

__all__ = [
    "FitResult",
    "ParameterResult",
    "exploration",
    "fit",
    "fit_steps",
    "not_above",
    "not_above_steps",
    "order_of_equals",
    "poi_of",
]

Point = Float[np.ndarray, " parameters"]
Mask = Bool[np.ndarray, " parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterResult:
    """A parameter after a fit.

    Args:
        uncertainty: from the Hessian; None where it was held fixed or lies at a bound or a kink.
        at_bound: it lies at one of its bounds.
        fixed: it was not varied.
    """

    name: str
    value: float
    uncertainty: float | None
    at_bound: bool
    fixed: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class FitResult:
    """A minimum of -2 ln L that passed the guard.

    Args:
        theta: (parameters,) in the order of the likelihood.
        gradient: (parameters,) of -2 ln L at the minimum, in all parameters.
        hessian: (parameters, parameters) there, of all parameters.
        free: (parameters,) varied.
        held: (parameters,) at a bound.
        measured: (parameters,) varied, and neither at a bound nor at a kink: with an uncertainty from the Hessian.
        twice_nll: -2 ln L at the minimum.
        status: ``ok``, or ``at-bound`` where parameters lie at their bounds.
    """

    names: tuple[str, ...]
    theta: Point
    gradient: Point
    hessian: Float[np.ndarray, "parameters parameters"]
    free: Mask
    held: Mask
    measured: Mask
    twice_nll: float
    guard: Guard
    status: str

    @cached_property
    def covariance(self) -> Float[np.ndarray, "parameters parameters"]:
        """(parameters, parameters) 2 x inverse Hessian; zero rows for parameters that are not `measured`."""
        covariance = np.zeros_like(self.hessian)
        if self.measured.any():
            chosen = np.ix_(self.measured, self.measured)
            scale = 1.0 / np.sqrt(np.diag(self.hessian)[self.measured])
            size = np.outer(scale, scale)
            covariance[chosen] = 2.0 * inverse(self.hessian[chosen] * size) * size
        return covariance

    @cached_property
    def parameters(self) -> tuple[ParameterResult, ...]:
        """The results for all parameters."""
        return tuple(
            ParameterResult(
                name=name, value=value, uncertainty=uncertainty if measured else None, at_bound=held, fixed=not free
            )
            for name, value, uncertainty, measured, held, free in zip(
                self.names, self.theta.tolist(), np.sqrt(np.diag(self.covariance)).tolist(), self.measured.tolist(),
                self.held.tolist(), self.free.tolist(), strict=True,
            )
        )  # fmt: skip

    def parameter(self, name: str) -> ParameterResult:
        """Return the result for one parameter."""
        return self.parameters[self.names.index(name)]

    def value(self, name: str) -> float:
        """Return the value of one parameter."""
        return float(self.theta[self.names.index(name)])


def poi_of(likelihood: Likelihood, name: str | None = None) -> str:
    """Return the parameter of interest: the one named, or the one the model declares.

    Raises:
        InvalidInput: it does not exist, is not declared, or is fixed.
    """
    declared = likelihood.model.poi
    if name is None and declared is None:
        names = _some(likelihood.names)
        raise InvalidInput(
            f"no parameter of interest is declared; parameters: {names}", code="fit.poi", hint="name one with --poi"
        )
    chosen = name or (declared.name if declared else "")
    if chosen not in likelihood.names:
        near = [other for other in likelihood.names if chosen.lower() in other.lower()] or likelihood.names
        raise InvalidInput(f"unknown parameter '{chosen}'; parameters: {_some(near)}", code="fit.poi")
    if likelihood.fixed[likelihood.index(chosen)]:
        raise InvalidInput(f"the parameter of interest '{chosen}' is fixed", code="fit.poi")
    return chosen


def _some(names: Sequence[str]) -> str:
    """Return the names, those of single bins last, cut after 20."""
    ordered = sorted(names, key=lambda name: "[" in name)
    return ", ".join(ordered[:20]) + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "")


def fit(
    likelihood: Likelihood,
    *,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    start: Point | None = None,
    second: bool = False,
) -> FitResult:
    """Return the best fit with some parameters held.

    A parameter in which a coefficient is not linear (interference) is also started at other values within its bounds,
    since there may be several minima. On doubt a second optimiser (iminuit) runs; the lower result is kept, and only
    if it is a minimum.

    Args:
        likelihood: what is fitted.
        fixed: parameter -> value at which it is held.
        bounds: parameter -> bounds instead of those of the model.
        start: (parameters,) where to start; None takes the initial values.
        second: the second optimiser is asked in any case, and the guard says how much lower its result lies.

    Raises:
        NumericalFailure: no minimum was found that passes the guard.
    """
    return run(fit_steps(likelihood, fixed=fixed, bounds=bounds, start=start, second=second))


def fit_steps(
    likelihood: Likelihood,
    *,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    start: Point | None = None,
    second: bool = False,
    known: Expansion | None = None,
) -> Steps[FitResult]:
    """Fit as `fit` does, asking for one expansion after the other.

    The expansion at `start` may be handed in as `known`, if `start` lies within the bounds and holds the values of
    `fixed`. On doubt all goes on as for a single fit, alone.
    """
    held = dict(fixed or {})
    lower, upper = likelihood.lower.copy(), likelihood.upper.copy()
    for name, (low, high) in (bounds or {}).items():
        lower[likelihood.index(name)], upper[likelihood.index(name)] = low, high
    free = ~likelihood.fixed
    first = (likelihood.initial if start is None else start).copy()
    for name, value in held.items():
        free[likelihood.index(name)] = False
        first[likelihood.index(name)] = value
    found: list[Minimum] = []
    for point in _starts(likelihood, first, lower, upper, free, explore=start is None):
        steps = minimise_steps(likelihood, start=point, lower=lower, upper=upper, free=free, first=known)
        found.append((yield from steps))
    best = _lowest(found, [likelihood.index(name) for name in sorted(likelihood.nonlinear)], likelihood.initial)
    guard = inspect(best, likelihood.names)
    if guard.reason is not None:
        kink = minimum_on_kinks(likelihood, best, lower=lower, upper=upper, free=free)
        best, guard = (best, guard) if kink is None else (kink, inspect(kink, likelihood.names))
    if second or guard.reason is not None:
        best, guard = second_opinion(likelihood, best, guard, lower=lower, upper=upper, free=free)
    if guard.reason is not None:
        raise _failure(likelihood, best, guard)
    return _result(likelihood, best, guard, free)


def _lowest(found: list[Minimum], nonlinear: Sequence[int], initial: Point) -> Minimum:
    """Return the lowest of what was found; among equals up to rounding one that converged.

    Of several such (two values of a parameter that give the same rate) it is the one where the parameters at the
    positions `nonlinear` are nearest to their initial values, and of two equally near ones the larger, so that rounding
    does not choose.
    """
    lowest = min(found, key=lambda entry: entry.value)
    limit = lowest.value + tolerance(lowest)
    equal = [entry for entry in found if entry.value <= limit] if np.isfinite(lowest.value) else found
    chosen = list(nonlinear)

    def order(entry: Minimum) -> tuple[bool, tuple[float, ...], tuple[float, ...], float]:
        failed = entry.reason is not None or not entry.positive_definite
        near, value = order_of_equals(entry.theta[chosen], initial[chosen])
        return failed, tuple(near.tolist()), tuple(value.tolist()), entry.value

    return min(equal, key=order)


def order_of_equals(
    values: Float[np.ndarray, "*points parameters"], initial: Point
) -> tuple[Float[np.ndarray, "*points parameters"], Float[np.ndarray, "*points parameters"]]:
    """Return what equally deep minima are ordered by: the distance to the initial value, then minus the value.

    Both are rounded to 4 digits after the point: minima are known to a hundredth of a standard deviation or so.
    """
    return np.round(np.abs(values - initial), 4), np.round(-values, 4)


def _starts(
    likelihood: Likelihood, first: Point, lower: Point, upper: Point, free: np.ndarray, *, explore: bool
) -> list[Point]:
    others = exploration(likelihood, first[None, :], lower, upper, free) if explore else []
    return [first, *(entry[0] for entry in others)]


def exploration(
    likelihood: Likelihood, first: Float[np.ndarray, "points parameters"], lower: Point, upper: Point, free: np.ndarray
) -> list[Float[np.ndarray, "points parameters"]]:
    """Return further starts, each (points, parameters): a parameter with a nonlinear coefficient moves in its box."""
    starts = []
    for name in sorted(likelihood.nonlinear):
        index = likelihood.index(name)
        if not free[index]:
            continue
        low = np.where(np.isfinite(lower[index]), lower[index], first[:, index] - 5.0)
        high = np.where(np.isfinite(upper[index]), upper[index], first[:, index] + 5.0)
        for fraction in (0.01, 0.1, 0.3, 0.7):
            point = first.copy()
            point[:, index] = low + fraction * (high - low)
            starts.append(point)
    return starts


def _failure(likelihood: Likelihood, best: Minimum, guard: Guard) -> NumericalFailure:
    detail = why_undefined(likelihood, best.theta)
    message = f"the fit of '{likelihood.model.name}' failed: {guard.reason}"
    hint = "check initial values, bounds and templates; a parameter without influence on the data must be fixed"
    if detail:
        message += f"; {detail}"
    elif best.beyond is not None and (detail := why_undefined(likelihood, best.beyond)):
        message += f"; -2 ln L falls up to the edge of where it is defined; beyond, {detail}"
        hint = "there is no minimum: give the parameters bounds within which the model is defined"
    code = "fit.undefined" if detail else "fit.not-converged"
    return NumericalFailure(message, code=code, hint=hint)


def _result(likelihood: Likelihood, best: Minimum, guard: Guard, free: Mask) -> FitResult:
    return FitResult(
        names=likelihood.names, theta=best.theta, gradient=best.expansion.gradient, hessian=best.expansion.hessian,
        free=free, held=best.at_bound, measured=best.working & ~best.at_bound, twice_nll=best.value,
        guard=guard, status="at-bound" if guard.at_bound else "ok",
    )  # fmt: skip


def not_above(
    likelihood: Likelihood,
    best: FitResult,
    conditional: FitResult,
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> FitResult:
    """Return the free fit, repeated from the conditional one where that lies lower.

    Raises:
        NumericalFailure: the free fit still lies above the conditional one.
    """
    return run(not_above_steps(likelihood, best, conditional, bounds=bounds))


def not_above_steps(
    likelihood: Likelihood,
    best: FitResult,
    conditional: FitResult,
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Steps[FitResult]:
    """Return what `not_above` does, asking for one expansion after the other."""
    if conditional.twice_nll >= best.twice_nll - best.guard.tolerance:
        return best
    again = yield from fit_steps(likelihood, bounds=bounds, start=conditional.theta)
    if conditional.twice_nll < again.twice_nll - again.guard.tolerance:
        message = f"a conditional fit lies {again.twice_nll - conditional.twice_nll:.3g} below the free fit in -2 ln L"
        raise NumericalFailure(message, code="fit.free-above-conditional")
    return again
