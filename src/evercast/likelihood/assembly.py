"""A likelihood put together from templates and log ratios, with the parameters and processes of a document.

Templates with their statistics and coefficients go through a HistFactory workspace, so that what is fitted here and
what is published as a pyhf workspace are one model; `evercast.likelihood.assembly_effects` puts systematics on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.assembly_checks import check_effects, check_templates
from evercast.likelihood.assembly_effects import template_modifiers, yield_modifiers
from evercast.likelihood.assembly_inputs import (
    BinnedInput,
    Physics,
    Template,
    UnbinnedInput,
    VariedTemplate,
    VariedYield,
)
from evercast.likelihood.assembly_statistics import with_template_statistics
from evercast.likelihood.assembly_workspace import coefficient_factors, to_workspace
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    ChannelModel,
    Component,
    HistoSys,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.spec.expressions import names, parse_coefficient
from evercast.spec.model import Parameter
from evercast.spec.systematics import parameter_of

__all__ = [
    "BinnedInput",
    "Physics",
    "Template",
    "UnbinnedInput",
    "VariedTemplate",
    "VariedYield",
    "assemble",
    "check_templates",
    "to_workspace",
]

_SYSTEMATIC_BOUNDS = (-5.0, 5.0)
"""Bounds of a unit-Gaussian parameter, in its standard deviations; those pyhf suggests."""


def assemble(
    name: str,
    *,
    binned: Sequence[BinnedInput],
    unbinned: Sequence[UnbinnedInput],
    physics: Physics,
    title: str | None = None,
) -> LikelihoodModel:
    """Return the likelihood of all the channels.

    Raises:
        InvalidInput: ``likelihood.no-channel``, ``systematic.definition`` (a nuisance parameter is declared as another
            kind of parameter), or what `check_templates`, `check_effects` and the modifiers refuse.
    """
    if not binned and not unbinned:
        raise InvalidInput(f"likelihood {name!r} has no channel", code="likelihood.no-channel")
    for channel in binned:
        check_templates(channel)
    check_effects(binned, unbinned, physics)
    histfactory = None
    if binned:
        histfactory = read_workspace(to_workspace(binned, physics, measurement=name, strict=False), name=name)
        statistics = with_template_statistics(histfactory.parameters, binned, physics)
        histfactory = replace(histfactory, parameters=statistics)
    found = {channel.name: channel for channel in (histfactory.channels if histfactory else ())}
    channels: list[ChannelModel] = [
        _binned_channel(found[key], next(one for one in binned if one.name == key), physics) for key in found
    ]
    channels += [_unbinned_channel(channel, physics) for channel in unbinned]
    return LikelihoodModel(
        name=name,
        title=title,
        parameters=_parameters(channels, physics, histfactory),
        channels=tuple(channels),
    )


def _binned_channel(channel: object, given: BinnedInput, physics: Physics) -> BinnedChannelModel:
    """Return the channel with its systematics, and with the formulas that HistFactory could not take."""
    if not isinstance(channel, BinnedChannelModel):
        raise TypeError(f"a workspace gives binned channels only, found {type(channel).__name__}")
    templates = {template.process: template for template in given.templates}
    samples = []
    for sample in channel.samples:
        made = template_modifiers(templates[sample.name], channel.name, physics)
        statistics = tuple(one for one in sample.modifiers if isinstance(one, BinFactor))
        others = tuple(one for one in sample.modifiers if not isinstance(one, BinFactor))
        plain = coefficient_factors(sample.name, physics) is not None
        coefficient = sample.coefficient if plain else physics.coefficient(sample.name)
        samples.append(replace(sample, coefficient=coefficient, modifiers=(*others, *made, *statistics)))
    return replace(channel, samples=tuple(samples), blind=given.blind)


def _unbinned_channel(channel: UnbinnedInput, physics: Physics) -> UnbinnedChannelModel:
    components = tuple(
        Component(
            process=process,
            yield_events=expected,
            coefficient=physics.coefficient(process),
            modifiers=yield_modifiers(process, channel, physics),
        )
        for process, expected in channel.yields.items()
    )
    return UnbinnedChannelModel(
        name=channel.name,
        components=components,
        events=channel.observed,
        simulation=channel.simulation,
        anchors=channel.anchors,
        polynomials=channel.polynomials,
        reference=channel.reference,
        blind=channel.blind,
    )


def _parameters(
    channels: Sequence[ChannelModel], physics: Physics, histfactory: LikelihoodModel | None
) -> tuple[ParameterModel, ...]:
    """Return the parameters in use: the document's, those of systematics, of training and of template statistics."""
    used = {process for channel in channels for process in _processes(channel)}
    named = {name for process in used for name in names(parse_coefficient(physics.coefficient(process)))}
    models = {name: _declared(name, physics.parameters[name]) for name in physics.parameters if name in named}
    varied = dict.fromkeys(name for channel in channels for name in _nuisances(channel))
    order = dict.fromkeys(parameter_of(key, systematic) for key, systematic in physics.systematics.items())
    labels = _labels(physics)
    for name in (*(name for name in order if name in varied), *(name for name in varied if name not in order)):
        models[name] = _nuisance(name, physics, labels.get(name))
    rest = histfactory.parameters if histfactory else ()
    return (*models.values(), *(model for model in rest if model.name not in models))


def _processes(channel: ChannelModel) -> list[str]:
    if isinstance(channel, BinnedChannelModel):
        return [sample.name for sample in channel.samples]
    return [component.process for component in channel.components]


def _nuisances(channel: ChannelModel) -> Iterator[str]:
    """Yield the parameters of what systematics do in a channel."""
    if isinstance(channel, BinnedChannelModel):
        for sample in channel.samples:
            yield from (one.parameter for one in sample.modifiers if isinstance(one, NormSys | HistoSys))
        return
    for component in channel.components:
        yield from (one.parameter for one in component.modifiers)
    yield from (morph.parameter for morph in channel.anchors)
    yield from (parameter for morph in channel.polynomials for term in morph.terms for parameter, _ in term)


def _labels(physics: Physics) -> Mapping[str, str]:
    """Return nuisance parameter -> title: that of its first systematic that has one."""
    titles: dict[str, str] = {}
    for key, systematic in physics.systematics.items():
        if systematic.title is not None:
            titles.setdefault(parameter_of(key, systematic), systematic.title)
    return titles


def _nuisance(name: str, physics: Physics, label: str | None) -> ParameterModel:
    declared = physics.parameters.get(name)
    if declared is None:
        return ParameterModel(name=name, bounds=_SYSTEMATIC_BOUNDS, constraint="normal", label=label)
    if declared.constraint != "normal" or declared.initial != 0.0 or declared.poi:
        raise InvalidInput(
            f"{name!r} is the nuisance parameter of a systematic, with a unit Gaussian constraint around 0; it is "
            f"declared with constraint {declared.constraint!r}, initial value {declared.initial:g}"
            f"{', as parameter of interest' if declared.poi else ''}",
            code="systematic.definition",
            where=f"$.parameters.{name}",
            hint="leave it out of parameters, or give the systematic another parameter",
        )
    model = _declared(name, declared)
    bounds = _SYSTEMATIC_BOUNDS if declared.bounds is None else declared.bounds
    return replace(model, bounds=bounds, label=model.label or label)


def _declared(name: str, parameter: Parameter) -> ParameterModel:
    infinite = (-np.inf, np.inf)
    return ParameterModel(
        name=name,
        initial=parameter.initial,
        bounds=infinite if parameter.bounds is None else parameter.bounds,
        poi=parameter.poi,
        constraint=parameter.constraint,
        unit=parameter.unit,
        label=parameter.label,
    )
