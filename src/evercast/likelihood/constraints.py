"""The constraint terms of all parameters, in closed form; all constants included, as in pyhf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln

from evercast.likelihood.model import LikelihoodModel, ParameterModel
from evercast.likelihood.terms import DiagonalTerm, Expansion, Expansions

__all__ = ["ConstraintBatch", "ConstraintTerm", "log_factorial_excess", "poisson_excess"]

Own = Float[np.ndarray, " own"]
Points = Float[np.ndarray, " points"]
Counts = Float[np.ndarray, "..."]

_ASYMPTOTIC = 1000.0
"""Above it three terms of the series are exact in float64: the next is 1 / (1260 n^5)."""


def log_factorial_excess(count: Counts) -> Counts:
    """Return n - n ln n + ln Gamma(n + 1), by its asymptotic series for large n; 0 at n = 0.

    With it -ln Poisson(n | rate) = n (x - ln(1 + x)) + excess, x = (rate - n) / n: nothing large is subtracted, where
    the plain form loses 2e-3 at the 1e13 auxiliary counts of a published likelihood.
    """
    large = np.maximum(count, _ASYMPTOTIC)
    series = 0.5 * np.log(2.0 * math.pi * large) + 1.0 / (12.0 * large) - 1.0 / (360.0 * large**3)
    small = np.where((count > 0) & (count <= _ASYMPTOTIC), count, 1.0)
    direct = small - small * np.log(small) + gammaln(small + 1.0)
    return np.where(count > _ASYMPTOTIC, series, np.where(count > 0, direct, 0.0))


def poisson_excess(rate: Counts, count: Counts) -> Counts:
    """Return n (x - ln(1 + x)), x = (rate - n) / n, the part of -ln Poisson(n | rate) that depends on the rate.

    Near x = 0 nothing large is subtracted, near x = -1 (a rate far below the count) ln(rate / n) keeps the digits that
    1 + x would lose. 0 where the count is 0, or the rate not positive.
    """
    usable = (count > 0) & (rate > 0)
    safe, own = np.where(usable, count, 1.0), np.where(usable, rate, 1.0)
    excess = (own - safe) / safe
    logarithm = np.where(excess > -0.5, np.log1p(excess), np.log(own / safe))
    return np.where(usable, safe * (excess - logarithm), 0.0)


class _Diagonal(NamedTuple):
    """Values (points,), gradients and diagonals of Hessians (points, own)."""

    value: Points
    gradient: Float[np.ndarray, "points own"]
    bend: Float[np.ndarray, "points own"]


@dataclass(frozen=True, slots=True, eq=False)
class _Constraints:
    """Normal and Poisson constraints of parameters with their global observables.

    Args:
        normal: (own,) else Poisson.
        scale: (1 or data sets, own) widths, or auxiliary counts at 1.
        observed: (data sets, own) global observables.
    """

    normal: Bool[np.ndarray, " own"]
    scale: Float[np.ndarray, "any own"]
    observed: Float[np.ndarray, "datasets own"]

    def of_rows(self, rows: Int[np.ndarray, " points"]) -> _Constraints:
        """Return the constraints with one data set for each point."""
        return _Constraints(self.normal, self.scale[rows] if len(self.scale) > 1 else self.scale, self.observed[rows])

    def expand(self, own: Float[np.ndarray, "points own"]) -> _Diagonal:
        """Return value, gradient and diagonal of the Hessian; infinite where a rate is negative, or 0 with counts."""
        inverse = 1.0 / self.scale**2
        slope, bend = 2.0 * (own - self.observed) * inverse, np.broadcast_to(2.0 * inverse, own.shape)
        if not self.normal.all():
            positive = (own > 0) & ~self.normal
            safe = np.where(positive, own, 1.0)
            slope_poisson = 2.0 * (self.scale - np.where(positive, self.observed / safe, 0.0))
            slope = np.where(self.normal, slope, slope_poisson)
            bend = np.where(self.normal, bend, np.where(positive, 2.0 * self.observed / safe**2, 0.0))
        return _Diagonal(self.value(own), slope, bend)

    def value(self, own: Float[np.ndarray, "points own"]) -> Points:
        """Return the values."""
        pull = (own - self.observed) / self.scale
        normal = pull**2 + 2.0 * np.log(self.scale) + math.log(2.0 * math.pi)
        if self.normal.all():
            total = np.sum(normal, axis=1)
            return np.where(np.isnan(total), np.inf, total)
        rate, counted = self.scale * own, self.observed > 0
        poisson = np.where(counted, poisson_excess(rate, self.observed), rate) + log_factorial_excess(self.observed)
        bad = ~self.normal & ~((rate > 0) | ((rate == 0) & ~counted))
        total = np.sum(np.where(self.normal, normal, 2.0 * poisson), axis=1)
        return np.where(np.any(bad, axis=1) | np.isnan(total), np.inf, total)


class ConstraintTerm(DiagonalTerm):
    """-2 ln of Normal(global observable | parameter, width) and Poisson(global observable | factor x parameter).

    Args:
        parameters: all of the likelihood; those without a constraint take no part.
    """

    def __init__(self, parameters: Sequence[ParameterModel]) -> None:
        self.index = np.array([i for i, p in enumerate(parameters) if p.constraint != "none"], dtype=np.int64)
        used = [parameters[i] for i in self.index]
        self._all = _Constraints(
            normal=np.array([p.constraint == "normal" for p in used], dtype=bool),
            scale=np.array([[p.width if p.constraint == "normal" else p.factor for p in used]], dtype=float),
            observed=np.array([[p.global_observable for p in used]], dtype=float),
        )
        self.rounding = 0.0

    @property
    def fast(self) -> ConstraintTerm:
        """Itself."""
        return self

    def value(self, own: Own) -> float:
        """Return the value; infinite where an expected count is negative, or zero with counts."""
        return float(self._all.value(own[None])[0])

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        return self.expand_diagonal(own)[:2]

    def expand_diagonal(self, own: Own) -> tuple[float, Own, Own]:
        """Return value, gradient and the diagonal of the Hessian."""
        found = self._all.expand(own[None])
        return float(found.value[0]), found.gradient[0], found.bend[0]

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and the diagonal Hessian."""
        value, gradient, bend = self.expand_diagonal(own)
        return Expansion(value, gradient, np.diag(bend))

    @staticmethod
    def expand_together(terms: Sequence[ConstraintTerm], own: Float[np.ndarray, "points own"]) -> _Diagonal:
        """Return values, gradients and diagonals of one term for each point, with the same kinds of constraints."""
        scale, observed = (
            np.concatenate(entries)
            for entries in zip(*((term._all.scale, term._all.observed) for term in terms), strict=True)
        )
        return _Constraints(terms[0]._all.normal, scale, observed).expand(own)

    def is_like(self, other: ConstraintTerm) -> bool:
        """Return whether the same parameters have the same kinds of constraints."""
        return np.array_equal(self.index, other.index) and np.array_equal(self._all.normal, other._all.normal)

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:  # noqa: ARG002  (there is no channel)
        """Return nothing: there is no channel."""
        return {}

    def batch(self, models: Sequence[LikelihoodModel]) -> ConstraintBatch:
        """Return the constraints around the global observables of each model."""
        observed = [[model.parameters[i].global_observable for i in self.index] for model in models]
        return ConstraintBatch(replace(self._all, observed=np.array(observed)) if models else self._all)


@dataclass(frozen=True, slots=True, eq=False)
class ConstraintBatch:
    """The constraint terms of many data sets."""

    constraints: _Constraints

    @property
    def is_compiled(self) -> bool:
        """Whether each number of points is compiled for."""
        return False

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy."""
        return len(self.constraints.normal) ** 2

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        value, gradient, bend = self.constraints.of_rows(rows).expand(own)
        return Expansions(value, gradient, bend[:, :, None] * np.eye(own.shape[1]))
