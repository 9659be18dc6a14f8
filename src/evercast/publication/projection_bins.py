"""Bins of a projection, chosen on simulation alone: as few as keep what the observable knows, each with enough events.

The expected information of a partition is I = sum_b D_b^2 / (V_b + M_b): D_b the derivative of the expected events of
bin b with respect to the parameter of interest, V_b those events, M_b the variance of their simulation. Merging bins
can only lose information (Cauchy-Schwarz), so the best partition with k bins is found exactly, by dynamic programming
over a fine one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float64, Int

from evercast.errors import NumericalFailure

__all__ = ["MINIMUM_EFFECTIVE", "Binning", "choose_bins", "effective_events"]

MINIMUM_EFFECTIVE: Final = 100.0
"""Effective simulated events in each bin: the statistical uncertainty of its template is then at most 10 %."""

_FINE: Final = 160
_MOST: Final = 30
_KEPT: Final = 0.99
"""Share of what bins can add to the information of the total count that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binning:
    """Inner edges of the bins and what they are worth.

    Args:
        edges: (bins - 1,) increasing; the first and the last bin are open.
        information: expected information of the partition on the parameter of interest, all others known.
        unbinned: that of the events themselves, without uncertainty of the simulation.
        effective: (bins,) effective simulated events.
    """

    edges: Float64[np.ndarray, " edges"]
    information: float
    unbinned: float
    effective: Float64[np.ndarray, " bins"]


def choose_bins(
    score: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], *, width: float
) -> Binning:
    """Return the fewest bins that keep 99 % of what bins add to the information of the total count.

    Args:
        score: log ratio of the intensities at two values of the parameter of interest that are `width` apart.
        weight: of simulated events, whose sum is the expected events.
        width: distance of the two values.

    Raises:
        NumericalFailure: ``projection.empty``, the simulation has no positive weight.
    """
    total = float(weight.sum())
    if not total > 0 or not width > 0:
        raise NumericalFailure("the simulated events have no positive total weight", code="projection.empty")
    slope = score / width
    order = np.argsort(score, kind="stable")
    score, weight, slope = score[order], weight[order], slope[order]
    ends = _fine_ends(score, weight, slope)
    sums = [_cumulated(values, ends) for values in (weight, weight * slope, weight**2)]
    gains = _gains(*sums)
    chosen = _fewest(gains)
    events, _, squares = (np.diff(values[chosen]) for values in sums)
    inner = ends[np.asarray(chosen[1:-1], dtype=int) - 1]
    return Binning(
        edges=np.asarray([(score[end - 1] + score[end]) / 2 for end in inner], dtype=np.float64),
        information=float(sum(gains[a, b] for a, b in pairwise(chosen))),
        unbinned=float(np.sum(weight * slope**2)),
        effective=events**2 / squares,
    )


def effective_events(
    score: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], edges: Float64[np.ndarray, " edges"]
) -> Float64[np.ndarray, " bins"]:
    """Return the effective simulated events (sum of weights)^2 / sum of squares of each bin between given edges."""
    place = np.searchsorted(edges, score, side="right")
    sums = [np.bincount(place, values, minlength=len(edges) + 1) for values in (weight, weight**2)]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Float64[np.ndarray, " bins"] = np.nan_to_num(sums[0] ** 2 / sums[1])
    return found


def _fine_ends(
    score: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], slope: Float64[np.ndarray, " events"]
) -> Int[np.ndarray, " fine"]:
    """Return after how many ordered events each fine bin ends: equal parts of expected events and of information."""
    size = np.abs(weight)
    worth = size * slope**2
    share = np.cumsum(size / size.sum() + (worth / worth.sum() if worth.sum() > 0 else 0.0))
    inner = np.searchsorted(share / share[-1], np.arange(1, _FINE) / _FINE)
    inner = np.searchsorted(score, score[np.minimum(inner, len(score) - 1)], side="left")  # equal scores stay together
    return np.unique(np.append(inner[inner > 0], len(score)))


def _cumulated(
    values: Float64[np.ndarray, " events"], ends: Int[np.ndarray, " fine"]
) -> Float64[np.ndarray, " places"]:
    found: Float64[np.ndarray, " places"] = np.concatenate([[0.0], np.cumsum(values)[ends - 1]])
    return found


def _gains(
    events: Float64[np.ndarray, " places"],
    slopes: Float64[np.ndarray, " places"],
    squares: Float64[np.ndarray, " places"],
) -> Float64[np.ndarray, "places places"]:
    """Return the information of the bin from place a to place b; -inf where it has too few effective events."""
    v, d, m = (values[None, :] - values[:, None] for values in (events, slopes, squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = d**2 / (v + m)
        enough = (v > 0) & (v**2 >= MINIMUM_EFFECTIVE * m)
    result: Float64[np.ndarray, "places places"] = np.where(enough, gain, -np.inf)
    result[0, -1] = d[0, -1] ** 2 / (v[0, -1] + m[0, -1])  # one bin is always allowed
    return result


def _fewest(gains: Float64[np.ndarray, "places places"]) -> list[int]:
    """Return the places where the bins of the chosen partition begin and end."""
    last = len(gains) - 1
    best = [gains[0].copy()]
    best[0][0] = -np.inf
    back: list[Int[np.ndarray, " places"]] = [np.zeros(last + 1, dtype=int)]
    for _ in range(2, min(_MOST, last) + 1):
        sums = np.where(np.tri(last + 1, k=-1, dtype=bool).T, best[-1][:, None] + gains, -np.inf)
        back.append(np.argmax(sums, axis=0))
        best.append(np.max(sums, axis=0))
    reached = np.array([values[last] for values in best])
    wanted = reached[0] + _KEPT * (float(np.max(reached)) - reached[0])
    count = int(np.argmax(reached >= wanted))
    places = [last]
    for step in range(count, -1, -1):
        places.append(int(back[step][places[-1]]))
    return places[::-1]
