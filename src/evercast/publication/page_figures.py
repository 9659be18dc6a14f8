"""The figure of a bundle's page: the observed events as the likelihood sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.special import logsumexp

from evercast.artifacts.likelihood_file import EVENTS_FILE
from evercast.artifacts.weights import read_tensors
from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.model import EventSet, LikelihoodModel, UnbinnedChannelModel
from evercast.publication.plots.distributions import Component, Stack
from evercast.publication.plots.figure import Label
from evercast.publication.report import figures
from evercast.publication.report.figures import Drawing
from evercast.publication.report.processes import DrawnProcess
from evercast.spec.expressions import parse_coefficient

__all__ = ["score_drawing"]

_BINS: Final = 20


def score_drawing(
    core: Path, model: LikelihoodModel, processes: tuple[DrawnProcess, ...], label: Label
) -> Drawing | None:
    """Return the distribution of the logarithm of the odds that an event is signal, expected and observed.

    Odds = sum of nu_j r_j over the signals / sum over the others, at the initial values of the parameters. None where
    they are none (a coefficient is negative: interference), or there are no simulated events.

    Args:
        core: folder of the core bundle, for the processes of the simulated events.
        model: the likelihood.
        processes: with their colours, from the bottom of the stack.
        label: line above the figure.

    Raises:
        IntegrityError: the events are damaged.
    """
    channel = next((one for one in model.channels if isinstance(one, UnbinnedChannelModel)), None)
    if channel is None or channel.simulation is None or channel.blind:
        return None
    expected = _expected(model, channel)
    signal = {process.name for process in processes if process.signal}
    rows = np.array([component.process in signal for component in channel.components])
    if expected is None or not rows.any() or rows.all():
        return None
    origin = read_tensors(core / EVENTS_FILE).arrays.get(f"{channel.name}.asimov.process")
    if origin is None:
        return None
    simulated = _log_odds(channel.simulation, expected, rows)
    weight = np.asarray(channel.simulation.weight, dtype=np.float64)
    edges = _edges(simulated, weight)
    last = (edges[0], np.nextafter(edges[-1], edges[0]))
    simulated = np.clip(simulated, *last)  # the outer bins hold what lies beyond
    names = [component.process for component in channel.components]
    components = tuple(
        Component(
            title=process.title, color=process.color,
            events=np.histogram(simulated[here], edges, weights=weight[here])[0],
        )
        for process in processes
        if process.name in names and (here := origin == names.index(process.name)).any()
    )  # fmt: skip
    variance = np.histogram(simulated, edges, weights=weight**2)[0]
    content = Stack(
        edges=edges,
        components=components,
        uncertainty=np.sqrt(variance),
        observed=np.histogram(np.clip(_log_odds(channel.events, expected, rows), *last), edges)[0].astype(np.float64),
        axis="ln odds of signal",
        unit="1",
    )
    caption = (
        f"Channel {channel.name}: the events as the likelihood sees them. Logarithm of the odds that an event is "
        "signal, from the published log ratios at the initial values of the parameters; expected from simulation, and "
        "observed. The outer bins hold what lies beyond. The band is the statistical uncertainty of the simulation."
    )
    return figures.stack("score", content, label, caption=caption)


def _expected(model: LikelihoodModel, channel: UnbinnedChannelModel) -> Float64[np.ndarray, " components"] | None:
    """Return the expected events of each component at the initial values; None where one is not positive."""
    values = {one.name: one.initial for one in model.parameters}
    try:
        numbers = [
            evaluate_coefficient(parse_coefficient(one.coefficient), values) * one.yield_events
            for one in channel.components
        ]
    except NumericalFailure:
        return None
    found = np.array(numbers, dtype=np.float64)
    return found if bool(np.all(found > 0.0)) else None


def _log_odds(events: EventSet, expected: Float64[np.ndarray, " components"], rows: np.ndarray) -> np.ndarray:
    terms = np.asarray(events.log_ratio, dtype=np.float64) + np.log(expected)
    odds: np.ndarray = logsumexp(terms[:, rows], axis=1) - logsumexp(terms[:, ~rows], axis=1)
    return odds


def _edges(values: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"]) -> np.ndarray:
    """Return equal bins over all but half a per cent of the expected events on either side."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(np.abs(weight[order]))
    ends = np.searchsorted(below, np.array([0.005, 0.995]) * below[-1])
    low, high = values[order[np.minimum(ends, len(order) - 1)]]
    return np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
