"""Several likelihoods as one: channels side by side, parameters of one name are one parameter.

Binned and unbinned channels combine alike. The constraint term of a shared parameter counts once, so its definition
must be the same wherever it stands; what differs on purpose gets another name by renaming.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from evercast.errors import InvalidInput
from evercast.likelihood.model import BinFactor, BinnedChannelModel, ChannelModel, LikelihoodModel, ParameterModel
from evercast.likelihood.renaming import renamed
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient

__all__ = ["combine"]

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TOLERANCE = 1e-12
"""Relative difference of two definitions that is rounding of how they were written."""
_MAX_SHOWN = 20


def combine(
    parts: Mapping[str, LikelihoodModel],
    *,
    rename: Mapping[str, Mapping[str, str]] | None = None,
    uncorrelate: Sequence[str] = (),
    poi: str | None = None,
    name: str = "combination",
    title: str | None = None,
) -> LikelihoodModel:
    """Return the product of likelihoods that share parameters by name.

    A name that stands for one parameter per bin (``stat_SR`` of ``stat_SR[0]``, ``stat_SR[1]``) renames them all.
    Channels whose names clash become PART_CHANNEL.

    Args:
        parts: name of a part -> its likelihood.
        rename: part -> old name of a parameter -> its name in the combination.
        uncorrelate: parameters that stay apart: each becomes PART_PARAMETER.
        poi: parameter of interest, by its name in the combination; None takes that of the parts, which must agree.
        name: of the combination.
        title: of the combination, for people.

    Raises:
        InvalidInput: ``combination.disagree``: all parameters of one name whose definitions differ, with both values;
            ``combination.unknown-parameter``, ``combination.rename``, ``combination.poi``, ``combination.data``;
            ``combination.statistics``, factors of single bins that two parts share without having been renamed.
    """
    if not parts:
        raise InvalidInput("a combination needs at least one part", code="combination.empty")
    _check_rename(parts, rename or {}, uncorrelate)
    names = {part: _names(part, parts, rename or {}, uncorrelate) for part in parts}
    models = {part: renamed(model, names[part]) for part, model in parts.items()}
    _check_template_statistics(models, {new for of_part in names.values() for new in of_part.values()})
    parameters = _merged(models)
    interest = _interest(models, poi, parameters)
    return LikelihoodModel(
        name=name,
        title=title,
        parameters=tuple(replace(parameter, poi=parameter.name == interest) for parameter in parameters),
        channels=tuple(_channels(models)),
        asimov=_data(models),
    )


def _names(
    part: str, parts: Mapping[str, LikelihoodModel], rename: Mapping[str, Mapping[str, str]], uncorrelate: Sequence[str]
) -> Mapping[str, str]:
    """Return old name -> new name of all parameters of a part that get another one."""
    wanted = {**{name: f"{part}_{name}" for name in uncorrelate}, **rename.get(part, {})}
    known = parts[part].parameter_names
    result: dict[str, str] = {}
    for old, new in wanted.items():
        result |= {name: new + name[len(old) :] for name in _meant(old, known)}
    kept = set(known) - result.keys()
    clashes = sorted(kept & set(result.values())) or sorted(
        {name for name in result.values() if list(result.values()).count(name) > 1}
    )
    if clashes:
        message = f"two parameters of one part would both be called '{clashes[0]}'"
        raise InvalidInput(message, code="combination.rename", where=f"part {part}")
    formula = _in_formulas(parts[part].channels)
    wrong = sorted(new for old, new in result.items() if old in formula and not _IDENTIFIER.fullmatch(new))
    if wrong:
        message = f"'{wrong[0]}' cannot stand in a formula, as the parameter it renames does"
        hint = "a letter, then letters, digits and '_'"
        raise InvalidInput(message, code="combination.rename", where=f"part {part}", hint=hint)
    return result


def _meant(name: str, known: Sequence[str]) -> list[str]:
    """Return the parameter of that name, or those of its bins."""
    return [name] if name in known else [other for other in known if other.startswith(f"{name}[")]


def _check_template_statistics(models: Mapping[str, LikelihoodModel], chosen: set[str]) -> None:
    """Refuse constrained factors of bins shared by name alone: templates of two parts have statistics of their own."""
    first: dict[str, str] = {}
    shared: dict[str, tuple[str, str]] = {}
    for part, model in models.items():
        for name in sorted(_bin_factors(model) - chosen):
            if first.setdefault(name, part) != part:
                shared.setdefault(name.partition("[")[0], (first[name], part))
    if shared:
        listed = ", ".join(f"'{name}' of {one} and {two}" for name, (one, two) in list(shared.items())[:_MAX_SHOWN])
        message = f"the uncertainties of single bins would be shared by parts whose templates differ: {listed}"
        hint = f"uncorrelate: [{', '.join(shared)}]; or rename them to one name in each part, if they are one"
        raise InvalidInput(message, code="combination.statistics", hint=hint)


def _bin_factors(model: LikelihoodModel) -> set[str]:
    """Return the constrained parameters that stand for one bin each."""
    factors = {
        name
        for channel in model.channels
        if isinstance(channel, BinnedChannelModel)
        for sample in channel.samples
        for modifier in sample.modifiers
        if isinstance(modifier, BinFactor)
        for name in modifier.parameters
        if name is not None
    }
    return {one.name for one in model.parameters if one.name in factors and one.constraint != "none"}


def _in_formulas(channels: Sequence[ChannelModel]) -> frozenset[str]:
    rows = [
        row
        for channel in channels
        for row in (channel.samples if isinstance(channel, BinnedChannelModel) else channel.components)
    ]
    return frozenset[str]().union(*(names_in(parse_coefficient(text)) for text in {row.coefficient for row in rows}))


def _check_rename(
    parts: Mapping[str, LikelihoodModel], rename: Mapping[str, Mapping[str, str]], uncorrelate: Sequence[str]
) -> None:
    unknown = [f"part '{part}'" for part in rename if part not in parts]
    for part, names in rename.items():
        known = parts[part].parameter_names if part in parts else ()
        unknown += [f"'{old}' of part '{part}'" for old in names if part in parts and not _meant(old, known)]
    everywhere = [name for model in parts.values() for name in model.parameter_names]
    unknown += [f"'{name}' of any part" for name in uncorrelate if not _meant(name, everywhere)]
    if unknown:
        message = f"nothing is called {', '.join(unknown[:_MAX_SHOWN])}"
        raise InvalidInput(message, code="combination.unknown-parameter", hint="names are those before the renaming")


def _merged(models: Mapping[str, LikelihoodModel]) -> tuple[ParameterModel, ...]:
    """Return each parameter once, in the order in which the parts name them."""
    first: dict[str, tuple[str, ParameterModel]] = {}
    problems: list[str] = []
    for part, model in models.items():
        for parameter in model.parameters:
            if parameter.name not in first:
                first[parameter.name] = (part, parameter)
                continue
            other, known = first[parameter.name]
            found = [f"{what} {one} in {other}, {two} in {part}" for what, one, two in _differences(known, parameter)]
            if found:
                problems.append(f"'{parameter.name}': {'; '.join(found)}")
    if problems:
        more = f"; and {len(problems) - _MAX_SHOWN} more" if len(problems) > _MAX_SHOWN else ""
        message = f"parameters of one name have different definitions: {'; '.join(problems[:_MAX_SHOWN])}{more}"
        hint = "make the definitions equal, or give the parameter of one part another name: rename: {PART: {OLD: NEW}}"
        raise InvalidInput(message, code="combination.disagree", hint=hint)
    return tuple(parameter for _, parameter in first.values())


def _differences(one: ParameterModel, two: ParameterModel) -> Iterator[tuple[str, str, str]]:
    """Yield what differs between two definitions of a parameter, with both values."""
    if one.unit != two.unit:
        yield "unit", repr(one.unit), repr(two.unit)
    if one.fixed != two.fixed:
        yield "state", "fixed" if one.fixed else "free", "fixed" if two.fixed else "free"
    for what, a, b in (
        ("initial value", one.initial, two.initial),
        ("lower bound", one.bounds[0], two.bounds[0]),
        ("upper bound", one.bounds[1], two.bounds[1]),
    ):
        if not _same(a, b):
            yield what, f"{a:.6g}", f"{b:.6g}"
    if one.constraint != two.constraint:
        yield "constraint", one.constraint, two.constraint
        return
    if one.constraint == "none":
        return
    scale = ("width", one.width, two.width) if one.constraint == "normal" else ("factor", one.factor, two.factor)
    for what, a, b in (scale, ("global observable", one.global_observable, two.global_observable)):
        if not _same(a, b):
            yield what, f"{a:.6g}", f"{b:.6g}"


def _same(one: float, two: float) -> bool:
    return one == two or math.isclose(one, two, rel_tol=_TOLERANCE)


def _interest(
    models: Mapping[str, LikelihoodModel], poi: str | None, parameters: Sequence[ParameterModel]
) -> str | None:
    if poi is not None:
        if poi not in {parameter.name for parameter in parameters}:
            message = f"the parameter of interest '{poi}' is in no part"
            raise InvalidInput(message, code="combination.poi", hint="give its name after the renaming")
        return poi
    found = {part: model.poi.name for part, model in models.items() if model.poi is not None}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"'{name}' in {part}" for part, name in found.items())
        message = f"the parts have different parameters of interest: {listed}"
        raise InvalidInput(message, code="combination.poi", hint="name one with poi, or rename them to one name")
    return next(iter(found.values()), None)


def _channels(models: Mapping[str, LikelihoodModel]) -> Iterator[ChannelModel]:
    count = Counter(channel.name for model in models.values() for channel in model.channels)
    for part, model in models.items():
        for channel in model.channels:
            yield replace(channel, name=f"{part}_{channel.name}") if count[channel.name] > 1 else channel


def _data(models: Mapping[str, LikelihoodModel]) -> str | None:
    """Return how the data were made, if not observed."""
    kinds = {part: model.asimov for part, model in models.items()}
    if len({kind is None for kind in kinds.values()}) > 1:
        listed = ", ".join(
            f"{part}: {'observed' if kind is None else f'Asimov ({kind})'}" for part, kind in kinds.items()
        )
        raise InvalidInput(f"observed and Asimov data do not combine: {listed}", code="combination.data")
    found = set(kinds.values())
    return found.pop() if len(found) == 1 else "mixed"
