"""Asimov data: the data set whose best fit is the model itself (arXiv:1007.1727, section 3.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    ChannelModel,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)

__all__ = ["asimov_model", "nominal_point"]

Point = Float[np.ndarray, " parameters"]


def nominal_point(likelihood: Likelihood, **values: float) -> Point:
    """Return the initial values of all parameters, with some replaced."""
    theta = likelihood.initial.copy()
    for name, value in values.items():
        theta[likelihood.index(name)] = value
    return theta


def asimov_model(likelihood: Likelihood, theta: Point) -> LikelihoodModel:
    """Return the model with its data replaced by what is expected at `theta`; global observables move along.

    Binned channels get the expected events of each bin, exactly. Unbinned channels get their simulated events, whose
    weights (those of the initial values) are multiplied by the ratio of the total intensities at `theta` and there.
    `LikelihoodModel.asimov` says which of the two kinds the result holds.

    Raises:
        InvalidInput: an unbinned channel has no simulated events.
        NumericalFailure: a total intensity or the total of the expected events is not positive.
    """
    expected = likelihood.expected_events(theta)
    nominal = likelihood.expected_events(likelihood.initial)
    channels: list[ChannelModel] = []
    for channel in likelihood.model.channels:
        if isinstance(channel, BinnedChannelModel):
            channels.append(_binned(channel, expected[channel.name]))
        else:
            channels.append(_unbinned(channel, expected[channel.name], nominal[channel.name]))
    parameters = tuple(
        _measured_at(parameter, float(value))
        for parameter, value in zip(likelihood.model.parameters, theta, strict=True)
    )
    kinds = {"binned" if isinstance(channel, BinnedChannelModel) else "simulation" for channel in channels}
    asimov = kinds.pop() if len(kinds) == 1 else "mixed"
    return replace(likelihood.model, parameters=parameters, channels=tuple(channels), asimov=asimov)


def _measured_at(parameter: ParameterModel, value: float) -> ParameterModel:
    if parameter.constraint == "none":
        return parameter
    scale = parameter.factor if parameter.constraint == "poisson" else 1.0
    return replace(parameter, global_observable=scale * value)


def _binned(channel: BinnedChannelModel, rates: Float[np.ndarray, " bins"]) -> BinnedChannelModel:
    if np.any(rates < 0) or not np.all(np.isfinite(rates)):
        position = int(np.flatnonzero(~(rates >= 0))[0])
        message = f"bin {position} of channel '{channel.name}' expects {rates[position]:.6g} events"
        raise NumericalFailure(message, code="asimov.negative")
    return replace(channel, observed=rates)


def _unbinned(
    channel: UnbinnedChannelModel, expected: Float[np.ndarray, " components"], nominal: Float[np.ndarray, " components"]
) -> UnbinnedChannelModel:
    simulation = channel.simulation
    if simulation is None:
        message = f"channel '{channel.name}' holds no simulated events: no expected result can be computed"
        raise InvalidInput(message, code="asimov.no-simulation")
    if np.array_equal(expected, nominal):
        return replace(channel, events=simulation)
    if not expected.sum() > 0:
        message = f"the expected events of all components add up to {expected.sum():.6g}"
        raise NumericalFailure(message, code="asimov.negative", where=f"channel {channel.name}")
    exact = np.asarray(simulation.log_ratio, dtype=float)
    ratio = np.exp(exact - exact.max(axis=1, keepdims=True))
    old, new = ratio @ nominal, ratio @ expected
    bad = np.flatnonzero((old <= 0) | (new <= 0))
    if bad.size:
        message = f"the total intensity is not positive for {bad.size} of {len(ratio)} simulated events, first {bad[0]}"
        raise NumericalFailure(message, code="asimov.negative", where=f"channel {channel.name}")
    return replace(channel, events=replace(simulation, weight=simulation.weight * new / old))
