"""Likelihoods to their JSON entries and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evercast.artifacts.likelihood_entry import (
    FORMAT,
    AnchorEntry,
    BinFactorEntry,
    BinnedEntry,
    ComponentEntry,
    HistoSysEntry,
    LikelihoodEntry,
    ModifierEntry,
    NormFactorEntry,
    NormSysEntry,
    ParameterEntry,
    PolynomialEntry,
    SampleEntry,
    UnbinnedEntry,
    YieldModifierEntry,
)
from evercast.likelihood.model import (
    AnchorMorph,
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
    PolynomialMorph,
    UnbinnedChannelModel,
)

__all__ = ["Columns", "EventReader", "from_entry", "to_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How many columns the tensors of an unbinned channel have: log ratios, anchors, polynomial coefficients."""

    components: int
    anchors: int
    terms: int


EventReader = Callable[[str, int, Columns], EventSet]
"""(``CHANNEL.observed``, ``.asimov`` or ``.reference``, events, columns) -> the events, checked to have that shape."""


def to_entry(model: LikelihoodModel) -> LikelihoodEntry:
    """Return the entry of a likelihood."""
    return LikelihoodEntry(
        schema=FORMAT,
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


def _parameter_out(parameter: ParameterModel) -> ParameterEntry:
    low, high = (bound if math.isfinite(bound) else None for bound in parameter.bounds)
    return ParameterEntry(
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


def _parameter_in(parameter: ParameterEntry) -> ParameterModel:
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


def _modifier_out(modifier: Modifier) -> ModifierEntry:
    match modifier:
        case NormFactor():
            return NormFactorEntry(kind="normfactor", parameter=modifier.parameter)
        case NormSys():
            return _yield_modifier_out(modifier)
        case HistoSys():
            up, down = (tuple(float(value) for value in side) for side in (modifier.up, modifier.down))
            return HistoSysEntry(kind="histosys", parameter=modifier.parameter, up=up, down=down, code=modifier.code)
        case BinFactor():
            return BinFactorEntry(kind="bin_factor", parameters=modifier.parameters)


def _yield_modifier_out(modifier: NormFactor | NormSys) -> YieldModifierEntry:
    if isinstance(modifier, NormFactor):
        return NormFactorEntry(kind="normfactor", parameter=modifier.parameter)
    return NormSysEntry(
        kind="normsys", parameter=modifier.parameter, up=modifier.up, down=modifier.down, code=modifier.code
    )


def _modifier_in(modifier: ModifierEntry) -> Modifier:
    match modifier:
        case NormFactorEntry() | NormSysEntry():
            return _yield_modifier_in(modifier)
        case HistoSysEntry():
            up, down = np.asarray(modifier.up), np.asarray(modifier.down)
            return HistoSys(parameter=modifier.parameter, up=up, down=down, code=modifier.code)
        case BinFactorEntry():
            return BinFactor(parameters=modifier.parameters)


def _yield_modifier_in(modifier: YieldModifierEntry) -> NormFactor | NormSys:
    if isinstance(modifier, NormFactorEntry):
        return NormFactor(parameter=modifier.parameter)
    return NormSys(parameter=modifier.parameter, up=modifier.up, down=modifier.down, code=modifier.code)


def _channel_out(channel: ChannelModel) -> UnbinnedEntry | BinnedEntry:
    if isinstance(channel, UnbinnedChannelModel):
        return _unbinned_out(channel)
    samples = tuple(
        SampleEntry(
            name=sample.name,
            coefficient=sample.coefficient,
            nominal=tuple(float(value) for value in sample.nominal),
            modifiers=tuple(_modifier_out(modifier) for modifier in sample.modifiers),
        )
        for sample in channel.samples
    )
    observed = tuple(float(count) for count in channel.observed)
    return BinnedEntry(kind="binned", name=channel.name, samples=samples, observed=observed, blind=channel.blind)


def _unbinned_out(channel: UnbinnedChannelModel) -> UnbinnedEntry:
    components = tuple(
        ComponentEntry(
            process=component.process,
            coefficient=component.coefficient,
            yield_events=component.yield_events,
            modifiers=tuple(_yield_modifier_out(modifier) for modifier in component.modifiers),
        )
        for component in channel.components
    )
    anchors = tuple(
        AnchorEntry(process=morph.process, parameter=morph.parameter, interpolation=morph.interpolation)
        for morph in channel.anchors
    )
    return UnbinnedEntry(
        kind="unbinned",
        name=channel.name,
        components=components,
        anchors=anchors,
        polynomials=tuple(PolynomialEntry(process=one.process, terms=one.terms) for one in channel.polynomials),
        normalise_morphs=channel.normalise_morphs,
        observed_events=len(channel.events.weight),
        asimov_events=None if channel.simulation is None else len(channel.simulation.weight),
        reference_events=None if channel.reference is None else len(channel.reference.weight),
        blind=channel.blind,
    )


def _channel_in(channel: UnbinnedEntry | BinnedEntry, events: EventReader) -> ChannelModel:
    if isinstance(channel, UnbinnedEntry):
        return _unbinned_in(channel, events)
    samples = tuple(
        BinnedSample(
            name=sample.name,
            coefficient=sample.coefficient,
            nominal=np.asarray(sample.nominal),
            modifiers=tuple(_modifier_in(modifier) for modifier in sample.modifiers),
        )
        for sample in channel.samples
    )
    observed = np.asarray(channel.observed)
    return BinnedChannelModel(name=channel.name, samples=samples, observed=observed, blind=channel.blind)


def _unbinned_in(channel: UnbinnedEntry, events: EventReader) -> UnbinnedChannelModel:
    components = tuple(
        Component(
            process=component.process,
            coefficient=component.coefficient,
            yield_events=component.yield_events,
            modifiers=tuple(_yield_modifier_in(modifier) for modifier in component.modifiers),
        )
        for component in channel.components
    )
    columns = Columns(
        components=len(components),
        anchors=len(channel.anchors),
        terms=sum(len(one.terms) for one in channel.polynomials),
    )

    def stored(name: str, count: int | None) -> EventSet | None:
        return None if count is None else events(f"{channel.name}.{name}", count, columns)

    return UnbinnedChannelModel(
        name=channel.name,
        components=components,
        events=events(f"{channel.name}.observed", channel.observed_events, columns),
        simulation=stored("asimov", channel.asimov_events),
        anchors=tuple(
            AnchorMorph(process=morph.process, parameter=morph.parameter, interpolation=morph.interpolation)
            for morph in channel.anchors
        ),
        polynomials=tuple(PolynomialMorph(process=one.process, terms=one.terms) for one in channel.polynomials),
        reference=stored("reference", channel.reference_events),
        normalise_morphs=channel.normalise_morphs,
        blind=channel.blind,
    )
