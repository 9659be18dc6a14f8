"""Another parametrisation of a likelihood that exists: other parameters, other coefficients, the same densities.

What was learned and simulated belongs to the processes, not to the parameters: a signal strength can become a coupling
or a width after the networks are trained, and after the paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    ChannelModel,
    Component,
    LikelihoodModel,
    NormFactor,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Parameter

__all__ = ["Parametrisation", "reparametrise", "used_parameters"]

Part = Component | BinnedSample
P = TypeVar("P", Component, BinnedSample)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parametrisation:
    """New parameters and coefficients.

    Args:
        parameters: name -> definition; parameters of the likelihood that are not named keep theirs.
        coefficients: process -> formula; processes not named keep theirs.
    """

    parameters: Mapping[str, Parameter]
    coefficients: Mapping[str, str]


def reparametrise(model: LikelihoodModel, parametrisation: Parametrisation) -> LikelihoodModel:
    """Return the likelihood with new parameters and coefficients.

    A new coefficient takes the place of the old one and of all factors of the process that are free parameters
    (HistFactory ``normfactor``). Parameters that nothing uses any longer are dropped. Simulated events of unbinned
    channels are weighted to the new initial values.

    Args:
        model: binned samples and unbinned components of one name are one process.
        parametrisation: what becomes new.

    Raises:
        InvalidInput: all problems in one message: an unknown process, a formula that uses an undefined parameter, a
            parameter of interest that is gone or not unique, a constraint that would be lost.
    """
    old = {parameter.name: parameter for parameter in model.parameters}
    channels = tuple(_with_coefficients(channel, parametrisation.coefficients, old) for channel in model.channels)
    kept = _kept(model, channels, parametrisation)
    _check(model, channels, parametrisation, kept)
    poi = next((name for name, entry in parametrisation.parameters.items() if entry.poi), None)
    defined = [_defined(name, old.get(name), parametrisation) for name in kept]
    parameters = tuple(entry if poi is None else replace(entry, poi=entry.name == poi) for entry in defined)
    if not any(parameter.poi for parameter in parameters) and model.poi is not None:
        message = f"the parameter of interest '{model.poi.name}' is gone, and no new one is declared"
        raise InvalidInput(message, code="reparametrise.poi", where=model.name, hint="give one parameter 'poi: true'")
    changed = replace(model, parameters=parameters, channels=channels)
    return replace(changed, channels=_reweighted(model, changed))


def used_parameters(channels: tuple[ChannelModel, ...]) -> frozenset[str]:
    """Return the parameters that coefficients, modifiers and morphs of the channels use."""
    found: set[str] = set()
    for channel in channels:
        for part in _parts(channel):
            found |= names_in(parse_coefficient(part.coefficient))
            for modifier in part.modifiers:
                used = modifier.parameters if isinstance(modifier, BinFactor) else (modifier.parameter,)
                found |= {name for name in used if name is not None}
        if isinstance(channel, UnbinnedChannelModel):
            found |= _morphing(channel)
    return frozenset(found)


def _morphing(channel: UnbinnedChannelModel) -> set[str]:
    named = {name for morph in channel.polynomials for term in morph.terms for name, _ in term}
    return named | {anchor.parameter for anchor in channel.anchors}


def _parts(channel: ChannelModel) -> tuple[Part, ...]:
    return channel.samples if isinstance(channel, BinnedChannelModel) else channel.components


def _process(part: Part) -> str:
    return part.name if isinstance(part, BinnedSample) else part.process


def _with_coefficients(
    channel: ChannelModel, coefficients: Mapping[str, str], parameters: Mapping[str, ParameterModel]
) -> ChannelModel:
    if isinstance(channel, BinnedChannelModel):
        return replace(channel, samples=tuple(_renewed(part, coefficients, parameters) for part in channel.samples))
    return replace(channel, components=tuple(_renewed(part, coefficients, parameters) for part in channel.components))


def _renewed(part: P, coefficients: Mapping[str, str], parameters: Mapping[str, ParameterModel]) -> P:
    formula = coefficients.get(_process(part))
    if formula is None:
        return part

    def is_free(modifier: object) -> bool:
        return isinstance(modifier, NormFactor) and parameters[modifier.parameter].constraint == "none"

    kept = tuple(modifier for modifier in part.modifiers if not is_free(modifier))
    return replace(part, coefficient=formula, modifiers=kept)


def _kept(
    model: LikelihoodModel, channels: tuple[ChannelModel, ...], parametrisation: Parametrisation
) -> tuple[str, ...]:
    """Return the names of all parameters: old ones in their order but those that lost their use, then new ones."""
    lost = used_parameters(model.channels) - used_parameters(channels) - parametrisation.parameters.keys()
    old = [name for name in model.parameter_names if name not in lost]
    return (*old, *(name for name in parametrisation.parameters if name not in model.parameter_names))


def _defined(name: str, old: ParameterModel | None, parametrisation: Parametrisation) -> ParameterModel:
    entry = parametrisation.parameters.get(name)
    if entry is None:
        if old is None:  # refused by _check before
            raise InvalidInput(f"'{name}' is not defined", code="reparametrise.undefined")
        return old
    bounds = entry.bounds or (old.bounds if old is not None else _default_bounds(entry))
    if old is not None:
        return replace(
            old, initial=entry.initial, bounds=bounds, poi=entry.poi, unit=entry.unit, label=entry.label or old.label
        )
    return ParameterModel(
        name=name, initial=entry.initial, bounds=bounds, poi=entry.poi, constraint=entry.constraint, unit=entry.unit,
        label=entry.label,
    )  # fmt: skip


def _default_bounds(entry: Parameter) -> tuple[float, float]:
    return (-5.0, 5.0) if entry.constraint == "normal" else (-math.inf, math.inf)


def _check(
    model: LikelihoodModel, channels: tuple[ChannelModel, ...], parametrisation: Parametrisation, kept: tuple[str, ...]
) -> None:
    problems = list(_problems(model, channels, parametrisation, frozenset(kept)))
    if problems:
        codes = {code for code, _ in problems}
        raise InvalidInput(
            "; ".join(message for _, message in problems),
            code=codes.pop() if len(codes) == 1 else "reparametrise.invalid",
            where=f"parametrisation of {model.name}",
        )


def _problems(
    model: LikelihoodModel, channels: tuple[ChannelModel, ...], parametrisation: Parametrisation, kept: frozenset[str]
) -> Iterator[tuple[str, str]]:
    processes = sorted({_process(part) for channel in channels for part in _parts(channel)})
    for process, formula in parametrisation.coefficients.items():
        if process not in processes:
            yield "reparametrise.process", f"unknown process '{process}'; processes: {', '.join(processes)}"
        for name in sorted(names_in(parse_coefficient(formula)) - kept):
            message = f"the coefficient '{formula}' of '{process}' uses '{name}', which is not defined"
            yield "reparametrise.undefined", message
    interests = [name for name, entry in parametrisation.parameters.items() if entry.poi]
    if len(interests) > 1:
        yield "reparametrise.poi", f"one parameter of interest is allowed, found {', '.join(interests)}"
    old = {parameter.name: parameter for parameter in model.parameters}
    for name, entry in parametrisation.parameters.items():
        if name in old and old[name].constraint != entry.constraint:
            message = f"'{name}' has the constraint '{old[name].constraint}' here and '{entry.constraint}' there"
            yield "reparametrise.constraint", message + "; a constraint cannot be changed afterwards"
        if name not in used_parameters(channels) and name not in old:
            yield "reparametrise.unused", f"nothing depends on the new parameter '{name}'"


def _reweighted(old: LikelihoodModel, new: LikelihoodModel) -> tuple[ChannelModel, ...]:
    """Return the channels of the new model with simulated events weighted to its initial values."""
    if not any(
        isinstance(channel, UnbinnedChannelModel) and channel.simulation is not None for channel in new.channels
    ):
        return new.channels
    before, after = (Likelihood(model) for model in (old, new))
    nominal, expected = before.expected_events(before.initial), after.expected_events(after.initial)
    return tuple(
        _weighted(channel, nominal[channel.name], expected[channel.name], new)
        if isinstance(channel, UnbinnedChannelModel)
        else channel
        for channel in new.channels
    )


def _weighted(
    channel: UnbinnedChannelModel, nominal: np.ndarray, expected: np.ndarray, model: LikelihoodModel
) -> UnbinnedChannelModel:
    simulation = channel.simulation
    if simulation is None or np.array_equal(nominal, expected):
        return channel
    place = f"channel {channel.name}"
    shifted = [p.name for p in model.parameters if p.initial and p.name in _morphing(channel)]
    if shifted:
        message = f"the initial value of {', '.join(shifted)} is not 0, where the simulated events have their weights"
        raise InvalidInput(message, code="reparametrise.initial", where=place)
    exact = np.asarray(simulation.log_ratio, dtype=float)
    ratio = np.exp(exact - exact.max(axis=1, keepdims=True))
    before, after = ratio @ nominal, ratio @ expected
    bad = np.flatnonzero((before <= 0) | (after <= 0))
    if bad.size:
        message = f"at the new initial values the total intensity is not positive for {bad.size} simulated events"
        hint = "choose initial values within the region where the model is positive"
        raise InvalidInput(message, code="reparametrise.initial", where=place, hint=hint)
    return replace(channel, simulation=replace(simulation, weight=simulation.weight * after / before))
