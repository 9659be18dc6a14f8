"""Where a likelihood is not defined: at a point, in words, and on its simulated events, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient, read_coefficient
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import intensities, normalisation, not_positive_factors
from evercast.likelihood.model import BinnedChannelModel, UnbinnedChannelModel

__all__ = ["Positivity", "simulated_positivity", "why_undefined"]

_LARGEST = 3
"""Contributions of processes named of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positivity:
    """Where the total intensity of an unbinned channel is positive, counted on its simulated events.

    Args:
        n_events: simulated events.
        n_not_positive: those where the total intensity is zero or negative.
    """

    channel: str
    n_events: int
    n_not_positive: int


def simulated_positivity(likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]) -> tuple[Positivity, ...]:
    """Return the counts of each unbinned channel that holds simulated events.

    A density must be positive wherever events may fall, not only where some were observed.
    """
    expected = likelihood.expected_events(theta)
    return tuple(
        Positivity(
            channel=channel.name,
            n_events=len(channel.simulation.weight),
            n_not_positive=_n_not_positive(likelihood, theta, channel, expected[channel.name]),
        )
        for channel in likelihood.model.channels
        if isinstance(channel, UnbinnedChannelModel) and channel.simulation is not None
    )


def _n_not_positive(
    likelihood: Likelihood,
    theta: Float[np.ndarray, " parameters"],
    channel: UnbinnedChannelModel,
    expected: Float[np.ndarray, " components"],
) -> int:
    if channel.simulation is None:
        return 0
    parts = intensities(channel, likelihood.names, theta, expected, channel.simulation)
    return sum(int(np.sum(~(part.contribution.sum(axis=1) > 0))) for part in parts)


def why_undefined(likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]) -> str | None:
    """Return what is wrong at a point: an undefined coefficient, a negative bin or total, negative intensities.

    Returns:
        A sentence that names the first channel concerned, how many events or bins, and the first of them; None where
        nothing is wrong.
    """
    model = likelihood.model
    values = dict(zip(likelihood.names, map(float, theta), strict=True))
    expected = likelihood.expected_events(theta)
    for channel in model.channels:
        rows = channel.samples if isinstance(channel, BinnedChannelModel) else channel.components
        for formula in {row.coefficient for row in rows}:
            node = read_coefficient(formula, parameters=frozenset(values), where=channel.name)
            try:
                evaluate_coefficient(node, values)
            except NumericalFailure as failure:
                return f"channel '{channel.name}': {failure.message}"
        if isinstance(channel, BinnedChannelModel):
            found = _negative_bins(channel, expected[channel.name])
        else:
            found = _negative_events(likelihood, theta, channel, expected[channel.name])
        if found:
            return f"channel '{channel.name}': {found} at {_point(likelihood, theta)}"
    return None


def _point(likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]) -> str:
    entries = [f"{name} = {value:.6g}" for name, value in zip(likelihood.names, theta, strict=True)]
    return ", ".join(entries[:6]) + (", ..." if len(entries) > 6 else "")


def _negative_bins(channel: BinnedChannelModel, rates: Float[np.ndarray, " bins"]) -> str | None:
    bad = np.flatnonzero((rates < 0) | ((rates == 0) & (channel.observed > 0)))
    if not bad.size:
        return None
    return f"{bad.size} bins have no positive expectation, first bin {bad[0]} with {rates[bad[0]]:.6g} events expected"


def _negative_events(
    likelihood: Likelihood,
    theta: Float[np.ndarray, " parameters"],
    channel: UnbinnedChannelModel,
    expected: Float[np.ndarray, " components"],
) -> str | None:
    weight = np.asarray(channel.events.weight)
    total, counted = float(expected.sum()), int(np.count_nonzero(weight))
    if total < 0 or (total == 0 and counted):
        return f"the expected events of all components add up to {total:.6g}, with {counted} events observed,"
    for point in normalisation(channel, likelihood.names, theta) if channel.normalise_morphs else ():
        if not point.value > 0:
            return f"the morphed density of process '{point.process}' has the normalisation {point.value:.6g}"
    n_bad, first = 0, ""
    for part in intensities(channel, likelihood.names, theta, expected, channel.events):
        size = part.contribution.shape[0]
        positive = part.contribution.sum(axis=1) > 0
        bad = np.flatnonzero(~positive & (weight[part.first : part.first + size] != 0))
        if bad.size and not n_bad:
            event = int(part.first + bad[0])
            first = f"first event {event} ({_shares(channel, part.contribution[bad[0]])})"
            first += not_positive_factors(channel, likelihood.names, theta, channel.events, event)
        n_bad += bad.size
    if not n_bad:
        return None
    return f"the total intensity is not positive for {n_bad} of {len(weight)} events, {first}"


def _shares(channel: UnbinnedChannelModel, contribution: Float[np.ndarray, " components"]) -> str:
    """Return the largest contributions of processes to an event, over the sum of their sizes."""
    shares = contribution / max(float(np.abs(contribution).sum()), np.finfo(float).tiny)
    order = np.argsort(-np.abs(shares))[:_LARGEST]
    return ", ".join(f"{channel.components[j].process} {shares[j]:+.2g}" for j in order)
