"""The unbinned channels of a likelihood put in bins of a log likelihood ratio: a second, coarser measurement.

With more and more bins of the ratio between two values of the parameter of interest, the histogram loses less and less
of what the unbinned term knows (the ratio is sufficient for two simple hypotheses), so its uncertainty comes down to
that of the unbinned likelihood. The histogram is fitted by the HistFactory part of the engine, which shares no formula
of the events with the unbinned part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from evercast.errors import InvalidInput
from evercast.inference.morph_checks import log_intensity, morph, morph_norm, morph_parameters
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    ChannelModel,
    EventSet,
    HistoSys,
    LikelihoodModel,
    Modifier,
    UnbinnedChannelModel,
)

__all__ = ["Discriminant", "binned_model", "histogram_channel", "scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discriminant:
    """Two values of the parameter of interest, all others at their initial values, whose likelihood ratio is binned."""

    poi: str
    low: float
    high: float


def binned_model(likelihood: Likelihood, discriminant: Discriminant, *, bins: int) -> LikelihoodModel:
    """Return the likelihood with every unbinned channel as a histogram of ln lambda(x | high) / lambda(x | low).

    Bins hold equal expected events. The template of a component is nu_j sum_i w_i r_ij / lambda_i over the simulated
    events of the bin, brought to nu_j events; morphs become HistFactory ``histosys`` from alpha = +-1.

    Raises:
        InvalidInput: a channel has no simulated events.
    """
    channels: list[ChannelModel] = [
        channel if isinstance(channel, BinnedChannelModel) else _binned(likelihood, channel, discriminant, bins)
        for channel in likelihood.model.channels
    ]
    return replace(likelihood.model, channels=tuple(channels))


def _binned(
    likelihood: Likelihood, channel: UnbinnedChannelModel, discriminant: Discriminant, bins: int
) -> BinnedChannelModel:
    simulation = _simulation(channel)
    score = scores(likelihood, channel, simulation, discriminant)
    edges = _quantiles(score, np.asarray(simulation.weight, dtype=np.float64), bins)
    return histogram_channel(likelihood, channel, discriminant, edges=edges)


def histogram_channel(
    likelihood: Likelihood,
    channel: UnbinnedChannelModel,
    discriminant: Discriminant,
    *,
    edges: Float64[np.ndarray, " edges"],
) -> BinnedChannelModel:
    """Return an unbinned channel as a histogram of the log likelihood ratio between given inner edges.

    Args:
        likelihood: whose channel it is.
        channel: with simulated events.
        discriminant: the two hypotheses.
        edges: (bins - 1,) increasing; the first and the last bin are open.

    Raises:
        InvalidInput: the channel has no simulated events.
    """
    simulation = _simulation(channel)
    place = np.searchsorted(edges, scores(likelihood, channel, simulation, discriminant), side="right")
    weight = _component_weights(likelihood, channel, simulation)
    samples = tuple(
        _sample(channel, simulation, number, weight[:, number], place, len(edges) + 1)
        for number in range(len(channel.components))
    )
    seen = np.searchsorted(edges, scores(likelihood, channel, channel.events, discriminant), side="right")
    counts = np.bincount(seen, np.asarray(channel.events.weight, dtype=np.float64), minlength=len(edges) + 1)
    return BinnedChannelModel(name=channel.name, samples=samples, observed=counts, blind=channel.blind)


def _simulation(channel: UnbinnedChannelModel) -> EventSet:
    if channel.simulation is None:
        raise InvalidInput(f"channel '{channel.name}' holds no simulated events", code="diagnostics.no-simulation")
    return channel.simulation


def scores(
    likelihood: Likelihood, channel: UnbinnedChannelModel, events: EventSet, discriminant: Discriminant
) -> Float64[np.ndarray, " events"]:
    """Return ln lambda(x | high) / lambda(x | low) of each event, both intensities as expected, not as densities."""
    values: Mapping[str, float] = dict(zip(likelihood.names, likelihood.initial.tolist(), strict=True))
    logs = []
    for poi in (discriminant.high, discriminant.low):
        theta = likelihood.initial.copy()
        theta[likelihood.index(discriminant.poi)] = poi
        expected = likelihood.expected_events(theta)[channel.name]
        logs.append(log_intensity(channel, events, expected, {**values, discriminant.poi: poi}))
    score: Float64[np.ndarray, " events"] = logs[0] - logs[1]
    return score


def _quantiles(
    score: Float64[np.ndarray, " events"], weight: Float64[np.ndarray, " events"], bins: int
) -> Float64[np.ndarray, " edges"]:
    order = np.argsort(score)
    share = np.cumsum(np.maximum(weight[order], 0.0))
    places = np.searchsorted(share / share[-1], np.arange(1, bins) / bins)
    return np.unique(score[order][places])


def _component_weights(
    likelihood: Likelihood, channel: UnbinnedChannelModel, simulation: EventSet
) -> Float64[np.ndarray, "events components"]:
    """Return the weights of the simulated events as events of each component, before its yield."""
    nominal = likelihood.expected_events(likelihood.initial)[channel.name]
    logs = np.asarray(simulation.log_ratio, dtype=np.float64)
    ratio = np.exp(logs - logs.max(axis=1, keepdims=True))
    total = ratio @ nominal
    safe = np.where(total > 0, total, np.inf)
    shared: Float64[np.ndarray, "events components"] = ratio * (np.asarray(simulation.weight) / safe)[:, None]
    return shared


def _sample(
    channel: UnbinnedChannelModel, simulation: EventSet, number: int, weight: Float64[np.ndarray, " events"],
    place: np.ndarray, bins: int,
) -> BinnedSample:  # fmt: skip
    component = channel.components[number]
    modifiers: list[Modifier] = list(component.modifiers)
    nominal = _scaled(np.bincount(place, weight, minlength=bins), component.yield_events)
    for parameter in morph_parameters(channel).get(component.process, ()):
        sides = []
        for alpha in (1.0, -1.0):
            values = {parameter: alpha}
            norm = morph_norm(channel, component.process, values).value if channel.normalise_morphs else 1.0
            factor = morph(channel, simulation, component.process, values) / norm
            sides.append(_scaled(np.bincount(place, weight * factor, minlength=bins), component.yield_events))
        modifiers.append(HistoSys(parameter=parameter, up=sides[0], down=sides[1]))
    return BinnedSample(
        name=component.process, nominal=nominal, modifiers=tuple(modifiers), coefficient=component.coefficient
    )


def _scaled(content: Float64[np.ndarray, " bins"], total: float) -> Float64[np.ndarray, " bins"]:
    whole = float(content.sum())
    return content * (total / whole) if whole != 0.0 else content
