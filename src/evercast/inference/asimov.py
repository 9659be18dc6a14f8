"""Asimov data: the data set whose best fit is the model itself (arXiv:1007.1727, section 3.2), of two kinds.

``simulation``: the simulated events with the weights of their own generators, as they are: what the model says is
compared with what was simulated (external closure). ``reference``: the learned model on the support of the reference
events, every density normalised on it: the generating point is an exact minimum (self-closure).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.intensity import positive_intensity, reference_measure
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    ChannelModel,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)

__all__ = ["Supports", "asimov_model", "asimov_supports", "nominal_point"]

Point = Float[np.ndarray, " parameters"]


def nominal_point(likelihood: Likelihood, **values: float) -> Point:
    """Return the initial values of all parameters, with some replaced."""
    theta = likelihood.initial.copy()
    for name, value in values.items():
        theta[likelihood.index(name)] = value
    return theta


@dataclass(frozen=True, slots=True, kw_only=True)
class Supports:
    """Weighted events that stand for unbinned channels at some parameters.

    Args:
        events: unbinned channel -> events whose weights add up to the expected ones.
        sources: unbinned channel -> ``simulation`` or ``reference``.
    """

    events: Mapping[str, EventSet] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


def asimov_model(
    likelihood: Likelihood,
    theta: Point,
    *,
    source: Literal["simulation", "reference"] = "simulation",
    expected: Mapping[str, Float[np.ndarray, " n"]] | None = None,
) -> LikelihoodModel:
    """Return the model with its data replaced by what is expected at `theta`; global observables move along.

    Binned channels get the expected events of each bin, exactly. Unbinned channels get weighted events: those of the
    simulation, whose weights (those of the initial values) are multiplied by the ratio of the total intensities at
    `theta` and there; or those of the reference, weighted by the intensity, with log ratios normalised on them.
    `LikelihoodModel.asimov` says which kind the result holds: ``binned``, ``simulation``, ``mixed`` (both), or
    ``reference``. `expected` are the expected events at `theta`, if they are known.

    Raises:
        InvalidInput: an unbinned channel has no simulated, or no reference events.
        NumericalFailure: a total intensity or the total of the expected events is not positive.
    """
    base = likelihood.model
    if source == "reference":
        base = replace(base, channels=tuple(_normalised(channel) for channel in base.channels))
    normalised = Likelihood(base) if source == "reference" else likelihood
    supports = asimov_supports(normalised, theta, source=source)
    expected = likelihood.expected_events(theta) if expected is None else expected
    channels: list[ChannelModel] = []
    for channel in base.channels:
        if isinstance(channel, BinnedChannelModel):
            channels.append(_binned(channel, expected[channel.name]))
        else:
            channels.append(replace(channel, events=supports.events[channel.name]))
    parameters = tuple(
        _measured_at(parameter, float(value)) for parameter, value in zip(base.parameters, theta, strict=True)
    )
    return replace(base, parameters=parameters, channels=tuple(channels), asimov=_kind(base, source))


def _kind(model: LikelihoodModel, source: str) -> str:
    kinds = {"binned" if isinstance(channel, BinnedChannelModel) else source for channel in model.channels}
    if len(kinds) == 1:
        return kinds.pop()
    return "mixed" if source == "simulation" else source


def asimov_supports(
    likelihood: Likelihood,
    theta: Point,
    *,
    source: Literal["auto", "simulation", "reference"] = "simulation",
    signed: bool = True,
) -> Supports:
    """Return weighted events for every unbinned channel at `theta`.

    Args:
        likelihood: its model.
        theta: (parameters,).
        source: which events are weighted; ``auto``: the simulation, or where it has negative weights and `signed` is
            False, the reference.
        signed: negative weights are allowed.

    Raises:
        InvalidInput: ``asimov.no-simulation``, ``asimov.no-reference``.
        NumericalFailure: ``asimov.negative``, ``toys.negative-weights``.
    """
    if all(isinstance(channel, BinnedChannelModel) for channel in likelihood.model.channels):
        return Supports()
    expected, nominal = likelihood.expected_events(theta), likelihood.expected_events(likelihood.initial)
    events: dict[str, EventSet] = {}
    sources: dict[str, str] = {}
    for channel in likelihood.model.channels:
        if isinstance(channel, BinnedChannelModel):
            continue
        name = channel.name
        if not expected[name].sum() > 0 and not np.array_equal(expected[name], nominal[name]):
            message = f"the expected events of all components add up to {expected[name].sum():.6g}"
            raise NumericalFailure(message, code="asimov.negative", where=f"channel {name}")
        chosen = _source(channel, source, signed=signed)
        if chosen == "reference":
            events[name] = _from_reference(likelihood, channel, theta)
        elif np.array_equal(theta, likelihood.initial) and channel.simulation is not None:
            events[name] = channel.simulation
        else:
            events[name] = _from_simulation(likelihood, channel, theta)
        sources[name] = chosen
    return Supports(events=events, sources=sources)


def _source(channel: UnbinnedChannelModel, source: str, *, signed: bool) -> Literal["simulation", "reference"]:
    """Return which events can be used."""
    if source == "reference":
        return "reference"
    simulation = channel.simulation
    if simulation is None:
        message = f"channel '{channel.name}' holds no simulated events: no expected result can be computed"
        raise InvalidInput(message, code="asimov.no-simulation")
    n_negative = int(np.sum(np.asarray(simulation.weight) < 0))
    if signed or not n_negative:
        return "simulation"
    if source == "auto" and reference_measure(channel) is not None:
        return "reference"
    message = (
        f"{n_negative} of {len(simulation.weight)} simulated events of channel '{channel.name}' have negative weights "
        "and cannot be drawn"
    )
    hint = "a likelihood that holds reference events without negative weights can draw those"
    raise NumericalFailure(message, code="toys.negative-weights", hint=hint)


def _from_simulation(likelihood: Likelihood, channel: UnbinnedChannelModel, theta: Point) -> EventSet:
    simulation = channel.simulation
    if simulation is None:
        raise InvalidInput(f"channel '{channel.name}' holds no simulated events", code="asimov.no-simulation")
    (before, old), (after, new) = (
        positive_intensity(likelihood, channel, simulation, point) for point in (likelihood.initial, theta)
    )
    return replace(simulation, weight=np.asarray(simulation.weight) * np.exp(after - before) * (new / old))


def _from_reference(likelihood: Likelihood, channel: UnbinnedChannelModel, theta: Point) -> EventSet:
    """Return the reference events with weights proportional to lambda / p_ref that add up to the expected events."""
    measure, reference = reference_measure(channel), channel.reference
    if measure is None or reference is None:
        what = "no reference events" if reference is None else "reference events with negative weights"
        raise InvalidInput(f"channel '{channel.name}' holds {what}", code="asimov.no-reference")
    scale, total = positive_intensity(likelihood, channel, reference, theta)
    weight = measure * np.exp(scale) * total
    return replace(reference, weight=weight * likelihood.expected_events(theta)[channel.name].sum() / weight.sum())


def _normalised(channel: ChannelModel) -> ChannelModel:
    """Return an unbinned channel whose densities without a morph have unit integral on the reference events."""
    if isinstance(channel, BinnedChannelModel) or channel.reference is None:
        return channel
    measure = reference_measure(channel)
    if measure is None:
        return channel
    shift = -np.log(measure @ np.exp(np.asarray(channel.reference.log_ratio, dtype=float)))

    def moved(events: EventSet) -> EventSet:
        return replace(events, log_ratio=np.asarray(events.log_ratio, dtype=float) + shift)

    simulation = None if channel.simulation is None else moved(channel.simulation)
    return replace(channel, events=moved(channel.events), simulation=simulation, reference=moved(channel.reference))


def _measured_at(parameter: ParameterModel, value: float) -> ParameterModel:
    if parameter.constraint == "none":
        return parameter
    scale = parameter.factor if parameter.constraint == "poisson" else 1.0
    return parameter.measured(scale * value)


def _binned(channel: BinnedChannelModel, rates: Float[np.ndarray, " bins"]) -> BinnedChannelModel:
    if np.any(rates < 0) or not np.all(np.isfinite(rates)):
        position = int(np.flatnonzero(~(rates >= 0))[0])
        message = f"bin {position} of channel '{channel.name}' expects {rates[position]:.6g} events"
        raise NumericalFailure(message, code="asimov.negative")
    return replace(channel, observed=rates)
