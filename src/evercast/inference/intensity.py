"""Total intensities of an unbinned channel, for what weights or draws its events."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import not_positive_factors, total_intensity
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = ["positive_intensity", "reference_measure"]

Events = Float[np.ndarray, " events"]


def positive_intensity(
    likelihood: Likelihood,
    channel: UnbinnedChannelModel,
    events: EventSet,
    theta: Float[np.ndarray, " parameters"],
    *,
    code: str = "asimov.negative",
) -> tuple[Events, Events]:
    """Return the intensity of every event as (log scale, total), total x e^scale, every total positive.

    Args:
        likelihood: gives the expected events of the components.
        channel: components, morphs and reference events.
        events: where it is evaluated.
        theta: (parameters,).
        code: of the failure.

    Raises:
        NumericalFailure: the total intensity of an event is not positive; processes and parameters are named whose
            factors are not.
    """
    expected = likelihood.expected_events(theta)[channel.name]
    scale, total = total_intensity(channel, likelihood.names, theta, expected, events)
    bad = np.flatnonzero(~(total > 0))
    if bad.size:
        first = int(bad[0])
        message = (
            f"channel '{channel.name}': the total intensity is not positive for {bad.size} of {len(total)} simulated "
            f"events, first {first}" + not_positive_factors(channel, likelihood.names, theta, events, first)
        )
        raise NumericalFailure(message, code=code)
    return scale, total


def reference_measure(channel: UnbinnedChannelModel) -> Events | None:
    """Return the weights of the reference events over their sum; None where there are none or one is negative."""
    if channel.reference is None:
        return None
    weight = np.asarray(channel.reference.weight, dtype=float)
    return None if np.any(weight < 0) or not weight.sum() > 0 else weight / weight.sum()
