"""What a likelihood model must satisfy before anything is fitted."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    Modifier,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.likelihood.unbinned_checks import check_morphs, check_sets

__all__ = ["check_model"]


def check_model(model: LikelihoodModel) -> None:
    """Check names, shapes, signs and finiteness.

    Raises:
        InvalidInput: something is inconsistent; the first problem is named.
        NumericalFailure: a log ratio or a weight is not finite.
    """
    _unique((parameter.name for parameter in model.parameters), "parameter", model.name)
    _unique((channel.name for channel in model.channels), "channel", model.name)
    if not model.channels:
        raise InvalidInput("the likelihood has no channel", code="likelihood.no-channel", where=model.name)
    pois = [parameter.name for parameter in model.parameters if parameter.poi]
    if len(pois) > 1:
        message = f"one parameter of interest is allowed, found {', '.join(pois)}"
        raise InvalidInput(message, code="likelihood.several-poi", where=model.name)
    for parameter in model.parameters:
        _check_parameter(parameter, model.name)
    for channel in model.channels:
        if isinstance(channel, BinnedChannelModel):
            _check_binned(channel, model)
        else:
            _check_unbinned(channel, model)


def _unique(names: Iterable[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"{what} '{name}' stands twice", code=f"likelihood.duplicate-{what}", where=where)
        seen.add(name)


def _check_parameter(parameter: ParameterModel, where: str) -> None:
    low, high = parameter.bounds
    place = f"{where}: parameter {parameter.name}"
    if math.isnan(low) or math.isnan(high) or low >= high:
        raise InvalidInput(f"bounds [{low}, {high}] are not in order", code="likelihood.bounds", where=place)
    if not math.isfinite(parameter.initial) or not (parameter.fixed or low <= parameter.initial <= high):
        message = f"initial value {parameter.initial} lies outside of the bounds [{low}, {high}]"
        raise InvalidInput(message, code="likelihood.initial-value", where=place)
    if parameter.constraint == "none":
        return
    scale = parameter.width if parameter.constraint == "normal" else parameter.factor
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(parameter.global_observable)):
        message = (
            f"{parameter.constraint} constraint with global observable {parameter.global_observable}, scale {scale}"
        )
        raise InvalidInput(message, code="likelihood.constraint", where=place, hint="both finite, the scale positive")


def _check_modifiers(modifiers: Iterable[Modifier], names: frozenset[str], place: str) -> None:
    for modifier in modifiers:
        used = modifier.parameters if isinstance(modifier, BinFactor) else (modifier.parameter,)
        unknown = [name for name in used if name is not None and name not in names]
        if unknown:
            message = f"a modifier uses parameter '{unknown[0]}', which is not declared"
            raise InvalidInput(message, code="likelihood.unknown-parameter", where=place)
        if isinstance(modifier, NormSys):
            values = (modifier.up, modifier.down)
            if not all(math.isfinite(value) for value in values) or (modifier.code != "0" and min(values) <= 0):
                message = f"normalisation variation '{modifier.parameter}' has up {values[0]}, down {values[1]}"
                raise InvalidInput(message, code="likelihood.normsys", where=place, hint="both must be positive")


def _check_binned(channel: BinnedChannelModel, model: LikelihoodModel) -> None:
    where = f"{model.name}: channel {channel.name}"
    _unique((sample.name for sample in channel.samples), "sample", where)
    if not channel.samples or not len(channel.observed):
        raise InvalidInput("the channel has no sample or no bin", code="likelihood.empty-channel", where=where)
    if not np.all(np.isfinite(channel.observed)) or np.any(channel.observed < 0):
        message = f"observed counts must be finite and not negative, found {_first_bad(channel.observed, signed=False)}"
        raise InvalidInput(message, code="likelihood.observed", where=where)
    for sample in channel.samples:
        _check_sample(sample, len(channel.observed), f"{where}: sample {sample.name}")
        _check_modifiers(sample.modifiers, frozenset(model.parameter_names), f"{where}: sample {sample.name}")


def _check_sample(sample: BinnedSample, n_bins: int, place: str) -> None:
    arrays = [("nominal", sample.nominal)]
    arrays += [
        (f"histosys {m.parameter}", a) for m in sample.modifiers if isinstance(m, HistoSys) for a in (m.up, m.down)
    ]
    for what, values in arrays:
        if values.shape != (n_bins,):
            message = f"{what} has {values.size} bins, the channel has {n_bins}"
            raise InvalidInput(message, code="likelihood.bins", where=place)
        if not np.all(np.isfinite(values)):
            message = f"{what} holds {_first_bad(values, signed=True)}"
            raise InvalidInput(message, code="likelihood.not-finite", where=place)
    for modifier in sample.modifiers:
        if isinstance(modifier, BinFactor) and len(modifier.parameters) != n_bins:
            message = f"a bin factor has {len(modifier.parameters)} bins, the channel has {n_bins}"
            raise InvalidInput(message, code="likelihood.bins", where=place)
    if np.sum(sample.nominal) < 0:
        message = f"the total yield is negative: {np.sum(sample.nominal):.6g}"
        raise InvalidInput(message, code="likelihood.negative-yield", where=place)


def _first_bad(values: np.ndarray, *, signed: bool) -> str:
    bad = ~np.isfinite(values) if signed else ~np.isfinite(values) | (values < 0)
    position = int(np.flatnonzero(bad)[0])
    return f"{values[position]} in bin {position}"


def _check_unbinned(channel: UnbinnedChannelModel, model: LikelihoodModel) -> None:
    where = f"{model.name}: channel {channel.name}"
    _unique((component.process for component in channel.components), "process", where)
    if not channel.components:
        raise InvalidInput("the channel has no component", code="likelihood.empty-channel", where=where)
    for component in channel.components:
        place = f"{where}: process {component.process}"
        if not math.isfinite(component.yield_events) or component.yield_events < 0:
            message = f"yield of {component.yield_events} events; it must be finite and not negative"
            raise InvalidInput(message, code="likelihood.negative-yield", where=place)
        _check_modifiers(component.modifiers, frozenset(model.parameter_names), place)
    check_morphs(channel, model, where)
    check_sets(channel, where)
