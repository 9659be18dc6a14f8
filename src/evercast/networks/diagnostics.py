"""Checks of a learned density ratio against the events it was learned from, all out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.networks.dataset import effective_sample_size

__all__ = [
    "CalibrationCurve",
    "Closure",
    "Sides",
    "area_under_curve",
    "calibration_curve",
    "closure",
    "ensemble_standard_error",
    "reweighted_sample_size",
    "saturated_fraction",
]

_SATURATED: Final = 15.0
"""|log r| beyond which the score differs from 0 or 1 by less than 3e-7, about the last bit of float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The two classes with their log ratios.

    Args:
        process: (process,), log r of the events of the process.
        process_weight: (process,), their weights.
        reference: (reference,), log r of the events of the reference.
        reference_weight: (reference,), their weights.
    """

    process: Float64[np.ndarray, " process"]
    process_weight: Float64[np.ndarray, " process"]
    reference: Float64[np.ndarray, " reference"]
    reference_weight: Float64[np.ndarray, " reference"]

    def reweighted(self) -> Float64[np.ndarray, " reference"]:
        """Return the weights of the reference events that should follow the process: w r / sum w."""
        weights: Float64[np.ndarray, " reference"] = (
            self.reference_weight * np.exp(self.reference) / np.sum(self.reference_weight)
        )
        return weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closure:
    """Distribution of the process and of the reference reweighted with r; fractions of the total in each bin."""

    edges: Float64[np.ndarray, " edges"]
    target: Float64[np.ndarray, " bins"]
    target_error: Float64[np.ndarray, " bins"]
    reweighted: Float64[np.ndarray, " bins"]
    reweighted_error: Float64[np.ndarray, " bins"]
    chi2: float
    bins: int

    def to_json(self) -> dict[str, object]:
        """Return the closure as JSON."""
        return {
            "edges": self.edges.tolist(),
            "target": self.target.tolist(),
            "target_error": self.target_error.tolist(),
            "reweighted": self.reweighted.tolist(),
            "reweighted_error": self.reweighted_error.tolist(),
            "chi2": self.chi2,
            "bins": self.bins,
        }


def closure(
    sides: Sides,
    process_values: Float64[np.ndarray, " process"],
    reference_values: Float64[np.ndarray, " reference"],
    *,
    bins: int = 25,
) -> Closure | None:
    """Return the reweighting closure r p_ref -> p in one observable, or None where it does not vary.

    The range holds the inner 99 % of the process events. chi2 = sum (target - reweighted)^2 / (sum of squared errors)
    over the bins with events; errors are sqrt(sum w^2). Where both classes share events the errors are correlated and
    chi2 comes out a little small.
    """
    low, high = np.quantile(process_values, [0.005, 0.995])
    if not high > low:
        return None
    edges = np.linspace(low, high, bins + 1)
    target, target_error = _histogram(process_values, sides.process_weight / np.sum(sides.process_weight), edges)
    found, error = _histogram(reference_values, sides.reweighted(), edges)
    variance = target_error**2 + error**2
    filled = variance > 0.0
    chi2 = float(np.sum((target - found)[filled] ** 2 / variance[filled]))
    return Closure(
        edges=edges, target=target, target_error=target_error, reweighted=found, reweighted_error=error, chi2=chi2,
        bins=int(np.sum(filled)),
    )  # fmt: skip


def _histogram(
    values: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], edges: Float64[np.ndarray, " edges"]
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
    content, _ = np.histogram(values, bins=edges, weights=weight)
    squares, _ = np.histogram(values, bins=edges, weights=weight**2)
    return content, np.sqrt(squares)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCurve:
    """Fraction of process events in bins of the score r / (1 + r), classes of equal weight; None in empty bins."""

    score_bins: tuple[float, ...]
    score: tuple[float | None, ...]
    fraction: tuple[float | None, ...]
    error: tuple[float | None, ...]

    def to_json(self) -> Mapping[str, object]:
        """Return the curve as JSON."""
        return {
            "score_bins": list(self.score_bins),
            "score": list(self.score),
            "fraction": list(self.fraction),
            "error": list(self.error),
        }


def calibration_curve(sides: Sides, *, bins: int = 20) -> CalibrationCurve:
    """Return the calibration curve; a right ratio gives fraction = mean score in each bin.

    error^2 = ((1 - f)^2 s_1 + f^2 s_0) / W^2 with W the weight in the bin, f the fraction in it and s the sums of
    squared weights of the classes: error propagation of f = W_1 / (W_0 + W_1).
    """
    log_ratio = np.concatenate([sides.reference, sides.process])
    score = (1.0 + np.tanh(0.5 * log_ratio)) / 2.0
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, bins - 1)
    count = len(sides.reference)
    weight = np.concatenate(
        [
            sides.reference_weight / np.sum(sides.reference_weight),
            sides.process_weight / np.sum(sides.process_weight),
        ]
    )
    split = (slice(None, count), slice(count, None))
    sums = [np.bincount(index[part], weight[part], minlength=bins) for part in split]
    squares = [np.bincount(index[part], weight[part] ** 2, minlength=bins) for part in split]
    scores = np.bincount(index, weight * score, minlength=bins)
    total = sums[0] + sums[1]
    filled = (total > 0.0) & (np.bincount(index, minlength=bins) > 0)
    safe = np.where(filled, total, 1.0)
    fraction = sums[1] / safe
    error = np.sqrt((1.0 - fraction) ** 2 * squares[1] + fraction**2 * squares[0]) / safe
    return CalibrationCurve(
        score_bins=tuple(edges.tolist()),
        score=_known(scores / safe, filled),
        fraction=_known(fraction, filled),
        error=_known(error, filled),
    )


def _known(
    values: Float64[np.ndarray, " bins"], filled: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[float | None, ...]:
    return tuple(float(value) if good else None for value, good in zip(values, filled, strict=True))


def area_under_curve(sides: Sides) -> float:
    """Return the probability that a process event has a larger ratio than a reference event; 1/2 if nothing differs."""
    log_ratio = np.concatenate([sides.reference, sides.process])
    _, index = np.unique(log_ratio, return_inverse=True)
    count, length = len(sides.reference), int(index.max()) + 1
    reference = np.bincount(index[:count], sides.reference_weight, minlength=length) / np.sum(sides.reference_weight)
    process = np.bincount(index[count:], sides.process_weight, minlength=length) / np.sum(sides.process_weight)
    below = np.cumsum(reference) - reference
    return float(np.sum(process * (below + 0.5 * reference)))


def saturated_fraction(sides: Sides) -> float:
    """Return the share of events with |log r| > 15, where a score in float32 would be 0 or 1."""
    log_ratio = np.concatenate([sides.reference, sides.process])
    return float(np.mean(np.abs(log_ratio) > _SATURATED))


def reweighted_sample_size(sides: Sides) -> float:
    """Return the effective sample size of the reference once reweighted to the process."""
    return effective_sample_size(sides.reweighted())


def ensemble_standard_error(
    spread: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], *, members: Sequence[int]
) -> Mapping[int, tuple[float, float]]:
    """Return number of members m -> (median, 90 % quantile) over events of the standard error spread / sqrt(m).

    Args:
        spread: (events,) standard deviation of the log ratio over the members of the ensemble.
        weight: (events,) of any sign.
        members: numbers of members.
    """
    order = np.argsort(spread)
    share = np.cumsum(np.abs(weight)[order]) / np.sum(np.abs(weight))
    middle, high = (float(spread[order][np.searchsorted(share, level)]) for level in (0.5, 0.9))
    return {m: (middle / m**0.5, high / m**0.5) for m in members}
