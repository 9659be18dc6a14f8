"""Why a likelihood is not defined at a point, in words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient, read_coefficient
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel

__all__ = ["why_undefined"]


def why_undefined(likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]) -> str | None:
    """Return what is wrong at a point: an undefined coefficient, a negative bin, events with a negative intensity.

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
            found = _negative_events(channel.log_ratio, channel.weight, expected[channel.name])
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
    exact = np.asarray(log_ratio, dtype=float)
    ratio = np.exp(exact - exact.max(axis=1, keepdims=True)) if len(exact) else exact
    bad = np.flatnonzero((ratio @ expected <= 0) & (weight != 0))
    if not bad.size:
        return None
    return f"the total intensity is not positive for {bad.size} of {len(weight)} events, first event {bad[0]}"
