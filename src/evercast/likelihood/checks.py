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
    Component,
    LikelihoodModel,
    Modifier,
    ModifierKinds,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
    modifier_kinds,
)
from evercast.likelihood.unbinned_checks import check_morphs, check_sets
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["check_model"]


def check_model(model: LikelihoodModel, *, checked: LikelihoodModel | None = None, values: bool = True) -> None:
    """Check names, shapes, signs and finiteness.

    Args:
        model: to be checked.
        checked: another that passed: templates that are the same objects there are not looked at again.
        values: whether all events are read and looked at; False where whoever reads them does so.

    Raises:
        InvalidInput: something is inconsistent; the first problem is named. ``systematic.identical``: a nuisance
            parameter does the same at +1 and -1.
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
    names = frozenset(model.parameter_names)
    passed = _passed(checked) if checked is not None and names >= frozenset(checked.parameter_names) else frozenset()
    for channel in model.channels:
        if isinstance(channel, BinnedChannelModel):
            _check_binned(channel, model, names, passed)
        else:
            _check_unbinned(channel, model, values=values)
    _check_two_sided(model)


def _check_two_sided(model: LikelihoodModel) -> None:
    """Refuse a nuisance parameter whose effects are all the same at +1 and -1: no data can tell its sign.

    One that has no effect at all is left alone.
    """
    told = {parameter.name for parameter in model.parameters if parameter.fixed}
    same: dict[str, str] = {}
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            told |= {anchor.parameter for anchor in channel.anchors}
            told |= {name for morph in channel.polynomials for term in morph.terms for name, _ in term}
        for row in channel.samples if isinstance(channel, BinnedChannelModel) else channel.components:
            told |= names_in(parse_coefficient(row.coefficient)) if row.coefficient != "1" else frozenset()
            differ, unsided = row.sides if isinstance(row, BinnedSample) else _sides(row)
            told |= differ
            process = row.name if isinstance(row, BinnedSample) else row.process
            for name in unsided:
                same.setdefault(name, f"'{process}' in channel '{channel.name}'")
    found = next((name for name in same if name not in told), None)
    if found is not None:
        raise InvalidInput(
            f"up and down of the nuisance parameter '{found}' are identical wherever it acts, e.g. on {same[found]}: "
            "the data cannot tell its sign, and fits of it have no single answer",
            code="systematic.identical",
            where=model.name,
            hint="are up and down the same template? fix the parameter, or mirror one of the sides",
        )


def _sides(component: Component) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return what `BinnedSample.sides` does."""
    differ = {m.parameter for m in component.modifiers if not isinstance(m, NormSys) or m.up != m.down}
    return frozenset(differ), tuple(m.parameter for m in component.modifiers if isinstance(m, NormSys) and m.up != 1.0)


def _passed(model: LikelihoodModel) -> frozenset[tuple[int, int]]:
    """Return identity and number of bins of the templates of a model, which outlives what is returned."""
    return frozenset(
        (id(sample), len(channel.observed))
        for channel in model.channels
        if isinstance(channel, BinnedChannelModel)
        for sample in channel.samples
    )


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


def _check_modifiers(modifiers: Iterable[Modifier], kinds: ModifierKinds, names: frozenset[str], place: str) -> None:
    """Check the names of modifiers, which `kinds` holds sorted, and the numbers of normalisation variations."""
    if not (kinds.of_rows <= names and kinds.of_bins <= names):
        used = (
            name for m in modifiers for name in (m.parameters if isinstance(m, BinFactor) else (m.parameter,))
            if name is not None and name not in names
        )  # fmt: skip
        message = f"a modifier uses parameter '{next(used)}', which is not declared"
        raise InvalidInput(message, code="likelihood.unknown-parameter", where=place)
    for modifier in kinds.norm_systems:
        values = (modifier.up, modifier.down)
        if not all(math.isfinite(value) for value in values) or (modifier.code != "0" and min(values) <= 0):
            message = f"normalisation variation '{modifier.parameter}' has up {values[0]}, down {values[1]}"
            raise InvalidInput(message, code="likelihood.normsys", where=place, hint="both must be positive")


def _check_binned(
    channel: BinnedChannelModel, model: LikelihoodModel, names: frozenset[str], passed: frozenset[tuple[int, int]]
) -> None:
    where = f"{model.name}: channel {channel.name}"
    _unique((sample.name for sample in channel.samples), "sample", where)
    if not channel.samples or not len(channel.observed):
        raise InvalidInput("the channel has no sample or no bin", code="likelihood.empty-channel", where=where)
    if not np.all(np.isfinite(channel.observed)) or np.any(channel.observed < 0):
        message = f"observed counts must be finite and not negative, found {_first_bad(channel.observed, signed=False)}"
        raise InvalidInput(message, code="likelihood.observed", where=where)
    for sample in channel.samples:
        if (id(sample), len(channel.observed)) not in passed:
            _check_sample(sample, len(channel.observed), f"{where}: sample {sample.name}")
            _check_modifiers(sample.modifiers, sample.kinds, names, f"{where}: sample {sample.name}")


def _check_sample(sample: BinnedSample, n_bins: int, place: str) -> None:
    shifts = sample.kinds.shifts
    templates = [sample.nominal, *(m.up for m in shifts), *(m.down for m in shifts)]
    if not (all(values.shape == (n_bins,) for values in templates) and np.isfinite(np.concatenate(templates)).all()):
        _name_first_bad(sample, n_bins, place)
    for modifier in sample.kinds.bin_factors:
        if len(modifier.parameters) != n_bins:
            message = f"a bin factor has {len(modifier.parameters)} bins, the channel has {n_bins}"
            raise InvalidInput(message, code="likelihood.bins", where=place)
    if np.sum(sample.nominal) < 0:
        message = f"the total yield is negative: {np.sum(sample.nominal):.6g}"
        raise InvalidInput(message, code="likelihood.negative-yield", where=place)


def _name_first_bad(sample: BinnedSample, n_bins: int, place: str) -> None:
    arrays = [("nominal", sample.nominal)]
    arrays += [(f"histosys {m.parameter}", a) for m in sample.kinds.shifts for a in (m.up, m.down)]
    for what, values in arrays:
        if values.shape != (n_bins,):
            message = f"{what} has {values.size} bins, the channel has {n_bins}"
            raise InvalidInput(message, code="likelihood.bins", where=place)
        if not np.all(np.isfinite(values)):
            message = f"{what} holds {_first_bad(values, signed=True)}"
            raise InvalidInput(message, code="likelihood.not-finite", where=place)


def _first_bad(values: np.ndarray, *, signed: bool) -> str:
    bad = ~np.isfinite(values) if signed else ~np.isfinite(values) | (values < 0)
    position = int(np.flatnonzero(bad)[0])
    return f"{values[position]} in bin {position}"


def _check_unbinned(channel: UnbinnedChannelModel, model: LikelihoodModel, *, values: bool) -> None:
    where = f"{model.name}: channel {channel.name}"
    _unique((component.process for component in channel.components), "process", where)
    if not channel.components:
        raise InvalidInput("the channel has no component", code="likelihood.empty-channel", where=where)
    for component in channel.components:
        place = f"{where}: process {component.process}"
        if not math.isfinite(component.yield_events) or component.yield_events < 0:
            message = f"yield of {component.yield_events} events; it must be finite and not negative"
            raise InvalidInput(message, code="likelihood.negative-yield", where=place)
        kinds = modifier_kinds(component.modifiers)
        _check_modifiers(component.modifiers, kinds, frozenset(model.parameter_names), place)
    check_morphs(channel, model, where)
    check_sets(channel, where, values=values)
