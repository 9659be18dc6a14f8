"""Neyman construction (arXiv:2412.01600): acceptance of t_mu from pseudo-experiments at each tested value; coverage.

With interference or at a boundary t_mu does not follow chi2; its own distribution at each value does not care. Nuisance
parameters are those profiled to the data at the value, or nominal; global observables are thrown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from evercast.errors import InvalidInput
from evercast.inference.intervals import quantile
from evercast.inference.toy_statistics import ToySample

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
    """Values whose t lies within their acceptance, interpolated between those tested.

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
    samples: Mapping[float, ToySample], *, confidence_level: float, observed: Mapping[float, float] | None = None
) -> NeymanInterval:
    """Return the interval that follows from pseudo-experiments thrown at and tested against each value.

    Args:
        samples: tested value -> its pseudo-experiments (statistic ``t``).
        confidence_level: e.g. 0.6827.
        observed: tested value -> t of the data; None where they are not looked at.

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
    excess = np.array([point.t - point.critical for point in points if point.t is not None])
    plain = np.array([point.t - point.asymptotic for point in points if point.t is not None])
    return NeymanInterval(
        confidence_level=confidence_level, points=points, segments=_accepted(grid, excess),
        asymptotic_segments=_accepted(grid, plain), open_low=bool(excess[0] <= 0), open_high=bool(excess[-1] <= 0),
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
    values: Float[np.ndarray, " points"], excess: Float[np.ndarray, " points"]
) -> tuple[tuple[float, float], ...]:
    """Return the parts where `excess` is not positive, with linearly interpolated ends."""
    inside: Bool[np.ndarray, " points"] = excess <= 0
    parts: list[tuple[float, float]] = []
    low: float | None = float(values[0]) if inside[0] else None
    for i in range(len(values) - 1):
        if inside[i] == inside[i + 1]:
            continue
        fraction = excess[i] / (excess[i] - excess[i + 1])
        edge = float(values[i] + fraction * (values[i + 1] - values[i]))
        if inside[i + 1]:
            low = edge
        elif low is not None:
            parts.append((low, edge))
            low = None
    if low is not None:
        parts.append((low, float(values[-1])))
    return tuple(parts)


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
