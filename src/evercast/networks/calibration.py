"""Histogram calibration and normalisation of log ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

__all__ = ["HistogramCalibration", "Normalisation", "fit_histogram_calibration", "normalisation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramCalibration:
    """A shift of the log ratio in each bin of the log ratio.

    log r -> log r + values[b] with b the number of inner edges that are <= log r.

    Args:
        edges: inner edges, increasing, one fewer than values.
        values: shift in each bin, natural logarithm.
    """

    edges: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, log_ratio: Float64[np.ndarray, " events"]) -> Float64[np.ndarray, " events"]:
        """Return the calibrated log ratios."""
        bins = np.searchsorted(np.asarray(self.edges), log_ratio, side="right")
        shifted: Float64[np.ndarray, " events"] = log_ratio + np.asarray(self.values)[bins]
        return shifted

    def to_json(self) -> dict[str, Sequence[float] | str]:
        """Return the calibration as JSON."""
        return {"kind": "histogram", "edges": list(self.edges), "values": list(self.values)}


def fit_histogram_calibration(
    log_ratio: Float64[np.ndarray, " events"],
    is_process: Bool[np.ndarray, " events"],
    weight: Float64[np.ndarray, " events"],
    *,
    bins: int = 20,
) -> HistogramCalibration:
    """Return the calibration that makes the fraction of process events right in each of `bins` quantile bins.

    The shift of a bin is log(sum_1 w) - log(sum_0 w r), over the process and the reference events in it, so that the
    reference reweighted with r gives the weight of the process there. A bin in which one of the sums is not positive
    (signed weights) is left as it is.

    Args:
        log_ratio: out-of-fold log ratios of the training events.
        is_process: their class.
        weight: their weights; each class is normalised to sum 1 here.
        bins: number of bins with equal numbers of events.
    """
    edges = np.unique(np.quantile(log_ratio, np.arange(1, bins) / bins))
    index = np.searchsorted(edges, log_ratio, side="right")
    process = _sums(index, np.where(is_process, weight, 0.0), bins=len(edges) + 1)
    carried = np.where(is_process, 0.0, weight * np.exp(log_ratio))
    reference = _sums(index, carried, bins=len(edges) + 1) / np.sum(weight[~is_process])
    process = process / np.sum(weight[is_process])
    usable = (process > 0.0) & (reference > 0.0)
    ratio = np.where(usable, process, 1.0) / np.where(usable, reference, 1.0)
    return HistogramCalibration(edges=tuple(edges.tolist()), values=tuple(np.log(ratio).tolist()))


def _sums(
    index: Int64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], *, bins: int
) -> Float64[np.ndarray, " bins"]:
    return np.bincount(index, weights=weight, minlength=bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """The mean of a ratio over the reference; 1 for the true ratio.

    Args:
        mean: E_ref[r] = sum w r / sum w.
        error: its standard error from the finite reference sample.
    """

    mean: float
    error: float


def normalisation(log_ratio: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"]) -> Normalisation:
    """Return E_ref[r] over reference events with weights of any sign; error^2 = sum w^2 (r - E)^2 / (sum w)^2."""
    ratio = np.exp(log_ratio)
    total = float(np.sum(weight))
    mean = float(np.sum(weight * ratio)) / total
    error = float(np.sqrt(np.sum((weight * (ratio - mean)) ** 2))) / abs(total)
    return Normalisation(mean=mean, error=error)
