"""Comparison of two weighted samples that may share events: distances, and what statistics explains of them.

A process sample is often part of the reference mixture, so the process and the reference reweighted to it hold the same
simulated events. Their fluctuations then cancel in every difference. All errors here are those of the difference: the
weights of an event in both samples are subtracted before they are squared, event by event. For samples without common
events this is the sum of both variances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt64
from scipy import stats

from evercast.networks.dataset import effective_sample_size
from evercast.networks.folds import CrossFitting

__all__ = [
    "Agreement", "BinnedDifference", "Matched", "TwoSampleTest", "binned_difference", "kolmogorov_smirnov",
    "score_calibration", "two_sample_test",
]  # fmt: skip

_RIDGE = 1e-6
"""Of the unit-variance features: keeps the least-squares classifier defined where two features are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A distance between two samples and the probability of one at least as large if they are the same."""

    distance: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """Two weighted samples, one after the other, each of total weight 1.

    Args:
        event: (rows,) identity; rows of one identity are one simulated event.
        first: (rows,) weight in the first sample, 0 in rows of the second.
        second: (rows,) weight in the second sample, 0 in rows of the first.
    """

    event: UInt64[np.ndarray, " rows"]
    first: Float64[np.ndarray, " rows"]
    second: Float64[np.ndarray, " rows"]

    def variance(self, weight: Float64[np.ndarray, " rows"]) -> float:
        """Return the sum over simulated events of the squared sum of `weight` over their rows."""
        _, index = np.unique(self.event, return_inverse=True)
        return float(np.sum(np.bincount(index, weight) ** 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedDifference:
    """Two samples in bins, as fractions of their totals: (bins,).

    Args:
        first_error, second_error: of each sample alone.
        error: of the difference, common events accounted for.
        misplaced: half the sum of absolute differences, the share of events that lie in another bin.
    """

    edges: Float64[np.ndarray, " edges"]
    first: Float64[np.ndarray, " bins"]
    first_error: Float64[np.ndarray, " bins"]
    second: Float64[np.ndarray, " bins"]
    second_error: Float64[np.ndarray, " bins"]
    error: Float64[np.ndarray, " bins"]
    chi2: float
    bins: int
    misplaced: float

    @property
    def p(self) -> float:
        """Probability of a chi2 at least as large, if the two samples are the same."""
        return float(stats.chi2.sf(self.chi2, self.bins)) if self.bins else 1.0


def binned_difference(
    samples: Matched, values: Float64[np.ndarray, " rows"], *, bins: int = 20
) -> BinnedDifference | None:
    """Return the comparison of two samples in one observable, None where it does not vary.

    The range holds the inner 99 % of the rows of the first sample. chi2 leaves correlations between bins aside, which
    come from the common normalisation and are of order 1 / bins.
    """
    low, high = np.quantile(values[samples.first != 0.0], [0.005, 0.995])
    if not high > low:
        return None
    edges = np.linspace(low, high, bins + 1)
    inside = (values >= low) & (values <= high)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)[inside]
    first, second, event = samples.first[inside], samples.second[inside], samples.event[inside]
    sums = [np.bincount(place, weight, minlength=bins) for weight in (first, second)]
    errors = [np.sqrt(np.bincount(place, weight**2, minlength=bins)) for weight in (first, second)]
    _, start, index = np.unique(event, return_index=True, return_inverse=True)
    variance = np.bincount(place[start], np.bincount(index, first - second) ** 2, minlength=bins)
    difference = sums[0] - sums[1]
    # below the rounding of float32 log ratios a difference is none, however exactly common events cancel
    total = variance + (1e-6 * (np.abs(sums[0]) + np.abs(sums[1]))) ** 2
    filled = total > 0.0
    return BinnedDifference(
        edges=edges, first=sums[0], first_error=errors[0], second=sums[1], second_error=errors[1],
        error=np.sqrt(total), chi2=float(np.sum(difference[filled] ** 2 / total[filled])),
        bins=int(np.sum(filled)), misplaced=float(np.sum(np.abs(difference)) / 2),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreCalibration:
    """Bins of the score r / (1 + r) with what is in them: (bins,).

    Args:
        score: mean score.
        fraction: share of the first sample.
        error: of `fraction`, common events accounted for.
        log_ratio: mean log ratio the networks give, natural logarithm.
        found: natural logarithm of the ratio of the weights of both samples.
        found_error: its error.
        distance: mean of |fraction - score| over all events.
    """

    score: Float64[np.ndarray, " bins"]
    fraction: Float64[np.ndarray, " bins"]
    error: Float64[np.ndarray, " bins"]
    log_ratio: Float64[np.ndarray, " bins"]
    found: Float64[np.ndarray, " bins"]
    found_error: Float64[np.ndarray, " bins"]
    distance: float
    p: float


def score_calibration(samples: Matched, log_ratio: Float64[np.ndarray, " rows"], *, bins: int = 15) -> ScoreCalibration:
    """Return the calibration of the score: `first` is the process, `second` the reference, not reweighted.

    The bins hold equal numbers of rows; those in which a sample has no positive weight are left out. With f the
    fraction, the error is that of sum_i [(1 - f) a_i - f b_i] / W, a and b the weights of an event in both samples.
    """
    score = (1.0 + np.tanh(0.5 * log_ratio)) / 2.0
    edges = np.unique(np.quantile(log_ratio, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, log_ratio, side="right")
    length = len(edges) + 1
    first, second = (np.bincount(place, weight, minlength=length) for weight in (samples.first, samples.second))
    total = first + second
    good = (first > 0.0) & (second > 0.0)
    safe = np.where(good, total, 1.0)
    fraction = first / safe
    parts = (1.0 - fraction[place]) * samples.first - fraction[place] * samples.second
    _, start, index = np.unique(samples.event, return_index=True, return_inverse=True)
    variance = np.bincount(place[start], np.bincount(index, parts) ** 2, minlength=length)
    both = samples.first + samples.second
    means = [np.bincount(place, both * value, minlength=length) / safe for value in (score, log_ratio)]
    error = np.sqrt(variance) / safe
    odds = np.where(good, first, 1.0) / np.where(good, second, 1.0)
    spread = np.where(good, fraction * (1.0 - fraction), 1.0)
    distance = np.abs(fraction - means[0])
    kept = good & (error > 0.0)
    chi2 = float(np.sum((distance[kept] / error[kept]) ** 2))
    return ScoreCalibration(
        score=means[0][good], fraction=fraction[good], error=error[good], log_ratio=means[1][good],
        found=np.log(odds)[good], found_error=(error / spread)[good],
        distance=float(np.sum((distance * total)[good]) / max(float(np.sum(total[good])), 1e-300)),
        p=float(stats.chi2.sf(chi2, int(np.sum(kept)))) if kept.any() else 1.0,
    )  # fmt: skip


def kolmogorov_smirnov(
    first: Float64[np.ndarray, " first"], first_weight: Float64[np.ndarray, " first"],
    second: Float64[np.ndarray, " second"], second_weight: Float64[np.ndarray, " second"],
) -> Agreement:  # fmt: skip
    """Return the largest distance of two weighted cumulative distributions without common events, with its p-value.

    The asymptotic distribution of Kolmogorov with n = n_1 n_2 / (n_1 + n_2), n_1 and n_2 the effective sample sizes.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    one = np.concatenate([first_weight / np.sum(first_weight), np.zeros(len(second))])[order]
    two = np.concatenate([np.zeros(len(first)), second_weight / np.sum(second_weight)])[order]
    last = np.append(np.diff(values[order]) > 0, True)
    distance = float(np.max(np.abs(np.cumsum(one) - np.cumsum(two))[last]))
    sizes = effective_sample_size(first_weight), effective_sample_size(second_weight)
    size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    return Agreement(distance=distance, p=float(stats.kstwobign.sf(np.sqrt(size) * distance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSampleTest:
    """How well a classifier tells two samples apart: area under its curve, 1/2 if not at all, and its error there."""

    area: float
    error: float


def two_sample_test(samples: Matched, features: Float64[np.ndarray, "rows features"], *, seed: int) -> TwoSampleTest:
    """Return the classifier two-sample test (arXiv:1610.06545) with a quadratic form as classifier.

    Least squares on the features, their squares and products separates the samples in one half of the events and is
    applied to the other; halves are drawn by identity, so common events lie in one. The error of the area is that of
    sum_i (a_i - b_i) F(s_i), with F the cumulative distribution of the score.

    Args:
        samples: both of total weight 1.
        features: of all rows.
        seed: of the halves.
    """
    design = _quadratic(features)
    half = CrossFitting(folds=2, seed=seed).fold_of(samples.event)
    both = samples.first + samples.second
    label = np.where(samples.first != 0.0, 1.0, -1.0)
    score = np.zeros(len(both))
    for side in (0, 1):
        train, apply = half != side, half == side
        weighted = design[train] * both[train, None]
        matrix = weighted.T @ design[train] + _RIDGE * np.eye(design.shape[1])
        score[apply] = design[apply] @ np.linalg.lstsq(matrix, weighted.T @ label[train], rcond=None)[0]
        score[apply] -= float(np.mean(score[apply]))
    order = np.argsort(score, kind="stable")
    first, second = samples.first[order], samples.second[order]
    area = float(np.sum(first * (np.cumsum(second) - 0.5 * second)))
    rank = np.empty(len(score))
    rank[order] = np.cumsum((first + second) / 2.0)
    spread = (samples.first - samples.second) * (rank - 0.5)
    return TwoSampleTest(area=area, error=float(np.sqrt(samples.variance(spread))))


def _quadratic(features: Float64[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows terms"]:
    """Return 1, the features brought to mean 0 and width 1 and cut at 5 widths, their squares and products."""
    scale = np.std(features, axis=0)
    shifted = np.clip((features - np.mean(features, axis=0)) / np.where(scale > 0, scale, 1.0), -5.0, 5.0)
    upper = np.triu_indices(shifted.shape[1])
    products = shifted[:, upper[0]] * shifted[:, upper[1]]
    return np.column_stack([np.ones(len(shifted)), shifted, products])
