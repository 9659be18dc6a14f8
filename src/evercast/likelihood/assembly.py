"""A likelihood put together from templates and log ratios, with the parameters and processes of a document.

Binned channels go through a HistFactory workspace where one can express them, so that what is fitted here and what is
published as a pyhf workspace are one model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import (
    BinnedChannelModel,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.spec.expressions import Binary, Name, Node, Number, names, parse_coefficient
from evercast.spec.model import NormalisationSystematic, Parameter, Process, Systematic

__all__ = ["BinnedInput", "Physics", "Template", "UnbinnedInput", "assemble", "check_templates", "to_workspace"]

_SYSTEMATIC_BOUNDS = (-5.0, 5.0)
"""Bounds of a unit-Gaussian parameter, in its standard deviations; those pyhf suggests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """What all channels share: the parameters, the processes with their coefficients, the systematics."""

    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Process]
    systematics: Mapping[str, Systematic]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """Expected events of a process in bins, at coefficient 1.

    Args:
        variance: sum of squared weights per bin; None: taken as exact.
    """

    process: str
    nominal: Float[np.ndarray, " bins"]
    variance: Float[np.ndarray, " bins"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedInput:
    """A binned channel: templates and counts."""

    name: str
    templates: tuple[Template, ...]
    observed: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnbinnedInput:
    """An unbinned channel: yields at coefficient 1 and events, columns in the order of `yields`."""

    name: str
    yields: Mapping[str, float]
    observed: EventSet
    simulation: EventSet | None = None


def check_templates(channel: BinnedInput) -> None:
    """Refuse templates that no likelihood can be made of.

    Raises:
        InvalidInput: ``likelihood.negative-bin``, ``likelihood.empty-template`` (a process without expected events),
            ``likelihood.impossible-data`` (observed events in a bin where nothing is expected).
    """
    for template in channel.templates:
        where = f"channel {channel.name}, process {template.process}"
        negative = np.flatnonzero(~(template.nominal >= 0))
        if len(negative):
            value = template.nominal[negative[0]]
            raise InvalidInput(
                f"the template has {value:.6g} expected events in bin {negative[0]} ({len(negative)} such bins)",
                code="likelihood.negative-bin",
                where=where,
                hint="merge bins until every one is positive",
            )
        if not np.any(template.nominal > 0):
            raise InvalidInput(
                f"all {len(template.nominal)} bins of the template are 0",
                code="likelihood.empty-template",
                where=where,
                hint="leave the process out of the channel, or look at its selection",
            )
    total = np.sum([template.nominal for template in channel.templates], axis=0)
    impossible = np.flatnonzero((total <= 0) & (channel.observed > 0))
    if len(impossible):
        first = impossible[0]
        raise InvalidInput(
            f"bin {first} has {channel.observed[first]:g} observed events and no expected ones "
            f"({len(impossible)} such bins)",
            code="likelihood.impossible-data",
            where=f"channel {channel.name}",
            hint="merge bins, or add the process that is missing",
        )


def to_workspace(
    channels: Sequence[BinnedInput], physics: Physics, *, measurement: str, strict: bool = True
) -> dict[str, object]:
    """Return the pyhf workspace of binned channels.

    A coefficient becomes ``normfactor`` modifiers, a systematic ``normsys``, the variances one ``staterror`` per
    channel (one factor per bin for all its samples, Barlow-Beeston lite).

    Args:
        channels: at least one.
        physics: what they share.
        measurement: its name.
        strict: refuse a coefficient that is not a product of free parameters; otherwise it is left out.

    Raises:
        InvalidInput: ``likelihood.not-histfactory``.
    """
    free: dict[str, Parameter] = {}
    entries: list[dict[str, object]] = []
    for channel in channels:
        samples = []
        for template in channel.templates:
            factors = _normfactors(template.process, physics, strict=strict)
            free |= {name: physics.parameters[name] for name in factors}
            samples.append(_sample(template, channel.name, factors, physics))
        entries.append({"name": channel.name, "samples": samples})
    settings: list[dict[str, object]] = []
    for name, parameter in free.items():
        settings.append({"name": name, "inits": [parameter.initial]})
        if parameter.bounds is not None:
            settings[-1]["bounds"] = [list(parameter.bounds)]
    poi = next((name for name, parameter in free.items() if parameter.poi), "")
    return {
        "version": "1.0.0",
        "channels": entries,
        "observations": [{"name": channel.name, "data": channel.observed.tolist()} for channel in channels],
        "measurements": [{"name": measurement, "config": {"poi": poi, "parameters": settings}}],
    }


def _sample(template: Template, channel: str, factors: Sequence[str], physics: Physics) -> dict[str, object]:
    modifiers: list[dict[str, object]] = [{"name": name, "type": "normfactor", "data": None} for name in factors]
    modifiers += [
        {"name": name, "type": "normsys", "data": {"hi": systematic.up, "lo": systematic.down}}
        for name, systematic in physics.systematics.items()
        if isinstance(systematic, NormalisationSystematic) and template.process in systematic.processes
    ]
    if template.variance is not None:
        error = np.sqrt(template.variance)
        modifiers.append({"name": f"mcstat_{channel}", "type": "staterror", "data": error.tolist()})
    return {"name": template.process, "data": template.nominal.tolist(), "modifiers": modifiers}


def _normfactors(process: str, physics: Physics, *, strict: bool) -> tuple[str, ...]:
    """Return what stands for the coefficient as ``normfactor`` modifiers."""
    factors = _factors(process, physics)
    if factors is not None:
        return factors
    if not strict:
        return ()
    text = physics.processes[process].coefficient
    raise InvalidInput(
        f"the coefficient {text!r} of process {process!r} is not a product of different unconstrained parameters, so "
        "HistFactory cannot express it",
        code="likelihood.not-histfactory",
        where=f"$.processes.{process}.coefficient",
        hint="publish this likelihood as neural_likelihood, which takes any formula",
    )


def _factors(process: str, physics: Physics) -> tuple[str, ...] | None:
    """Return the unconstrained parameters whose product is the coefficient; None where there are none such."""
    factors = _product(parse_coefficient(physics.processes[process].coefficient))
    if factors is None or any(physics.parameters[name].constraint != "none" for name in factors):
        return None
    return factors


def _product(node: Node) -> tuple[str, ...] | None:
    match node:
        case Number(value=1):
            return ()
        case Name(name=name):
            return (name,)
        case Binary(op="*", left=left, right=right):
            first, second = _product(left), _product(right)
            if first is None or second is None or set(first) & set(second):
                return None
            return first + second
        case _:
            return None


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
        InvalidInput: ``likelihood.no-channel``, or what `check_templates` refuses.
    """
    if not binned and not unbinned:
        raise InvalidInput(f"likelihood {name!r} has no channel", code="likelihood.no-channel")
    for channel in binned:
        check_templates(channel)
    histfactory = None
    if binned:
        histfactory = read_workspace(to_workspace(binned, physics, measurement=name, strict=False), name=name)
    channels = [_with_coefficients(channel, physics) for channel in (histfactory.channels if histfactory else ())]
    return LikelihoodModel(
        name=name,
        title=title,
        parameters=_parameters(binned, unbinned, physics, histfactory),
        channels=(*channels, *(_unbinned_channel(channel, physics) for channel in unbinned)),
    )


def _with_coefficients(channel: object, physics: Physics) -> BinnedChannelModel:
    """Return the channel with the formulas that HistFactory could not take."""
    if not isinstance(channel, BinnedChannelModel):
        raise TypeError(f"a workspace gives binned channels only, found {type(channel).__name__}")
    samples = tuple(
        sample
        if _factors(sample.name, physics) is not None
        else replace(sample, coefficient=physics.processes[sample.name].coefficient)
        for sample in channel.samples
    )
    return replace(channel, samples=samples)


def _unbinned_channel(channel: UnbinnedInput, physics: Physics) -> UnbinnedChannelModel:
    components = tuple(
        Component(
            process=process,
            yield_events=expected,
            coefficient=physics.processes[process].coefficient,
            modifiers=tuple(
                NormSys(parameter=name, up=systematic.up, down=systematic.down)
                for name, systematic in physics.systematics.items()
                if isinstance(systematic, NormalisationSystematic) and process in systematic.processes
            ),
        )
        for process, expected in channel.yields.items()
    )
    return UnbinnedChannelModel(
        name=channel.name,
        components=components,
        events=channel.observed,
        simulation=channel.simulation,
    )


def _parameters(
    binned: Sequence[BinnedInput],
    unbinned: Sequence[UnbinnedInput],
    physics: Physics,
    histfactory: LikelihoodModel | None,
) -> tuple[ParameterModel, ...]:
    """Return the parameters in use: those of the document, the systematics, then the rest of the binned channels."""
    used = {template.process for channel in binned for template in channel.templates}
    used |= {process for channel in unbinned for process in channel.yields}
    named = set().union(*(names(parse_coefficient(physics.processes[process].coefficient)) for process in used))
    models = [_parameter(name, parameter) for name, parameter in physics.parameters.items() if name in named]
    models += [
        ParameterModel(name=name, bounds=_SYSTEMATIC_BOUNDS, constraint="normal", label=systematic.title)
        for name, systematic in physics.systematics.items()
        if isinstance(systematic, NormalisationSystematic) and used & set(systematic.processes)
    ]
    taken = {model.name for model in models}
    rest = histfactory.parameters if histfactory else ()
    return (*models, *(model for model in rest if model.name not in taken))


def _parameter(name: str, parameter: Parameter) -> ParameterModel:
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
