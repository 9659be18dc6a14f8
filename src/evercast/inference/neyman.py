"""Neyman construction (arXiv:2412.01600): acceptance of t_mu from pseudo-experiments at each tested value; coverage.

With interference or at a boundary t_mu does not follow chi2; its own distribution at each value does not care. Nuisance
parameters are those profiled to the data at the value, or nominal; global observables are thrown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq

from evercast.errors import InvalidInput
from evercast.inference.intervals import quantile
from evercast.inference.toy_statistics import ToySample

_EDGE = 1e-4
"""Accuracy of an end, of the distance of the tested values about it: far below what the acceptance is known to."""

__all__ = ["Acceptance", "Coverage", "NeymanInterval", "coverage_of", "critical_value", "neyman_interval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One tested value.

    Args:
        critical: t below which the fraction `confidence_level` of the pseudo-experiments lies.
        error: statistical uncertainty of `critical`, from the order statistics one standard deviation away.
        asymptotic: the quantile of chi2 with one degree of freedom.
        t: of the data; None where they were not looked at.
        p: fraction of pseudo-experiments with t at least that of the data; None as `t`.
    """

    value: float
    critical: float
    error: float
    asymptotic: float
    t: float | None
    p: float | None
    n_toys: int
    n_failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NeymanInterval:
    """Values whose t lies within their acceptance, which is interpolated linearly between those tested.

    Args:
        segments: (low, high) of each part; an end at the first or last tested value is not a crossing.
        open_low, open_high: the first, the last tested value is accepted.
        asymptotic_segments: the same with the quantile of chi2.
    """

    confidence_level: float
    points: tuple[Acceptance, ...]
    segments: tuple[tuple[float, float], ...]
    asymptotic_segments: tuple[tuple[float, float], ...]
    open_low: bool
    open_high: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often intervals hold the true value.

    Args:
        value: the true one.
        asymptotic: fraction of pseudo-experiments whose asymptotic interval holds it: t below the quantile of chi2.
        neyman: the same with the acceptance of the first half of the pseudo-experiments, counted in the second half.
        error: binomial standard deviation of `asymptotic` at the nominal level.
        neyman_error: of `neyman`, with that of the acceptance.
    """

    value: float
    confidence_level: float
    asymptotic: float
    error: float
    neyman: float
    neyman_error: float
    n_toys: int
    n_failed: int


def critical_value(t: Float[np.ndarray, " toys"], confidence_level: float) -> tuple[float, float]:
    """Return the quantile of t and its statistical uncertainty.

    Raises:
        InvalidInput: ``neyman.too-few``, fewer than ten pseudo-experiments lie above it.
    """
    if len(t) * (1.0 - confidence_level) < 10:
        message = f"{len(t)} pseudo-experiments are too few for the quantile {confidence_level:.4g}"
        raise InvalidInput(message, code="neyman.too-few", hint="at least ten must lie above it")
    spread = math.sqrt(confidence_level * (1.0 - confidence_level) / len(t))
    low, middle, high = np.quantile(t, np.clip([confidence_level + k * spread for k in (-1, 0, 1)], 0.0, 1.0))
    return float(middle), float(0.5 * (high - low))


def neyman_interval(
    samples: Mapping[float, ToySample],
    *,
    confidence_level: float,
    observed: Mapping[float, float] | None = None,
    profile: Callable[[float], float] | None = None,
) -> NeymanInterval:
    """Return the interval that follows from pseudo-experiments thrown at and tested against each value.

    Args:
        samples: tested value -> its pseudo-experiments (statistic ``t``).
        confidence_level: e.g. 0.6827.
        observed: tested value -> t of the data; None where they are not looked at.
        profile: t of the data at any value, for the ends between tested values; None: it is interpolated linearly, and
            intervals are too narrow where few values are tested, since t is convex.

    Raises:
        InvalidInput: fewer than two values, or too few pseudo-experiments.
        NumericalFailure: more than 2 % of the pseudo-experiments of a value failed.
    """
    values = sorted(samples)
    if len(values) < 2:
        raise InvalidInput(f"a construction needs two values or more, found {len(values)}", code="neyman.values")
    points = tuple(_acceptance(value, samples[value], confidence_level, observed) for value in values)
    if observed is None:
        return NeymanInterval(
            confidence_level=confidence_level, points=points, segments=(), asymptotic_segments=(), open_low=False,
            open_high=False,
        )  # fmt: skip
    grid = np.array(values)
    t = np.array([point.t for point in points if point.t is not None])
    critical, asymptotic = (np.array([getattr(point, name) for point in points]) for name in ("critical", "asymptotic"))
    return NeymanInterval(
        confidence_level=confidence_level, points=points, segments=_accepted(grid, t, critical, profile),
        asymptotic_segments=_accepted(grid, t, asymptotic, profile), open_low=bool(t[0] <= critical[0]),
        open_high=bool(t[-1] <= critical[-1]),
    )  # fmt: skip


def _acceptance(
    value: float, sample: ToySample, confidence_level: float, observed: Mapping[float, float] | None
) -> Acceptance:
    t = sample.values()
    critical, error = critical_value(t, confidence_level)
    seen = None if observed is None else observed[value]
    return Acceptance(
        value=value, critical=critical, error=error, asymptotic=quantile(confidence_level), t=seen,
        p=None if seen is None else float(np.mean(t >= seen - 1e-9)), n_toys=len(sample.t), n_failed=sample.n_failed,
    )  # fmt: skip


def _accepted(
    values: Float[np.ndarray, " points"],
    t: Float[np.ndarray, " points"],
    critical: Float[np.ndarray, " points"],
    profile: Callable[[float], float] | None,
) -> tuple[tuple[float, float], ...]:
    """Return the parts where t is not above its critical value."""

    def excess(value: float) -> float:
        own = np.interp(value, values, t) if profile is None else profile(value)
        return float(own - np.interp(value, values, critical))

    inside: Bool[np.ndarray, " points"] = t <= critical
    parts: list[tuple[float, float]] = []
    low: float | None = float(values[0]) if inside[0] else None
    for i in range(len(values) - 1):
        if inside[i] == inside[i + 1]:
            continue
        edge = _edge(excess, float(values[i]), float(values[i + 1]))
        if inside[i + 1]:
            low = edge
        elif low is not None:
            parts.append((low, edge))
            low = None
    if low is not None:
        parts.append((low, float(values[-1])))
    return tuple(parts)


def _edge(excess: Callable[[float], float], low: float, high: float) -> float:
    """Return where `excess` changes its sign; an end at which it is 0 within rounding is one."""
    first, last = excess(low), excess(high)
    if first * last >= 0:
        return low if abs(first) < abs(last) else high
    return float(brentq(excess, low, high, xtol=_EDGE * (high - low)))


def coverage_of(value: float, sample: ToySample, confidence_levels: Sequence[float]) -> tuple[Coverage, ...]:
    """Return the coverage of intervals at each level, for pseudo-experiments thrown at and tested against `value`.

    Raises:
        NumericalFailure: more than 2 % of the pseudo-experiments failed.
        InvalidInput: too few pseudo-experiments.
    """
    t = sample.values()
    half = len(t) // 2
    results = []
    for level in confidence_levels:
        critical, _ = critical_value(t[:half], level)
        spread = math.sqrt(level * (1 - level))
        results.append(
            Coverage(
                value=value,
                confidence_level=level,
                asymptotic=float(np.mean(t <= quantile(level))),
                error=spread / math.sqrt(len(t)),
                neyman=float(np.mean(t[half:] <= critical)),
                neyman_error=spread * math.sqrt(1 / half + 1 / (len(t) - half)),
                n_toys=len(sample.t),
                n_failed=sample.n_failed,
            )
        )
    return tuple(results)
