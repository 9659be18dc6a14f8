"""Where the asymptotic formulas of arXiv:1007.1727 are not to be trusted: regions with few events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from evercast.inference.fit import fit, poi_of
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel

__all__ = ["FEW_EVENTS", "IN_DOUBT", "channels_of_few_events", "few_events_without_signal", "low_counts", "remarks_of"]

IN_DOUBT = "asymptotic formulas may not hold"
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
    return remarks_of(channels_of_few_events(likelihood, likelihood.expected_events(theta), observed=observed))


def remarks_of(few: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for every channel with the reason why it is outside of the asymptotic regime."""
    return tuple(f"channel '{name}' {reason}: {IN_DOUBT}" for name, reason in few.items())


def few_events_without_signal(
    likelihood: Likelihood, *, poi: str | None = None, observed: bool = True
) -> Mapping[str, str]:
    """Return channel -> why it is outside of the asymptotic regime, at the fit without signal.

    Args:
        likelihood: its data.
        poi: parameter of interest; None takes the declared one.
        observed: False leaves the data out: the nuisance parameters keep their initial values.

    Raises:
        NumericalFailure: the fit failed.
    """
    name = poi_of(likelihood, poi)
    theta = likelihood.initial.copy()
    theta[likelihood.index(name)] = 0.0
    if observed:
        theta = fit(likelihood, fixed={name: 0.0}).theta
    return channels_of_few_events(likelihood, likelihood.expected_events(theta), observed=observed)


def channels_of_few_events(
    likelihood: Likelihood, expected: Mapping[str, Float[np.ndarray, " n"]], *, observed: bool = True
) -> Mapping[str, str]:
    """Return channel -> why it is outside of the asymptotic regime.

    Args:
        likelihood: its data.
        expected: events per channel (`Likelihood.expected_events`), e.g. at the fit without signal.
        observed: False leaves the data out.
    """
    found: dict[str, str] = {}
    for channel in likelihood.model.channels:
        counted = channel.observed if isinstance(channel, BinnedChannelModel) else channel.events.weight
        total = float(np.sum(expected[channel.name]))
        few = [f"expects {total:.3g} events"] if total < FEW_EVENTS else []
        none = ["has no observed event"] if observed and float(np.sum(counted)) == 0 else []
        if few or none:
            found[channel.name] = " and ".join(few + none)
    return found
