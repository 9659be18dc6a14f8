"""How far the fit to Asimov data of simulated events may lie from what was put in, for want of simulated events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float, Float64, Int

from evercast.inference.fit import FitResult
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import total_intensity
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = ["simulation_noise"]

_STEP: Final = 1e-3
"""Of the differences, in uncertainties of the parameter."""
_TINY: Final = 1e-300
"""In place of an intensity that is not positive, where -2 ln L is infinite."""

Processes = Mapping[str, Int[np.ndarray, " simulated"]]


def simulation_noise(
    likelihood: Likelihood, result: FitResult, processes: Processes
) -> Float64[np.ndarray, " parameters"]:
    """Return the standard deviation of the best fit to Asimov data over sets of simulated events of the same size.

    With scores s_i = d ln lambda(x_i) / d theta the fit moves by V sum_i w_i s_i, V its covariance, so its variance
    is V [sum_i w_i^2 (s_i - <s>_j) (s_i - <s>_j)^T] V. Each process j has its own mean, since its yield is fixed. The
    events of the reference, the training and the binned templates have noise of their own, which is not in it.

    Args:
        likelihood: compiled, at whose initial values the Asimov data were made.
        result: the fit to them.
        processes: unbinned channel -> component of each simulated event; channels that are absent add nothing.
    """
    total = np.zeros_like(result.covariance)
    for channel in likelihood.model.channels:
        if not isinstance(channel, UnbinnedChannelModel) or channel.simulation is None:
            continue
        process = processes.get(channel.name)
        if process is None or len(process) != len(channel.simulation.weight):
            continue
        scores = _scores(likelihood, channel, channel.simulation, np.sqrt(np.diag(result.covariance)))
        weight = np.asarray(channel.simulation.weight, dtype=np.float64)
        for number in np.unique(process):
            chosen = process == number
            own, heavy = scores[chosen], weight[chosen]
            if np.sum(heavy) > 0:
                moved = (own - np.average(own, axis=0, weights=heavy)) * heavy[:, None]
                total += moved.T @ moved
    spread: Float64[np.ndarray, " parameters"] = np.sqrt(np.diag(result.covariance @ total @ result.covariance))
    return spread


def _scores(
    likelihood: Likelihood, channel: UnbinnedChannelModel, events: EventSet, scale: Float[np.ndarray, " parameters"]
) -> Float64[np.ndarray, "events parameters"]:
    scores = np.zeros((len(events.weight), len(likelihood.names)))
    for index in np.flatnonzero(scale > 0):
        step = _STEP * scale[index] * np.array([1.0, -1.0])
        ends = np.clip(likelihood.initial[index] + step, likelihood.lower[index], likelihood.upper[index])
        sides = []
        for end in ends:
            theta = likelihood.initial.copy()
            theta[index] = end
            expected = likelihood.expected_events(theta)[channel.name]
            log_scale, total = total_intensity(channel, likelihood.names, theta, expected, events)
            sides.append(log_scale + np.log(np.maximum(total, _TINY)))
        scores[:, index] = (sides[0] - sides[1]) / (ends[0] - ends[1])
    return scores
