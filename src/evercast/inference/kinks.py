"""Minima on a kink: interpolations of code 0, 1 and 2 change slope at 0, and -2 ln L may be lowest just there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from evercast.inference.minimise import Minimum, minimise
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, HistoSys, LikelihoodModel, NormSys

__all__ = ["kinked_parameters", "minimum_on_kinks"]

Point = Float[np.ndarray, " parameters"]
Mask = Bool[np.ndarray, " parameters"]

_NEAR = 1e-2
"""Where a minimiser is stuck that jumps over a kink, in standard deviations of the constraint."""
_ASIDE = 1e-9
"""Where the slopes on both sides are taken; they differ by far more than they change over that."""


def kinked_parameters(model: LikelihoodModel) -> frozenset[str]:
    """Return the parameters whose interpolation has a slope that jumps at 0."""
    found = set()
    for channel in model.channels:
        parts = channel.samples if isinstance(channel, BinnedChannelModel) else channel.components
        for modifier in (entry for part in parts for entry in part.modifiers):
            if isinstance(modifier, NormSys | HistoSys) and modifier.code in {"0", "1", "2"}:
                found.add(modifier.parameter)
    return frozenset(found)


def minimum_on_kinks(
    likelihood: Likelihood, stuck: Minimum, *, lower: Point, upper: Point, free: Mask
) -> Minimum | None:
    """Return the minimum with parameters held at the kinks next to which a minimisation got stuck.

    It is one where -2 ln L rises to both sides of each such kink; None where there is no such minimum.

    Args:
        likelihood: what is minimised.
        stuck: where the minimisation ended.
        lower: (parameters,) bounds.
        upper: (parameters,) bounds.
        free: (parameters,) those that are varied.
    """
    if not np.isfinite(stuck.value):
        return None
    kinked = np.isin(likelihood.names, list(kinked_parameters(likelihood.model))) & free & (lower < 0) & (upper > 0)
    held = kinked & (np.abs(stuck.theta) < _NEAR)
    while held.any():
        start = np.where(held, 0.0, stuck.theta)
        found = minimise(likelihood, start=start, lower=lower, upper=upper, free=free & ~held)
        pointed = np.array([not place or _rises(likelihood, found.theta, i) for i, place in enumerate(held)])
        if pointed.all():
            below = found.value <= stuck.value + max(1e-6, 1e-12 * abs(stuck.value))
            return replace(found, at_kink=held) if below and found.reason is None else None
        held &= pointed
    return None


def _rises(likelihood: Likelihood, theta: Point, index: int) -> bool:
    """Return whether -2 ln L rises to both sides of 0 in one parameter, with a slope that jumps."""
    slopes = []
    for sign in (-1.0, 1.0):
        moved = theta.copy()
        moved[index] = sign * _ASIDE
        slopes.append(float(likelihood.gradient(moved)[index]))
    return slopes[0] < 0.0 < slopes[1]
