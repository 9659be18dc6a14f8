"""Where a likelihood is not defined: at a point, in words, and on its simulated events, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient, read_coefficient
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, UnbinnedChannelModel

__all__ = ["Positivity", "simulated_positivity", "why_undefined"]

_CHUNK = 1 << 16


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
            n_not_positive=int(np.sum(_intensity(channel.simulation.log_ratio, expected[channel.name]) <= 0)),
        )
        for channel in likelihood.model.channels
        if isinstance(channel, UnbinnedChannelModel) and channel.simulation is not None
    )


def _intensity(
    log_ratio: Float[np.ndarray, "events components"], expected: Float[np.ndarray, " components"]
) -> Float[np.ndarray, " events"]:
    """Return the total intensity at each event, over the largest ratio there."""
    total = np.zeros(len(log_ratio))
    for first in range(0, len(log_ratio), _CHUNK):
        exact = np.asarray(log_ratio[first : first + _CHUNK], dtype=float)
        total[first : first + _CHUNK] = np.exp(exact - exact.max(axis=1, keepdims=True)) @ expected
    return total


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
            found = _negative_events(channel.events.log_ratio, channel.events.weight, expected[channel.name])
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
    log_ratio: Float[np.ndarray, "events components"],
    weight: Float[np.ndarray, " events"],
    expected: Float[np.ndarray, " components"],
) -> str | None:
    total, counted = float(expected.sum()), int(np.sum(weight != 0))
    if total < 0 or (total == 0 and counted):
        return f"the expected events of all components add up to {total:.6g}, with {counted} events observed,"
    bad = np.flatnonzero((_intensity(log_ratio, expected) <= 0) & (weight != 0))
    if not bad.size:
        return None
    return f"the total intensity is not positive for {bad.size} of {len(weight)} events, first event {bad[0]}"
