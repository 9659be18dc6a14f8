"""The energy test of an unbinned channel: data against the fitted model, in the log ratios of its events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist

from evercast.inference.intensity import positive_intensity
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.intensity import total_intensity
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = ["EnergyTest", "split_support"]

_MOST_EVENTS = 2000
"""Of data and of the model; distances grow with their product."""


def split_support(channel: UnbinnedChannelModel, *, seed: int) -> tuple[EventSet, EventSet]:
    """Return two disjoint halves of the simulated events, each with the full sum of weights.

    Pseudo-experiments are drawn from the first, the model they are compared with is the second, so that the data, which
    share no event with the simulation, are treated as they are.
    """
    simulation = channel.simulation if channel.simulation is not None else channel.events
    weight = np.asarray(simulation.weight, dtype=float)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(weight))
    halves = []
    for rows in (np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])):
        part = weight[rows]
        halves.append(_rows(simulation, rows, part * (weight.sum() / part.sum())))
    return halves[0], halves[1]


def _rows(events: EventSet, rows: np.ndarray, weight: Float[np.ndarray, " rows"]) -> EventSet:
    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.asarray(values)[rows]

    return replace(
        events, log_ratio=np.asarray(events.log_ratio)[rows], weight=weight, log_up=pick(events.log_up),
        log_down=pick(events.log_down), coefficients=pick(events.coefficients),
    )  # fmt: skip


def _thinned(support: EventSet, seed: int) -> EventSet:
    """Return at most 2000 events of equal absolute weight, drawn at equal steps of the cumulative weight."""
    weight = np.asarray(support.weight, dtype=float)
    if len(weight) <= _MOST_EVENTS:
        return support
    cumulative = np.cumsum(np.abs(weight))
    start = np.random.Generator(np.random.Philox(seed)).random()
    places = (start + np.arange(_MOST_EVENTS)) / _MOST_EVENTS * cumulative[-1]
    chosen = np.minimum(np.searchsorted(cumulative, places, side="right"), len(weight) - 1)
    return _rows(support, chosen, np.sign(weight[chosen]) * cumulative[-1] / _MOST_EVENTS)


class EnergyTest:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| with X data, Y the fitted model; distances in standardised log ratios.

    Args:
        channel: components.
        support: simulated events that stand for the model, with the weights of the initial values.
        seed: of the choice of at most 2000 of them, and of as many data events.
    """

    def __init__(self, channel: UnbinnedChannelModel, support: EventSet, *, seed: int) -> None:
        self._channel = channel
        self._seed = seed
        self._support = _thinned(support, seed)
        features, weight = np.asarray(self._support.log_ratio, dtype=float), np.abs(self._support.weight)
        mean = np.average(features, axis=0, weights=weight)
        self._spread = np.maximum(np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight)), 1e-9)
        self._features = features / self._spread
        self._within = cdist(self._features, self._features)

    def statistic(self, likelihood: Likelihood, events: EventSet, theta: Float[np.ndarray, " parameters"]) -> float:
        """Return the statistic times the number of events; 0 without events.

        Args:
            likelihood: gives the expected events of the components.
            events: the data, or a pseudo-experiment.
            theta: (parameters,) of the fitted model.

        Raises:
            NumericalFailure: ``goodness.negative``, the fitted intensity is not positive for simulated events.
        """
        data = np.asarray(events.log_ratio, dtype=float) / self._spread
        weight = np.asarray(events.weight, dtype=float)
        n_events = float(weight.sum())
        if len(data) < 2 or not n_events > 0:
            return 0.0
        if len(data) > _MOST_EVENTS:
            rows = np.random.Generator(np.random.Philox(self._seed)).choice(len(data), _MOST_EVENTS, replace=False)
            data, weight = data[rows], weight[rows]
        model = self._weights(likelihood, theta)
        share = weight / weight.sum()
        between = share @ (cdist(data, self._features) @ model)
        plain = bool(np.all(weight == weight[0]))
        own = 2.0 * float(pdist(data).sum()) / len(data) ** 2 if plain else float(share @ cdist(data, data) @ share)
        return float(n_events * (2.0 * between - own - model @ self._within @ model))

    def _weights(self, likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]) -> Float[np.ndarray, " events"]:
        """Return the weights of the support at `theta`, over their sum."""
        initial, channel = likelihood.initial, self._channel
        expected = likelihood.expected_events(initial)[channel.name]
        before, old = total_intensity(channel, likelihood.names, initial, expected, self._support)
        after, new = positive_intensity(likelihood, channel, self._support, theta, code="goodness.negative")
        good = old > 0
        ratio = np.where(good, np.exp(after - before) * new / np.where(good, old, 1.0), 0.0)
        weight = np.asarray(self._support.weight, dtype=float) * ratio
        return np.asarray(weight / weight.sum())
