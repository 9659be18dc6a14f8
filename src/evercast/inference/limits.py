"""CLs upper limits with asymptotic distributions: observed, and for the quantiles of the background."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.asymptotics import BANDS, cls_values
from evercast.inference.fit import FitResult, fit, poi_of
from evercast.inference.profile import Profile
from evercast.inference.regime import low_counts
from evercast.likelihood.evaluate import Likelihood

__all__ = ["LimitStatistic", "UpperLimit", "upper_limit"]

LimitStatistic = Literal["q-tilde", "q"]

_MAX_DOUBLINGS = 60
_MAX_STEPS = 64
_FIRST_STEP, _LAST_STEP = 1.02, 1.5
"""Factors by which a limit is searched: the first from a good start, squared each time up to the last."""
_SQUARINGS = 8
"""After so many the last factor is passed by far; more would leave the range of numbers."""
_TOLERANCE = 1e-6
"""Relative accuracy of a limit."""
_OUTWARD = 1e-4
"""Of slope^2 / curvature: the minimum lies this far in -2 ln L, times two, beyond a bound."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UpperLimit:
    """Largest value of the parameter of interest with CLs of at least 1 - confidence level.

    Args:
        observed: None where only expected limits were asked for.
        expected: at -2, -1, 0, 1, 2 standard deviations of the background, smallest first.
        statistic: ``q-tilde`` or ``q`` (arXiv:1007.1727, equations 16 and 14).
        method: ``asymptotic`` or ``toys``.
        fits: all that were made.
        remarks: what a reader must know, e.g. why asymptotic formulas may not hold.
        error: statistical uncertainty of `observed`, from toys; None for ``asymptotic``.
    """

    poi: str
    confidence_level: float
    observed: float | None
    expected: tuple[float, ...]
    statistic: LimitStatistic
    method: Literal["asymptotic", "toys"]
    asimov: str
    fits: tuple[FitResult, ...]
    status: str
    remarks: tuple[str, ...] = ()
    error: float | None = None


class _Tests:
    """CLs as a function of the tested value; every fit is kept and starts the next."""

    def __init__(self, likelihood: Likelihood, poi: str, statistic: LimitStatistic, *, observed: bool) -> None:
        self.poi = poi
        index = likelihood.index(poi)
        high = float(likelihood.upper[index])
        low = 0.0 if statistic == "q-tilde" else float(likelihood.lower[index])
        self.bounds = {poi: (low, high)}
        self._statistic = statistic
        theta = likelihood.initial.copy()
        theta[index] = 0.0
        self.data: Profile | None = None
        self.fits: list[FitResult] = []
        if observed:
            background = fit(likelihood, fixed={poi: 0.0})
            self.data = Profile(likelihood, poi, bounds=self.bounds, best=_free(likelihood, poi, self.bounds))
            theta = background.theta
            self.fits.append(background)
        self.theta = theta
        model = asimov_model(likelihood, theta)
        self.asimov = model.asimov or ""
        expected = Likelihood(model)
        self.background = Profile(
            expected, poi, bounds=self.bounds, best=fit(expected, bounds=self.bounds, start=theta)
        )

    def q(self, profile: Profile, value: float) -> float:
        """Return the test statistic at a value."""
        t = profile.t(value)
        return 0.0 if profile.poi_hat > value else t

    def observed(self, value: float) -> float:
        """Return CLs of the data."""
        if self.data is None:
            raise InvalidInput("no observed result was asked for", code="limit.observed")
        q_asimov = self.q(self.background, value)
        return cls_values(self.q(self.data, value), q_asimov, statistic=self._statistic)[0] if q_asimov > 0 else 1.0

    def expected(self, value: float, band: int) -> float:
        """Return CLs at a quantile of the background."""
        q_asimov = self.q(self.background, value)
        return cls_values(q_asimov, q_asimov)[1][band] if q_asimov > 0 else 1.0

    def all_fits(self) -> tuple[FitResult, ...]:
        """Return every fit made."""
        known = [*self.background.fits, *(self.data.fits if self.data is not None else ())]
        return (*self.fits, *known)


def _free(likelihood: Likelihood, poi: str, bounds: dict[str, tuple[float, float]]) -> FitResult:
    start = likelihood.initial.copy()
    index = likelihood.index(poi)
    start[index] = np.clip(start[index], *bounds[poi])
    return fit(likelihood, bounds=bounds, start=None if poi in likelihood.nonlinear else start)


def upper_limit(
    likelihood: Likelihood,
    *,
    poi: str | None = None,
    confidence_level: float = 0.95,
    observed: bool = True,
    statistic: LimitStatistic = "q-tilde",
) -> UpperLimit:
    """Return the CLs upper limits, asymptotic; root finding in the logarithm of CLs.

    Args:
        likelihood: observed data.
        poi: parameter of interest; None takes the declared one.
        confidence_level: e.g. 0.95.
        observed: False leaves the data out: Asimov data are those of the initial values (blind).
        statistic: ``q-tilde`` (the best fit is not below 0) or ``q``.

    Raises:
        NumericalFailure: a fit failed; ``limit.open``, CLs does not fall to 1 - confidence level.
        InvalidInput: the level is not between 0 and 1, or nothing depends on the parameter of interest;
            ``limit.bounded``, q of data whose best fit is held at a bound.
    """
    name = poi_of(likelihood, poi)
    if not 0.0 < confidence_level < 1.0:
        message = f"the confidence level must lie between 0 and 1, found {confidence_level}"
        raise InvalidInput(message, code="limit.level")
    tests = _Tests(likelihood, name, statistic, observed=observed)
    _refuse_bounded(tests, likelihood, statistic)
    size = 1.0 - confidence_level
    expected = _expected(tests, size, _scale(tests, likelihood))
    found = _root(tests.observed, size, _near(tests, size, expected[2]), name) if observed else None
    fits = tests.all_fits()
    status = "at-bound" if tests.data is not None and tests.data.best.status == "at-bound" else "ok"
    return UpperLimit(
        poi=name, confidence_level=confidence_level, observed=found, expected=expected, statistic=statistic,
        method="asymptotic", asimov=tests.asimov, fits=fits, status=status,
        remarks=_remarks(tests, likelihood, found),
    )  # fmt: skip


def _refuse_bounded(tests: _Tests, likelihood: Likelihood, statistic: LimitStatistic) -> None:
    """Refuse q of data whose best fit is held at the lower bound: q is defined with the unbounded best fit."""
    if statistic == "q-tilde" or tests.data is None:
        return
    best, index, low = tests.data.best, likelihood.index(tests.poi), tests.bounds[tests.poi][0]
    slope, curvature = likelihood.gradient(best.theta)[index], abs(best.hessian[index, index])
    if best.theta[index] <= low and slope > 0 and slope**2 > _OUTWARD * curvature:
        message = f"the best fit is held at the lower bound {low:.6g} of '{tests.poi}': q needs that without the bound"
        raise InvalidInput(message, code="limit.bounded", hint="lower the bound, or take q-tilde")


def _scale(tests: _Tests, likelihood: Likelihood) -> float:
    """Return mu / sqrt(q) on the background Asimov data, the standard deviation of the parameter of interest."""
    high = float(likelihood.upper[likelihood.index(tests.poi)])
    uncertainty = tests.background.best.parameter(tests.poi).uncertainty
    value = uncertainty or (0.1 * high if np.isfinite(high) else 1.0)
    for _ in range(_MAX_DOUBLINGS):
        q = tests.q(tests.background, value)
        if q > 1e-3:
            return value / math.sqrt(q)
        value *= 4.0
        if value > 1e12:
            break
    message = f"nothing observable depends on '{tests.poi}': q on background Asimov data is {q:.3g} at {value:.3g}"
    raise InvalidInput(message, code="cls.no-sensitivity", hint="is the signal empty in every bin?")


def _expected(tests: _Tests, size: float, scale: float) -> tuple[float, ...]:
    """Return the limits at the quantiles of the background; each starts where sqrt(q) would be if it were linear.

    CLs at the quantile b is `size` where Phi(-(b + sqrt(q))) = size Phi(-b) (arXiv:1007.1727, equations 57 and 59).
    """
    found: list[float] = []
    for band, quantile in enumerate(BANDS):
        root = float(-ndtri(size * ndtr(-quantile))) - quantile
        found.append(_root(partial(tests.expected, band=band), size, scale * root, tests.poi))
        scale = found[-1] / root
    return tuple(found)


def _near(tests: _Tests, size: float, median: float) -> float:
    """Return the observed limit of a Gaussian likelihood whose median limit is `median`."""
    sigma = median / float(-ndtri(0.5 * size))
    pull = 0.0 if tests.data is None else tests.data.poi_hat / sigma
    found = sigma * (pull - float(ndtri(size * ndtr(pull))))
    return found if math.isfinite(found) and found > 0 else median


def _root(cls: Callable[[float], float], size: float, start: float, name: str) -> float:
    """Return where CLs is `size`: bracketed in steps about `start` that widen, then narrowed."""

    def excess(value: float) -> float:
        return math.log(max(cls(value), 1e-300) / size)

    low = high = start
    downwards = excess(start) < 0
    for number in range(_MAX_STEPS):
        step = min(_FIRST_STEP ** (2.0 ** min(number, _SQUARINGS)), _LAST_STEP)
        if downwards:
            low, high = low / step, low
            if excess(low) >= 0:
                break
        else:
            low, high = high, high * step
            if excess(high) < 0:
                break
    else:
        if downwards:
            message = f"CLs is below {size:.3g} down to {name} = {low:.4g}"
            raise NumericalFailure(message, code="limit.zero", hint="the data exclude the absence of a signal")
        message = f"CLs does not fall to {size:.3g}: it is {cls(high):.4g} at {name} = {high:.4g}"
        raise NumericalFailure(message, code="limit.open", hint="scan CLs with evercast cls")
    return float(brentq(excess, low, high, xtol=_TOLERANCE * high, rtol=_TOLERANCE))


def _remarks(tests: _Tests, likelihood: Likelihood, observed: float | None) -> tuple[str, ...]:
    remarks = list(low_counts(likelihood, tests.theta, observed=tests.data is not None))
    high = float(likelihood.upper[likelihood.index(tests.poi)])
    if observed is not None and observed > high:
        remarks.append(f"the limit lies beyond the upper bound {high:.6g} of {tests.poi}")
    return tuple(remarks)
