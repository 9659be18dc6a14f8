"""From the weights of a simulated sample to expected events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from evercast.errors import InvalidInput
from evercast.events.histograms import BinnedYield

__all__ = ["Normalised", "by_cross_section", "by_histogram", "by_yield", "effective_sample_size", "place_in_bins"]

Weights = Float64[np.ndarray, " events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """Weights that sum to expected events.

    Args:
        kind: where the scale comes from; ``nominal``: a varied selection takes it from the nominal one.
        weight: expected events of each row.
        factor: expected events per unit of the weights in the file; with a calibration, its mean.
        total: the expected events that were asked for, where that is a number of the document or of a histogram.
        generated_sum: with a cross-section: the sum of weights of all generated events that it was divided by.
        bin_factors: with a calibration: the factor of each bin.
    """

    kind: Literal["none", "cross_section", "yield", "histogram", "calibrated_histogram", "pseudo", "nominal"]
    weight: Weights
    factor: float
    total: float | None = None
    generated_sum: float | None = None
    bin_factors: tuple[float, ...] = ()


def by_cross_section(
    weight: Weights, *, cross_section_pb: float, luminosity_fb: float, generated_sum: float
) -> Normalised:
    """Return weights that sum to cross-section x luminosity x (selected / generated sum of weights).

    Args:
        weight: of the selected events, as in the file.
        cross_section_pb: with its k-factor.
        luminosity_fb: of the data.
        generated_sum: sum of the weights of all generated events.

    Raises:
        InvalidInput: ``sample.weights``, the generated sum is not positive.
    """
    if generated_sum <= 0:
        raise InvalidInput(
            f"the sum of the generated weights is {generated_sum:g}; it must be positive", code="sample.weights"
        )
    factor = cross_section_pb * 1000.0 * luminosity_fb / generated_sum
    return Normalised(kind="cross_section", weight=weight * factor, factor=factor, generated_sum=generated_sum)


def by_yield(
    weight: Weights,
    in_region: Bool[np.ndarray, " events"],
    *,
    total: float,
    kind: Literal["yield", "histogram", "pseudo"] = "yield",
) -> Normalised:
    """Return weights whose sum over the events in the region is `total`.

    Raises:
        InvalidInput: ``sample.weights``, the events in the region have no positive sum of weights.
    """
    found = float(weight[in_region].sum())
    if found <= 0:
        raise InvalidInput(
            f"the sum of weights in the region of the normalisation is {found:g} in {int(in_region.sum())} events; "
            "it must be positive",
            code="sample.weights",
        )
    factor = total / found
    return Normalised(kind=kind, weight=weight * factor, factor=factor, total=total)


def by_histogram(
    weight: Weights,
    in_region: Bool[np.ndarray, " events"],
    observable: Weights,
    target: BinnedYield,
) -> Normalised:
    """Return weights that follow `target` bin by bin in the region.

    Every event in a bin, in the region or not, gets the factor of its bin; outside of the bins there must be no event
    of the region, and others get the mean factor.

    Args:
        weight: as in the file.
        in_region: the region of the normalisation.
        observable: the value that is binned.
        target: expected events per bin.

    Raises:
        InvalidInput: ``sample.calibration``: events of the region outside of the bins, or a bin with expected events
            and without a positive sum of weights.
    """
    bins = len(target.values)
    place = place_in_bins(observable, target.edges)
    inside = (place >= 0) & (place < bins)
    outside = in_region & ~inside
    if outside.any():
        raise InvalidInput(
            f"{int(outside.sum())} events of the region lie outside of the calibration from {target.edges[0]:g} to "
            f"{target.edges[-1]:g}; the first has {observable[outside][0]:g}",
            code="sample.calibration",
            hint="let the edges cover the region, or cut the region to them",
        )
    use = in_region & inside
    sums = np.bincount(place[use], weights=weight[use], minlength=bins)
    missing = (sums <= 0) & (target.values != 0)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise InvalidInput(
            f"the bin from {target.edges[first]:g} to {target.edges[first + 1]:g} expects {target.values[first]:g} "
            f"events; the sample has a sum of weights of {sums[first]:g} there",
            code="sample.calibration",
            hint="merge bins, or generate more events",
        )
    factors = np.divide(target.values, sums, out=np.zeros(bins), where=sums > 0)
    mean = target.total / float(sums.sum())
    per_event = np.where(inside, factors[np.clip(place, 0, bins - 1)], mean)
    return Normalised(
        kind="calibrated_histogram",
        weight=weight * per_event,
        factor=mean,
        total=target.total,
        bin_factors=tuple(float(factor) for factor in factors),
    )


def place_in_bins(values: Weights, edges: Float64[np.ndarray, " edges"]) -> Int64[np.ndarray, " events"]:
    """Return the bin of each value, -1 below and the number of bins above; the last edge belongs to the last bin."""
    place = np.searchsorted(edges, values, side="right") - 1
    place[values == edges[-1]] = len(edges) - 2
    return place


def effective_sample_size(weight: Weights) -> float:
    """Return (sum of weights)^2 / sum of squared weights: as many unweighted events have the same relative uncertainty.

    Example:
        >>> import numpy as np
        >>> effective_sample_size(np.array([1.0, 1.0, 1.0, -1.0]))
        1.0
    """
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
