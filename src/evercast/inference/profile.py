"""Profile likelihood in one parameter: scan, and intervals from it that may have several parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.inference.fit import FitResult, fit, not_above
from evercast.inference.intervals import Curve, Interval, Segment, find_interval, quantile
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Interval", "Profile", "Scan", "Segment", "quantile", "scan_range"]


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


class Profile:
    """The profile likelihood of one parameter; conditional fits start where their nearest neighbour predicts them.

    Args:
        likelihood: what is profiled.
        poi: the parameter.
        best: the free fit; None makes it. Where a conditional fit turns out lower, it is replaced.
        bounds: of parameters in the free fit, instead of those of the model.

    Raises:
        NumericalFailure: the free fit failed.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        poi: str,
        *,
        best: FitResult | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._likelihood = likelihood
        self.poi = poi
        self._index = likelihood.index(poi)
        self._bounds = bounds
        self.best = best if best is not None else fit(likelihood, bounds=bounds)
        self._known: dict[float, FitResult] = {}

    @property
    def poi_hat(self) -> float:
        """The best-fit value."""
        return float(self.best.theta[self._index])

    @property
    def fits(self) -> tuple[FitResult, ...]:
        """The best fit and all conditional ones."""
        return (self.best, *self._known.values())

    def conditional(self, value: float) -> FitResult:
        """Return the fit with the parameter held at `value`.

        Raises:
            NumericalFailure: it failed from the nearest known fit and from the initial values.
        """
        if value not in self._known:
            nearest = min([self.best, *self._known.values()], key=lambda entry: abs(entry.theta[self._index] - value))
            held = {self.poi: value}
            try:
                found = fit(self._likelihood, fixed=held, start=self._predicted(nearest, value))
            except NumericalFailure:
                found = fit(self._likelihood, fixed=held)
            self._known[value] = found
            self.best = not_above(self._likelihood, self.best, found, bounds=self._bounds)
        return self._known[value]

    def _predicted(self, known: FitResult, value: float) -> Float[np.ndarray, " parameters"]:
        """Return where the fit is expected, by the implicit function theorem from a known one.

        The free parameters follow d theta / d mu = -H^-1 H_mu, with the Hessian of the known fit.
        """
        theta, index = known.theta.copy(), self._index
        working = np.array([not (entry.fixed or entry.at_bound) for entry in known.parameters])
        working[index] = False
        if working.any():
            step = -np.linalg.solve(known.hessian[np.ix_(working, working)], known.hessian[working, index])
            moved = theta[working] + step * (value - theta[index])
            theta[working] = np.clip(moved, self._likelihood.lower[working], self._likelihood.upper[working])
        theta[index] = value
        return theta if np.isfinite(self._likelihood.twice_nll(theta)) else known.theta

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

    def interval(self, confidence_level: float, *, scan: Scan | None = None, minima: Sequence[float] = ()) -> Interval:
        """Return where t is below the quantile, by root finding on conditional fits (as MINOS does).

        Args:
            confidence_level: e.g. 0.6827.
            scan: adds the parts of the interval that it shows besides the one around the best fit.
            minima: further values, of minima, whose parts may be narrower than the steps of the scan.

        Raises:
            NumericalFailure: a fit failed, or no crossing was found.
        """
        points = scan.values.tolist() if scan is not None else []
        return find_interval(self._curve(), confidence_level, points=[*points, *minima])

    def _curve(self) -> Curve:
        lower, upper = self._likelihood.lower[self._index], self._likelihood.upper[self._index]
        return Curve(
            name=self.poi, t=self.t, best=self.poi_hat, step=self._first_step(), lower=float(lower), upper=float(upper)
        )

    def _first_step(self) -> float:
        uncertainty = self.best.parameter(self.poi).uncertainty
        if uncertainty:
            return uncertainty
        span = float(self._likelihood.upper[self._index] - self._likelihood.lower[self._index])
        return 0.02 * span if np.isfinite(span) else 0.1 * max(1.0, abs(self.poi_hat))


def scan_range(profile: Profile, likelihood: Likelihood) -> tuple[float, float]:
    """Return best fit -+ 3 standard deviations, within the bounds of the parameter; the bounds where it lies at one."""
    index = likelihood.index(profile.poi)
    low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
    uncertainty = profile.best.parameter(profile.poi).uncertainty
    if uncertainty is None:
        span = high - low if np.isfinite(high - low) else 10.0
        return max(low, profile.poi_hat - 0.5 * span), min(high, profile.poi_hat + 0.5 * span)
    return max(low, profile.poi_hat - 3 * uncertainty), min(high, profile.poi_hat + 3 * uncertainty)
