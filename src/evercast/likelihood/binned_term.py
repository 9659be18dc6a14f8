"""The Poisson bins of all binned channels as one term of a likelihood, with analytic derivatives."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from evercast.likelihood.binned_curvature import add_gradient, hessian_of
from evercast.likelihood.binned_layout import Layout, build_layout
from evercast.likelihood.binned_rates import evaluate_factors, group_rates, group_slopes
from evercast.likelihood.constraints import log_factorial_excess, poisson_excess
from evercast.likelihood.model import BinnedChannelModel, LikelihoodModel, ParameterModel
from evercast.likelihood.terms import Expansion, Expansions

__all__ = ["BinnedBatch", "BinnedTerm"]

Own = Float[np.ndarray, " own"]
Points = Float[np.ndarray, "points own"]


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """The counts of some data sets.

    Args:
        observed: per group (data sets, channels of it, its bins).
        constant: (data sets,) the part of -2 ln L that depends on the counts alone.
    """

    observed: tuple[Float[np.ndarray, "datasets _ _"], ...]
    constant: Float[np.ndarray, " datasets"]


def _counts(layout: Layout, data: Sequence[Sequence[BinnedChannelModel]]) -> _Counts:
    observed = tuple(
        np.array([[channels[i].observed for i in group.channels] for channels in data], dtype=float)
        for group in layout.groups
    )
    excess = (np.sum(log_factorial_excess(counts.reshape(len(data), -1)), axis=1) for counts in observed)
    return _Counts(observed, 2.0 * np.asarray(sum(excess)))


class BinnedTerm:
    """-2 ln of the Poisson probabilities of the counts in all binned channels of a likelihood.

    Nothing is compiled: arrays are small, and derivatives are analytic (`evercast.likelihood.binned_rates`).

    Args:
        parameters: all of the likelihood.
        channels: its binned channels, at least one.
    """

    def __init__(self, parameters: Sequence[ParameterModel], channels: Sequence[BinnedChannelModel]) -> None:
        self._take(build_layout(parameters, [channels]), 0, channels)

    def _take(self, shared: Layout, number: int, channels: Sequence[BinnedChannelModel]) -> None:
        self._shared, self._number = shared, number
        self._layout = shared.of_models(slice(number, number + 1))
        self._channels = tuple(channels)
        self._data = _counts(self._layout, [channels])
        self.index = shared.index
        self.rounding = 0.0

    @classmethod
    def of_models(
        cls, parameters: Sequence[ParameterModel], models: Sequence[Sequence[BinnedChannelModel]]
    ) -> tuple[BinnedTerm, ...]:
        """Return the terms of several models, which can be evaluated together; they differ as `build_layout` says."""
        shared = build_layout(parameters, models)
        found = tuple(cls.__new__(cls) for _ in models)
        for number, (term, channels) in enumerate(zip(found, models, strict=True)):
            term._take(shared, number, channels)
        return found

    def is_like(self, other: BinnedTerm) -> bool:
        """Return whether the term can be evaluated together with another."""
        return self._shared is other._shared

    @staticmethod
    def expand_together(terms: Sequence[BinnedTerm], own: Points) -> Expansions:
        """Return value, gradient and Hessian of one term for each point; all are alike (`is_like`)."""
        numbers = np.array([term._number for term in terms])
        layout = terms[0]._shared
        if not np.array_equal(numbers, np.arange(len(layout.groups[0].nominal))):
            layout = layout.of_models(numbers)
        observed = tuple(np.concatenate(entries) for entries in zip(*(t._data.observed for t in terms), strict=True))
        constant = np.concatenate([term._data.constant for term in terms])
        return _expand(layout, own, _Counts(observed, constant), derivatives=2)

    @property
    def fast(self) -> BinnedTerm:
        """Itself."""
        return self

    def with_counts(self, channels: Sequence[BinnedChannelModel]) -> BinnedTerm:
        """Return the term on other counts; the channels differ in nothing else."""
        other = copy.copy(self)
        other._channels, other._data = tuple(channels), _counts(self._layout, [channels])
        return other

    def value(self, own: Own) -> float:
        """Return the value; infinite where a rate is negative, or zero with counts."""
        return float(_expand(self._layout, own[None], self._data, derivatives=0).value[0])

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient."""
        found = _expand(self._layout, own[None], self._data, derivatives=1)
        return float(found.value[0]), found.gradient[0]

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient and Hessian in one evaluation."""
        found = _expand(self._layout, own[None], self._data, derivatives=2)
        return Expansion(float(found.value[0]), found.gradient[0], found.hessian[0], partial(self._information, own))

    def _information(self, own: Own) -> Float[np.ndarray, "own own"]:
        """Return J^T diag(2 / rate) J, the expected information times two."""
        n = len(own)
        matrix = np.zeros((n, n))
        with np.errstate(all="ignore"):
            factors = evaluate_factors(self._layout, own[None], derivatives=True)
            for group in self._layout.groups:
                rates = group_rates(group, factors)
                part = group_slopes(self._layout, group, factors, rates)
                full = np.zeros((*rates.rates.shape[1:], n + 1))
                full[..., : self._layout.n_global] = part.jacobian[0]
                channel, bins = np.indices(rates.rates.shape[1:])
                for slot, values in zip(
                    np.moveaxis(group.slots, -1, 0), np.moveaxis(part.slots[0], -1, 0), strict=True
                ):
                    full[channel, bins, slot] += values
                flat = full.reshape(-1, n + 1)[:, :n]
                weight = np.where(rates.rates > 0, 2.0 / rates.rates, 0.0).reshape(-1, 1)
                matrix += (weight * flat).T @ flat
        return matrix

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return per channel the expected events of its bins."""
        result: dict[str, Float[np.ndarray, " n"]] = {}
        with np.errstate(all="ignore"):
            factors = evaluate_factors(self._layout, own[None], derivatives=False)
            for group in self._layout.groups:
                rates = group_rates(group, factors).rates[0]
                result |= {self._channels[i].name: rates[k] for k, i in enumerate(group.channels)}
        return result

    def batch(self, models: Sequence[LikelihoodModel]) -> BinnedBatch:
        """Return the term on the counts of each model."""
        data = [[c for c in model.channels if isinstance(c, BinnedChannelModel)] for model in models]
        return BinnedBatch(self._layout, _counts(self._layout, data or [self._channels]))


@dataclass(frozen=True, slots=True, eq=False)
class BinnedBatch:
    """The Poisson bins of many data sets."""

    layout: Layout
    data: _Counts

    @property
    def is_compiled(self) -> bool:
        """Whether each number of points is compiled for."""
        return False

    @property
    def n_values(self) -> int:
        """Numbers that one data set and one Hessian occupy while a point is evaluated."""
        layout = self.layout
        rows = len(layout.programs.of_row) * layout.n_global * 4
        cells = sum(2 * group.up.size + 12 * group.nominal.size for group in layout.groups)
        return rows + cells + 3 * (len(layout.index) + 1) ** 2

    def expand(self, own: Points, rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each point."""
        chosen = _Counts(tuple(counts[rows] for counts in self.data.observed), self.data.constant[rows])
        return _expand(self.layout, own, chosen, derivatives=2)


def _expand(layout: Layout, own: Points, data: _Counts, *, derivatives: int) -> Expansions:
    """Return values with the first `derivatives` derivatives; empty arrays stand for the others."""
    points, n = own.shape
    value = np.broadcast_to(data.constant, points).copy()
    gradient, hessian = np.zeros((points, n + 1)), np.zeros((0, 0, 0))
    with np.errstate(all="ignore"):  # what is undefined is infinite, and its derivatives are not used
        factors = evaluate_factors(layout, own, derivatives=derivatives > 0)
        rates = [group_rates(group, factors) for group in layout.groups]
        for found, observed in zip(rates, data.observed, strict=True):
            value += _poisson(found.rates, observed)
        if derivatives:
            parts = add_gradient(gradient, layout, factors, rates, data.observed)
            hessian = hessian_of(layout, factors, parts) if derivatives > 1 else hessian
    value = np.where(np.isnan(value), np.inf, value)
    return Expansions(value, gradient[:, :n], hessian[:, :n, :n])


def _poisson(
    rates: Float[np.ndarray, "points channels bins"], observed: Float[np.ndarray, "any channels bins"]
) -> Float[np.ndarray, " points"]:
    """Return -2 ln of the Poisson probabilities but for `log_factorial_excess`."""
    counted = observed > 0
    terms = np.where(counted, poisson_excess(rates, observed), rates)
    possible = (rates > 0) | ((rates == 0) & ~counted)
    return np.asarray(2.0 * np.sum(np.where(possible, terms, math.inf), axis=(1, 2)))
