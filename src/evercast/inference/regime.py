"""Where the asymptotic formulas of arXiv:1007.1727 are not to be trusted: regions with few events."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel

__all__ = ["FEW_EVENTS", "low_counts"]

FEW_EVENTS = 5.0
"""Expected events of a channel below which its Poisson distribution is far from a Gaussian one."""


def low_counts(
    likelihood: Likelihood, theta: Float[np.ndarray, " parameters"], *, observed: bool = True
) -> tuple[str, ...]:
    """Return a sentence for every channel outside of the asymptotic regime.

    Args:
        likelihood: its data.
        theta: (parameters,) where events are expected, e.g. the fit without signal.
        observed: False leaves the data out.
    """
    expected = likelihood.expected_events(theta)
    remarks = []
    for channel in likelihood.model.channels:
        counted = channel.observed if isinstance(channel, BinnedChannelModel) else channel.events.weight
        total, found = float(np.sum(expected[channel.name])), float(np.sum(counted))
        few = [f"expects {total:.3g} events"] if total < FEW_EVENTS else []
        none = ["has no observed event"] if observed and found == 0 else []
        if few or none:
            remarks.append(f"channel '{channel.name}' {' and '.join(few + none)}: asymptotic formulas may not hold")
    return tuple(remarks)
