"""Profile likelihood in one parameter: scan, and intervals from it that may have several parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import chdtri

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.fit import FitResult, fit, not_above
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Interval", "Profile", "Scan", "Segment", "quantile", "scan_range"]

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """t(value) = -2 ln of the profile likelihood ratio (arXiv:1007.1727, equation 8).

    Args:
        values: (points,).
        t: (points,) not negative; NaN never occurs: where a fit failed the point is left out and named in `failed`.
        minima: values of local minima, the best fit first.
        failed: (value, reason).
    """

    poi: str
    values: Float[np.ndarray, " points"]
    t: Float[np.ndarray, " points"]
    minima: tuple[float, ...]
    failed: tuple[tuple[float, str], ...]


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


class Profile:
    """The profile likelihood of one parameter, with conditional fits started from their nearest neighbours.

    Args:
        likelihood: what is profiled.
        poi: the parameter.
        best: the free fit; None makes it. Where a conditional fit turns out lower, it is replaced.

    Raises:
        NumericalFailure: the free fit failed.
    """

    def __init__(self, likelihood: Likelihood, poi: str, *, best: FitResult | None = None) -> None:
        self._likelihood = likelihood
        self.poi = poi
        self._index = likelihood.index(poi)
        self.best = best if best is not None else fit(likelihood)
        self._known: dict[float, FitResult] = {}

    @property
    def poi_hat(self) -> float:
        """The best-fit value."""
        return float(self.best.theta[self._index])

    def conditional(self, value: float) -> FitResult:
        """Return the fit with the parameter held at `value`.

        Raises:
            NumericalFailure: it failed from the nearest known fit and from the initial values.
        """
        if value not in self._known:
            nearest = min([self.best, *self._known.values()], key=lambda entry: abs(entry.theta[self._index] - value))
            held = {self.poi: value}
            try:
                found = fit(self._likelihood, fixed=held, start=nearest.theta)
            except NumericalFailure:
                found = fit(self._likelihood, fixed=held)
            self._known[value] = found
            self.best = not_above(self._likelihood, self.best, found)
        return self._known[value]

    def t(self, value: float) -> float:
        """Return -2 ln of the profile likelihood ratio.

        Raises:
            NumericalFailure: the fit failed.
        """
        conditional = self.conditional(value)
        return max(conditional.twice_nll - self.best.twice_nll, 0.0)

    def scan(self, values: Sequence[float]) -> Scan:
        """Return t at each value, from the best fit outward.

        Raises:
            NumericalFailure: every point failed.
        """
        failed: list[tuple[float, str]] = []
        for value in sorted(values, key=lambda entry: abs(entry - self.poi_hat)):
            try:
                self.conditional(float(value))
            except NumericalFailure as failure:
                failed.append((float(value), failure.message))
        done = sorted(float(value) for value in set(values) if float(value) in self._known)
        if not done:
            raise NumericalFailure(f"every point of the scan failed; first: {failed[0][1]}", code="scan.failed")
        t = np.array([self.t(value) for value in done])
        points = np.array(done)
        return Scan(poi=self.poi, values=points, t=t, minima=self._minima(points, t), failed=tuple(failed))

    def _minima(self, values: Float[np.ndarray, " points"], t: Float[np.ndarray, " points"]) -> tuple[float, ...]:
        """Return the best fit and the inner local minima of the scan that are not it."""
        inner = [i for i in range(1, len(t) - 1) if t[i] < t[i - 1] and t[i] <= t[i + 1]]
        others = [float(values[i]) for i in inner if not values[i - 1] <= self.poi_hat <= values[i + 1]]
        return (self.poi_hat, *others)

    def interval(self, confidence_level: float, *, scan: Scan | None = None) -> Interval:
        """Return where t is below the quantile, by root finding on conditional fits (as MINOS does).

        Args:
            confidence_level: e.g. 0.6827.
            scan: adds the parts of the interval that it shows besides the one around the best fit.

        Raises:
            NumericalFailure: a fit failed, or no crossing was found.
        """
        limit = quantile(confidence_level)
        reached = [self._walk(limit, side) for side in (-1.0, 1.0)]
        points = sorted({*reached, self.poi_hat, *(scan.values.tolist() if scan is not None else ())})
        segments = self._segments(points, limit)
        home = next(entry for entry in segments if entry.low <= self.poi_hat <= entry.high)
        return Interval(
            low=home.low, high=home.high, low_at_bound=home.low_at_bound, high_at_bound=home.high_at_bound,
            confidence_level=confidence_level, segments=segments,
        )  # fmt: skip

    def _excess(self, value: float, limit: float) -> float:
        return -limit if value == self.poi_hat else self.t(value) - limit

    def _walk(self, limit: float, side: float) -> float:
        """Return a value beyond the crossing on one side, or the bound of the parameter.

        Where the model is not defined that far, the way back to the last value at which it is gets halved.
        """
        bound = float((self._likelihood.lower if side < 0 else self._likelihood.upper)[self._index])
        step, reached, edge, reason = self._first_step() * math.sqrt(limit), 0.0, math.inf, "the data do not limit it"
        for _ in range(_MAX_WALK):
            step = min(step, (bound - self.poi_hat) * side)
            value = bound if step == (bound - self.poi_hat) * side else self.poi_hat + side * step
            try:
                if self._excess(value, limit) > 0 or value == bound:
                    return value
                reached = step
            except NumericalFailure as failure:
                edge, reason = step, f"further out {failure.message}"
            if edge - reached < _EDGE * edge:
                break
            step = min(_GROWTH * reached, 0.5 * (reached + edge)) if reached else 0.5 * edge
        value = self.poi_hat + side * reached
        message = f"t({self.poi}) does not reach {limit:.4g} at {value:.6g}: {reason}"
        raise NumericalFailure(message, code="interval.open", hint="give the parameter bounds")

    def _first_step(self) -> float:
        uncertainty = self.best.parameter(self.poi).uncertainty
        if uncertainty:
            return uncertainty
        span = float(self._likelihood.upper[self._index] - self._likelihood.lower[self._index])
        return 0.02 * span if np.isfinite(span) else 0.1 * max(1.0, abs(self.poi_hat))

    def _segments(self, points: Sequence[float], limit: float) -> tuple[Segment, ...]:
        inside = [self._excess(value, limit) <= 0 for value in points]
        segments: list[Segment] = []
        low: float | None = points[0] if inside[0] else None
        for left, right, was, now in zip(points, points[1:], inside, inside[1:], strict=False):
            if was == now:
                continue
            crossing = self._crossing(lambda value: self._excess(value, limit), left, right)
            if now:
                low = crossing
            elif low is not None:
                segments.append(self._segment(low, crossing))
                low = None
        if low is not None:
            segments.append(self._segment(low, points[-1]))
        return tuple(segments)

    def _segment(self, low: float, high: float) -> Segment:
        lower, upper = self._likelihood.lower[self._index], self._likelihood.upper[self._index]
        return Segment(low=low, high=high, low_at_bound=bool(low <= lower), high_at_bound=bool(high >= upper))

    def _crossing(self, excess: Callable[[float], float], left: float, right: float) -> float:
        return float(brentq(excess, left, right, xtol=1e-9 * max(1.0, abs(right - left)), rtol=1e-10))


def scan_range(profile: Profile, likelihood: Likelihood) -> tuple[float, float]:
    """Return best fit -+ 3 standard deviations, within the bounds of the parameter; the bounds where it lies at one."""
    index = likelihood.index(profile.poi)
    low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
    uncertainty = profile.best.parameter(profile.poi).uncertainty
    if uncertainty is None:
        span = high - low if np.isfinite(high - low) else 10.0
        return max(low, profile.poi_hat - 0.5 * span), min(high, profile.poi_hat + 0.5 * span)
    return max(low, profile.poi_hat - 3 * uncertainty), min(high, profile.poi_hat + 3 * uncertainty)
