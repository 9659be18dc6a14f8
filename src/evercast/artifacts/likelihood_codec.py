"""Likelihoods to their JSON entries and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar, cast

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

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Columns", "EventReader", "from_entry", "to_entry"]


T = TypeVar("T")


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
    return _like(
        LikelihoodEntry,
        model,
        schema=FORMAT,
        parameters=tuple(map(_parameter_out, model.parameters)),
        channels=tuple(map(_channel_out, model.channels)),
    )


def from_entry(entry: LikelihoodEntry, events: EventReader) -> LikelihoodModel:
    """Return the likelihood of an entry; `events` finds the events of its unbinned channels."""
    return _like(
        LikelihoodModel,
        entry,
        parameters=tuple(map(_parameter_in, entry.parameters)),
        channels=tuple(_channel_in(channel, events) for channel in entry.channels),
    )


def _like(target: Callable[..., T], source: DataclassInstance, **changed: object) -> T:
    """Return a `target` whose fields are those of `source` that it shares, but for those given."""
    own = {field.name for field in fields(cast("type[DataclassInstance]", target))} - changed.keys()
    shared = own & {field.name for field in fields(source)}
    return target(**{name: getattr(source, name) for name in shared}, **changed)


def _each(target: Callable[..., T], sources: Iterable[DataclassInstance]) -> tuple[T, ...]:
    return tuple(_like(target, source) for source in sources)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _parameter_out(parameter: ParameterModel) -> ParameterEntry:
    low, high = (bound if math.isfinite(bound) else None for bound in parameter.bounds)
    return _like(ParameterEntry, parameter, bounds=(low, high))


def _parameter_in(parameter: ParameterEntry) -> ParameterModel:
    low, high = parameter.bounds
    return _like(
        ParameterModel, parameter, bounds=(-math.inf if low is None else low, math.inf if high is None else high)
    )


def _modifier_out(modifier: Modifier) -> ModifierEntry:
    match modifier:
        case NormFactor() | NormSys():
            return _yield_modifier_out(modifier)
        case HistoSys():
            up, down = _floats(modifier.up), _floats(modifier.down)
            return _like(HistoSysEntry, modifier, kind="histosys", up=up, down=down)
        case BinFactor():
            return _like(BinFactorEntry, modifier, kind="bin_factor")


def _yield_modifier_out(modifier: NormFactor | NormSys) -> YieldModifierEntry:
    if isinstance(modifier, NormFactor):
        return _like(NormFactorEntry, modifier, kind="normfactor")
    return _like(NormSysEntry, modifier, kind="normsys")


def _modifier_in(modifier: ModifierEntry) -> Modifier:
    match modifier:
        case NormFactorEntry() | NormSysEntry():
            return _yield_modifier_in(modifier)
        case HistoSysEntry():
            return _like(HistoSys, modifier, up=np.asarray(modifier.up), down=np.asarray(modifier.down))
        case BinFactorEntry():
            return _like(BinFactor, modifier)


def _yield_modifier_in(modifier: YieldModifierEntry) -> NormFactor | NormSys:
    return _like(NormFactor, modifier) if isinstance(modifier, NormFactorEntry) else _like(NormSys, modifier)


def _channel_out(channel: ChannelModel) -> UnbinnedEntry | BinnedEntry:
    if isinstance(channel, UnbinnedChannelModel):
        return _unbinned_out(channel)
    samples = tuple(
        _like(
            SampleEntry, sample, nominal=_floats(sample.nominal), modifiers=tuple(map(_modifier_out, sample.modifiers))
        )
        for sample in channel.samples
    )
    return _like(BinnedEntry, channel, kind="binned", samples=samples, observed=_floats(channel.observed))


def _unbinned_out(channel: UnbinnedChannelModel) -> UnbinnedEntry:
    components = tuple(
        _like(ComponentEntry, component, modifiers=tuple(map(_yield_modifier_out, component.modifiers)))
        for component in channel.components
    )
    return _like(
        UnbinnedEntry,
        channel,
        kind="unbinned",
        components=components,
        anchors=_each(AnchorEntry, channel.anchors),
        polynomials=_each(PolynomialEntry, channel.polynomials),
        observed_events=len(channel.events.weight),
        asimov_events=None if channel.simulation is None else len(channel.simulation.weight),
        reference_events=None if channel.reference is None else len(channel.reference.weight),
    )


def _channel_in(channel: UnbinnedEntry | BinnedEntry, events: EventReader) -> ChannelModel:
    if isinstance(channel, UnbinnedEntry):
        return _unbinned_in(channel, events)
    samples = tuple(
        _like(
            BinnedSample, sample, nominal=np.asarray(sample.nominal),
            modifiers=tuple(map(_modifier_in, sample.modifiers)),
        )
        for sample in channel.samples
    )  # fmt: skip
    return _like(BinnedChannelModel, channel, samples=samples, observed=np.asarray(channel.observed))


def _unbinned_in(channel: UnbinnedEntry, events: EventReader) -> UnbinnedChannelModel:
    components = tuple(
        _like(Component, component, modifiers=tuple(map(_yield_modifier_in, component.modifiers)))
        for component in channel.components
    )
    columns = Columns(
        components=len(components),
        anchors=len(channel.anchors),
        terms=sum(len(one.terms) for one in channel.polynomials),
    )

    def stored(name: str, count: int | None) -> EventSet | None:
        return None if count is None else events(f"{channel.name}.{name}", count, columns)

    return _like(
        UnbinnedChannelModel,
        channel,
        components=components,
        events=events(f"{channel.name}.observed", channel.observed_events, columns),
        simulation=stored("asimov", channel.asimov_events),
        anchors=_each(AnchorMorph, channel.anchors),
        polynomials=_each(PolynomialMorph, channel.polynomials),
        reference=stored("reference", channel.reference_events),
    )
