"""The JSON form of a likelihood: entries that mirror `evercast.likelihood.model`, and the way to them and back.

Events are not in it: an unbinned channel says how many there are, and `evercast.artifacts.likelihood_file` keeps them.
The annotations are real ones (no ``from __future__``): entries are told apart by the literals in them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    ChannelModel,
    Component,
    EventSet,
    HistoSys,
    LikelihoodModel,
    Modifier,
    NormFactor,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

__all__ = ["LikelihoodEntry", "from_entry", "to_entry"]

_FORMAT: Final = "likelihood/1.0.0"

EventReader = Callable[[str, tuple[int, int]], EventSet]
"""(``CHANNEL.observed`` or ``CHANNEL.asimov``, (events, components)) -> the events, checked to have that shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    name: str
    initial: float
    bounds: tuple[float | None, float | None]
    poi: bool
    fixed: bool
    constraint: Literal["none", "normal", "poisson"]
    global_observable: float
    width: float
    factor: float
    unit: str
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _NormFactor:
    kind: Literal["normfactor"]
    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _NormSys:
    kind: Literal["normsys"]
    parameter: str
    up: float
    down: float
    code: Literal["0", "1", "4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HistoSys:
    kind: Literal["histosys"]
    parameter: str
    up: tuple[float, ...]
    down: tuple[float, ...]
    code: Literal["0", "2", "4p"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _BinFactor:
    kind: Literal["bin_factor"]
    parameters: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    process: str
    coefficient: str
    yield_events: float
    modifiers: tuple[_NormFactor | _NormSys, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    name: str
    coefficient: str
    nominal: tuple[float, ...]
    modifiers: tuple[_NormFactor | _NormSys | _HistoSys | _BinFactor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unbinned:
    kind: Literal["unbinned"]
    name: str
    components: tuple[_Component, ...]
    observed_events: int
    asimov_events: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binned:
    kind: Literal["binned"]
    name: str
    samples: tuple[_Sample, ...]
    observed: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodEntry:
    """Everything of a likelihood but its events."""

    schema: Literal["likelihood/1.0.0"]
    name: str
    title: str | None
    parameters: tuple[_Parameter, ...]
    channels: tuple[_Unbinned | _Binned, ...]


def to_entry(model: LikelihoodModel) -> LikelihoodEntry:
    """Return the entry of a likelihood."""
    return LikelihoodEntry(
        schema=_FORMAT,
        name=model.name,
        title=model.title,
        parameters=tuple(_parameter_out(parameter) for parameter in model.parameters),
        channels=tuple(_channel_out(channel) for channel in model.channels),
    )


def from_entry(entry: LikelihoodEntry, events: EventReader) -> LikelihoodModel:
    """Return the likelihood of an entry; `events` finds the events of its unbinned channels."""
    return LikelihoodModel(
        name=entry.name,
        title=entry.title,
        parameters=tuple(_parameter_in(parameter) for parameter in entry.parameters),
        channels=tuple(_channel_in(channel, events) for channel in entry.channels),
    )


def _parameter_out(parameter: ParameterModel) -> _Parameter:
    low, high = (bound if math.isfinite(bound) else None for bound in parameter.bounds)
    return _Parameter(
        name=parameter.name,
        initial=parameter.initial,
        bounds=(low, high),
        poi=parameter.poi,
        fixed=parameter.fixed,
        constraint=parameter.constraint,
        global_observable=parameter.global_observable,
        width=parameter.width,
        factor=parameter.factor,
        unit=parameter.unit,
        label=parameter.label,
    )


def _parameter_in(parameter: _Parameter) -> ParameterModel:
    low, high = parameter.bounds
    return ParameterModel(
        name=parameter.name,
        initial=parameter.initial,
        bounds=(-math.inf if low is None else low, math.inf if high is None else high),
        poi=parameter.poi,
        fixed=parameter.fixed,
        constraint=parameter.constraint,
        global_observable=parameter.global_observable,
        width=parameter.width,
        factor=parameter.factor,
        unit=parameter.unit,
        label=parameter.label,
    )


def _modifier_out(modifier: Modifier) -> _NormFactor | _NormSys | _HistoSys | _BinFactor:
    match modifier:
        case NormFactor():
            return _NormFactor(kind="normfactor", parameter=modifier.parameter)
        case NormSys():
            return _yield_modifier_out(modifier)
        case HistoSys():
            up, down = (tuple(float(value) for value in side) for side in (modifier.up, modifier.down))
            return _HistoSys(kind="histosys", parameter=modifier.parameter, up=up, down=down, code=modifier.code)
        case BinFactor():
            return _BinFactor(kind="bin_factor", parameters=modifier.parameters)


def _yield_modifier_out(modifier: NormFactor | NormSys) -> _NormFactor | _NormSys:
    if isinstance(modifier, NormFactor):
        return _NormFactor(kind="normfactor", parameter=modifier.parameter)
    return _NormSys(
        kind="normsys", parameter=modifier.parameter, up=modifier.up, down=modifier.down, code=modifier.code
    )


def _modifier_in(modifier: _NormFactor | _NormSys | _HistoSys | _BinFactor) -> Modifier:
    match modifier:
        case _NormFactor() | _NormSys():
            return _yield_modifier_in(modifier)
        case _HistoSys():
            up, down = np.asarray(modifier.up), np.asarray(modifier.down)
            return HistoSys(parameter=modifier.parameter, up=up, down=down, code=modifier.code)
        case _BinFactor():
            return BinFactor(parameters=modifier.parameters)


def _yield_modifier_in(modifier: _NormFactor | _NormSys) -> NormFactor | NormSys:
    if isinstance(modifier, _NormFactor):
        return NormFactor(parameter=modifier.parameter)
    return NormSys(parameter=modifier.parameter, up=modifier.up, down=modifier.down, code=modifier.code)


def _channel_out(channel: ChannelModel) -> _Unbinned | _Binned:
    if isinstance(channel, UnbinnedChannelModel):
        components = tuple(
            _Component(
                process=component.process,
                coefficient=component.coefficient,
                yield_events=component.yield_events,
                modifiers=tuple(_yield_modifier_out(modifier) for modifier in component.modifiers),
            )
            for component in channel.components
        )
        simulated = None if channel.simulation is None else len(channel.simulation.weight)
        return _Unbinned(
            kind="unbinned",
            name=channel.name,
            components=components,
            observed_events=len(channel.events.weight),
            asimov_events=simulated,
        )
    samples = tuple(
        _Sample(
            name=sample.name,
            coefficient=sample.coefficient,
            nominal=tuple(float(value) for value in sample.nominal),
            modifiers=tuple(_modifier_out(modifier) for modifier in sample.modifiers),
        )
        for sample in channel.samples
    )
    observed = tuple(float(count) for count in channel.observed)
    return _Binned(kind="binned", name=channel.name, samples=samples, observed=observed)


def _channel_in(channel: _Unbinned | _Binned, events: EventReader) -> ChannelModel:
    if isinstance(channel, _Binned):
        samples = tuple(
            BinnedSample(
                name=sample.name,
                coefficient=sample.coefficient,
                nominal=np.asarray(sample.nominal),
                modifiers=tuple(_modifier_in(modifier) for modifier in sample.modifiers),
            )
            for sample in channel.samples
        )
        return BinnedChannelModel(name=channel.name, samples=samples, observed=np.asarray(channel.observed))
    components = tuple(
        Component(
            process=component.process,
            coefficient=component.coefficient,
            yield_events=component.yield_events,
            modifiers=tuple(_yield_modifier_in(modifier) for modifier in component.modifiers),
        )
        for component in channel.components
    )
    shape = len(components)
    observed = events(f"{channel.name}.observed", (channel.observed_events, shape))
    simulation = None
    if channel.asimov_events is not None:
        simulation = events(f"{channel.name}.asimov", (channel.asimov_events, shape))
    return UnbinnedChannelModel(
        name=channel.name,
        components=components,
        events=observed,
        simulation=simulation,
    )
