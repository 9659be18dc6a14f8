"""Points of the parameters at which a published likelihood says its -2 ln L and gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float64

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, ChannelModel, LikelihoodModel

__all__ = ["likelihood_vectors", "vector_model"]


def likelihood_vectors(model: LikelihoodModel) -> tuple[Literal["observed", "asimov"], list[dict[str, object]]]:
    """Return of which data the numbers are, and points with -2 ln L and its gradient."""
    if not any(channel.blind for channel in model.channels):
        return "observed", _vectors(model)
    shown = vector_model(model)
    return "asimov", [] if shown is None else _vectors(shown)


def vector_model(model: LikelihoodModel) -> LikelihoodModel | None:
    """Return the likelihood with the data that its vectors are of: observed ones unless a channel is blind.

    Then they are Asimov data, simulated events and expected counts at the initial values; None where an unbinned
    channel has no simulated events.
    """
    return _asimov(model) if any(channel.blind for channel in model.channels) else model


def _asimov(model: LikelihoodModel) -> LikelihoodModel | None:
    likelihood = Likelihood(model)
    expected = likelihood.expected_events(likelihood.initial)
    channels: list[ChannelModel] = []
    for channel in model.channels:
        if isinstance(channel, BinnedChannelModel):
            channels.append(replace(channel, observed=np.asarray(expected[channel.name], dtype=np.float64)))
        elif channel.simulation is None:
            return None
        else:
            channels.append(replace(channel, events=channel.simulation))
    return replace(model, channels=tuple(channels), asimov="mixed")


def _vectors(model: LikelihoodModel) -> list[dict[str, object]]:
    likelihood = Likelihood(model)
    vectors: list[dict[str, object]] = []
    for point in _points(likelihood):
        value, gradient = likelihood.value_and_gradient(point)
        vectors.append(
            {
                "parameters": dict(zip(likelihood.names, point.tolist(), strict=True)),
                "twice_nll": value,
                "gradient": dict(zip(likelihood.names, gradient.tolist(), strict=True)),
            }
        )
    return vectors


def _points(likelihood: Likelihood, *, count: int = 6) -> Sequence[Float64[np.ndarray, " parameters"]]:
    """Return the initial point and points around it at which the likelihood is defined."""
    initial = likelihood.initial
    free = ~likelihood.fixed
    points = [initial]
    for number in range(1, count):
        pattern = np.cos(np.arange(len(initial)) * 2.399963 + number)  # any directions do; the same ones every time
        step = 0.4 * np.maximum(0.5, np.abs(initial)) * pattern * free
        for _ in range(8):
            point = np.clip(initial + step, likelihood.lower, likelihood.upper)
            if np.isfinite(likelihood.twice_nll(point)):
                points.append(point)
                break
            step = step / 4
    return points
