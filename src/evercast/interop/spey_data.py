"""A data set of a likelihood as one list of numbers, as spey hands data around, and back.

In order: for each channel the counts of its bins, or the weights of its simulated events; then the global observables
of all parameters with a constraint. Observed events of an unbinned channel have no place in it: spey never needs them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from evercast.errors import InvalidInput
from evercast.likelihood.model import (
    BinnedChannelModel,
    ChannelModel,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)

__all__ = ["data_of", "model_with_data", "sampled"]


def data_of(model: LikelihoodModel, made: LikelihoodModel) -> list[float]:
    """Return the data of `made` as one list.

    Args:
        model: whose simulated events stand for unbinned channels.
        made: the same likelihood with Asimov data, or pseudo-data.

    Raises:
        InvalidInput: ``asimov.no-simulation``; ``spey.data``, the events are not the simulated ones.
    """
    numbers: list[float] = []
    for channel, filled in zip(model.channels, made.channels, strict=True):
        if isinstance(filled, BinnedChannelModel):
            numbers += np.asarray(filled.observed, dtype=float).tolist()
        elif isinstance(channel, UnbinnedChannelModel):
            if len(filled.events.weight) != len(_simulation(channel).weight):
                raise InvalidInput("the events are not the simulated ones", code="spey.data", where=channel.name)
            numbers += np.asarray(filled.events.weight, dtype=float).tolist()
    return numbers + [one.global_observable for one in _constrained(made)]


def model_with_data(model: LikelihoodModel, data: Float64[np.ndarray, " numbers"]) -> LikelihoodModel:
    """Return the likelihood with the data of a list that `data_of` made.

    Raises:
        InvalidInput: ``spey.data``, the list has another length; ``asimov.no-simulation``.
    """
    sizes = [_size(channel) for channel in model.channels]
    constrained = [one.name for one in _constrained(model)]
    if data.shape != (sum(sizes) + len(constrained),):
        message = (
            f"the data are {data.size} numbers; expected {sum(sizes) + len(constrained)}, as expected_data gives them"
        )
        raise InvalidInput(message, code="spey.data", where=model.name)
    parts = np.split(data, np.cumsum(sizes))
    channels = tuple(_filled(channel, part) for channel, part in zip(model.channels, parts[:-1], strict=True))
    observed = dict(zip(constrained, parts[-1].tolist(), strict=True))
    parameters = tuple(one.measured(observed[one.name]) if one.name in observed else one for one in model.parameters)
    return replace(model, parameters=parameters, channels=channels, asimov="mixed")


def sampled(
    model: LikelihoodModel, made: LikelihoodModel, size: int, random: np.random.Generator
) -> Float64[np.ndarray, "size numbers"]:
    """Return pseudo-experiments of a likelihood, one row each.

    Every simulated event occurs a Poisson number of times with its weight as mean, so that the total and the densities
    fluctuate as those of a Poisson process; counts and global observables are drawn from their own distributions.

    Args:
        model: the likelihood.
        made: with Asimov data at the parameters to draw from.
        size: how many.
        random: generator.

    Raises:
        InvalidInput: ``toys.negative-weights``: a simulated event has a negative weight.
    """
    means = np.array(data_of(model, made))
    count = len(means) - len(_constrained(made))
    if (means[:count] < 0).any():
        raise InvalidInput("a simulated event has a negative weight and cannot be drawn", code="toys.negative-weights")
    drawn = [random.poisson(means[:count], size=(size, count)).astype(float)]
    for one in _constrained(made):
        if one.constraint == "poisson":
            drawn.append(random.poisson(one.global_observable, size=(size, 1)).astype(float))
        else:
            drawn.append(random.normal(one.global_observable, one.width, size=(size, 1)))
    return np.concatenate(drawn, axis=1)


def _constrained(model: LikelihoodModel) -> list[ParameterModel]:
    return [one for one in model.parameters if one.constraint != "none"]


def _size(channel: ChannelModel) -> int:
    return len(channel.observed) if isinstance(channel, BinnedChannelModel) else len(_simulation(channel).weight)


def _filled(channel: ChannelModel, numbers: Float64[np.ndarray, " numbers"]) -> ChannelModel:
    if isinstance(channel, BinnedChannelModel):
        return replace(channel, observed=numbers)
    return replace(channel, events=replace(_simulation(channel), weight=numbers))


def _simulation(channel: UnbinnedChannelModel) -> EventSet:
    if channel.simulation is None:
        message = f"channel '{channel.name}' holds no simulated events: no expected result can be computed"
        raise InvalidInput(message, code="asimov.no-simulation")
    return channel.simulation
