"""All minima of a profile: with interference, two values of a parameter may give the same rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evercast.errors import NumericalFailure
from evercast.inference.fit import FitResult, fit
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood

__all__ = ["LocalMinimum", "find_minima"]

_SAME = 1e-3
"""Two minima nearer than this fraction of a standard deviation, or of the value, are one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalMinimum:
    """A minimum of -2 ln L.

    Args:
        value: of the parameter of interest.
        t: -2 ln L above the lowest minimum.
        fit: the free fit that ends there.
    """

    value: float
    t: float
    fit: FitResult


def find_minima(likelihood: Likelihood, profile: Profile, starts: Sequence[float]) -> tuple[LocalMinimum, ...]:
    """Return the minima that free fits reach from conditional ones, the lowest first.

    A fit that ends below the best one known to `profile` replaces it there.

    Args:
        likelihood: what is profiled.
        profile: its best fit is one of the minima.
        starts: values of the parameter of interest, e.g. `Scan.minima`.
    """
    index = likelihood.index(profile.poi)
    found = [profile.best]
    for value in starts:
        if value == profile.poi_hat:
            continue
        try:
            local = fit(likelihood, start=profile.conditional(float(value)).theta)
        except NumericalFailure:
            continue
        if all(_differs(local, other, index) for other in found):
            found.append(local)
    lowest = min(found, key=lambda entry: entry.twice_nll)
    if lowest.twice_nll < profile.best.twice_nll - profile.best.guard.tolerance:
        profile.best = lowest
    ordered = sorted(found, key=lambda entry: (entry is not profile.best, entry.twice_nll))
    return tuple(
        LocalMinimum(value=float(entry.theta[index]), t=max(entry.twice_nll - profile.best.twice_nll, 0.0), fit=entry)
        for entry in ordered
    )


def _differs(one: FitResult, other: FitResult, index: int) -> bool:
    spread = one.parameters[index].uncertainty or max(abs(float(one.theta[index])), 1e-6)
    return bool(np.abs(one.theta[index] - other.theta[index]) > _SAME * spread)
