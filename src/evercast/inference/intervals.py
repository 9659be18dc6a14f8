"""Intervals where t is below a quantile of chi2, by root finding; they may have several parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import chdtri

from evercast.errors import InvalidInput, NumericalFailure

__all__ = ["Curve", "Interval", "Segment", "find_interval", "quantile"]

_GROWTH = 1.7
_MAX_WALK = 60
_EDGE = 1e-3
"""Relative accuracy to which the edge of where the likelihood is defined is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of an interval; an end at a bound of the parameter is not a crossing."""

    low: float
    high: float
    low_at_bound: bool
    high_at_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Values with t below the quantile of a chi2 distribution with one degree of freedom.

    Args:
        low, high: the segment that holds the best fit.
        segments: all parts found, in order; more than one where the scan shows several minima.
    """

    low: float
    high: float
    low_at_bound: bool
    high_at_bound: bool
    confidence_level: float
    segments: tuple[Segment, ...]


def quantile(confidence_level: float) -> float:
    """Return the chi2 quantile with one degree of freedom.

    Raises:
        InvalidInput: the level is not between 0 and 1.

    Example:
        >>> round(quantile(0.95), 4)
        3.8415
    """
    if not 0.0 < confidence_level < 1.0:
        raise InvalidInput(f"the confidence level must lie between 0 and 1, found {confidence_level}", code="fit.level")
    return float(chdtri(1, 1.0 - confidence_level))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """t as a function of one parameter.

    Args:
        name: of the parameter.
        t: -2 ln of the profile likelihood ratio; raises NumericalFailure where a fit failed.
        best: where it is 0.
        step: first step of the search on either side, about a standard deviation.
        lower, upper: bounds of the parameter, may be infinite.
    """

    name: str
    t: Callable[[float], float]
    best: float
    step: float
    lower: float
    upper: float

    def excess(self, value: float, limit: float) -> float:
        """Return t - limit."""
        return -limit if value == self.best else self.t(value) - limit


def find_interval(curve: Curve, confidence_level: float, *, points: Sequence[float] = ()) -> Interval:
    """Return where t is below the quantile.

    Args:
        curve: t.
        confidence_level: e.g. 0.6827.
        points: values at which t is known; they show parts of the interval besides the one around the best fit.

    Raises:
        NumericalFailure: a fit failed, or no crossing was found.
    """
    limit = quantile(confidence_level)
    reached = [_walk(curve, limit, side) for side in (-1.0, 1.0)]
    segments = _segments(curve, sorted({*reached, curve.best, *points}), limit)
    home = next(entry for entry in segments if entry.low <= curve.best <= entry.high)
    return Interval(
        low=home.low, high=home.high, low_at_bound=home.low_at_bound, high_at_bound=home.high_at_bound,
        confidence_level=confidence_level, segments=segments,
    )  # fmt: skip


def _walk(curve: Curve, limit: float, side: float) -> float:
    """Return a value beyond the crossing on one side, or the bound of the parameter.

    Where the model is not defined that far, the way back to the last value at which it is gets halved.
    """
    bound = curve.lower if side < 0 else curve.upper
    span = (bound - curve.best) * side
    step, reached, edge, reason = curve.step * math.sqrt(limit), 0.0, math.inf, "the data do not limit it"
    for _ in range(_MAX_WALK):
        step = min(step, span)
        value = bound if step == span else curve.best + side * step
        try:
            if curve.excess(value, limit) > 0 or value == bound:
                return value
            reached = step
        except NumericalFailure as failure:
            edge, reason = step, f"further out {failure.message}"
        if edge - reached < _EDGE * edge:
            break
        step = min(_GROWTH * reached, 0.5 * (reached + edge)) if reached else 0.5 * edge
    value = curve.best + side * reached
    message = f"t({curve.name}) does not reach {limit:.4g} at {value:.6g}: {reason}"
    raise NumericalFailure(message, code="interval.open", hint="give the parameter bounds")


def _segments(curve: Curve, points: Sequence[float], limit: float) -> tuple[Segment, ...]:
    inside = [curve.excess(value, limit) <= 0 for value in points]
    segments: list[Segment] = []
    low: float | None = points[0] if inside[0] else None
    for left, right, was, now in zip(points, points[1:], inside, inside[1:], strict=False):
        if was == now:
            continue
        crossing = _crossing(lambda value: curve.excess(value, limit), left, right)
        if now:
            low = crossing
        elif low is not None:
            segments.append(_segment(curve, low, crossing))
            low = None
    if low is not None:
        segments.append(_segment(curve, low, points[-1]))
    return tuple(segments)


def _segment(curve: Curve, low: float, high: float) -> Segment:
    return Segment(low=low, high=high, low_at_bound=low <= curve.lower, high_at_bound=high >= curve.upper)


def _crossing(excess: Callable[[float], float], left: float, right: float) -> float:
    return float(brentq(excess, left, right, xtol=1e-9 * max(1.0, abs(right - left)), rtol=1e-10))
