"""The modifiers that systematics put on a process in a channel, and what is wrong with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.assembly_inputs import (
    BinnedInput,
    Physics,
    Template,
    UnbinnedInput,
    VariedTemplate,
    acts_on,
    parameter_of,
    shapes,
    yields,
)
from evercast.likelihood.model import HistoSys, NormSys
from evercast.spec.model import NormalisationSystematic, Systematic

__all__ = ["check_effects", "template_modifiers", "yield_modifiers"]

_LOG = logging.getLogger(__name__)

Code = Literal["1", "4"]
Factors = dict[tuple[str, Code], tuple[float, float]]
"""(parameter, interpolation code) -> factor at +1, factor at -1."""


def _acting(physics: Physics, process: str, channel: str) -> Iterator[tuple[str, Systematic]]:
    for key, systematic in physics.systematics.items():
        if acts_on(systematic, process=process, channel=channel):
            yield key, systematic


def _multiply(factors: Factors, parameter: str, code: Code, up: float, down: float) -> None:
    """Take in a factor; those of one parameter are one modifier, the product of both sides."""
    before = factors.get((parameter, code), (1.0, 1.0))
    factors[parameter, code] = (before[0] * up, before[1] * down)


def _norm_systems(factors: Factors) -> tuple[NormSys, ...]:
    return tuple(
        NormSys(parameter=parameter, up=up, down=down, code=code)
        for (parameter, code), (up, down) in factors.items()
        if (up, down) != (1.0, 1.0)
    )


def template_modifiers(template: Template, channel: str, physics: Physics) -> tuple[NormSys | HistoSys, ...]:
    """Return what the systematics do to a template.

    ``normalisation`` is a normsys; of varied templates, effect ``normalisation`` is the normsys of their sums,
    ``shape`` a histosys scaled to the nominal sum, and both together a histosys as the templates are. What changes
    nothing in this channel is left out.

    Raises:
        InvalidInput: ``systematic.missing``, ``systematic.empty``, ``systematic.repeated`` (a second histosys of one
            parameter), ``systematic.bins``.
    """
    factors: Factors = {}
    histograms: dict[str, HistoSys] = {}
    for key, systematic in _acting(physics, template.process, channel):
        parameter = parameter_of(key, systematic)
        if isinstance(systematic, NormalisationSystematic):
            _multiply(factors, parameter, "1" if systematic.code == 1 else "4", systematic.up, systematic.down)
            continue
        varied = _checked(template, key, channel)
        total = float(template.nominal.sum())
        if not shapes(systematic):
            _multiply(factors, parameter, "4", float(varied.up.sum()) / total, float(varied.down.sum()) / total)
            continue
        up, down = varied.up, varied.down
        if not yields(systematic):
            up, down = up * (total / up.sum()), down * (total / down.sum())
        if np.allclose(up, template.nominal, rtol=1e-12) and np.allclose(down, template.nominal, rtol=1e-12):
            continue  # one bin and a shape: nothing is left of it
        if parameter in histograms:
            raise InvalidInput(
                f"parameter {parameter!r} changes the template of process {template.process!r} through more than one "
                f"systematic; {key!r} is the second",
                code="systematic.repeated",
                where=f"channel {channel}",
                hint="give them parameters of their own, or make one variation of both",
            )
        histograms[parameter] = HistoSys(parameter=parameter, up=up, down=down)
    return (*_norm_systems(factors), *histograms.values())


def _checked(template: Template, key: str, channel: str) -> VariedTemplate:
    """Return the varied templates of a systematic, of the right length and with events."""
    where = f"channel {channel}, process {template.process}"
    varied = template.varied.get(key)
    if varied is None:
        raise InvalidInput(
            f"systematic {key!r} has no varied templates of process {template.process!r}",
            code="systematic.missing",
            where=where,
            hint="give it up and down of every process it acts on, or leave the process out of it",
        )
    for side, values in (("up", varied.up), ("down", varied.down)):
        if values.shape != template.nominal.shape or not np.isfinite(values).all():
            raise InvalidInput(
                f"systematic {key!r}, {side}: {values.size} bins, {int((~np.isfinite(values)).sum())} of them not "
                f"finite; the template has {template.nominal.size}",
                code="systematic.bins",
                where=where,
            )
        if values.sum() <= 0:
            raise InvalidInput(
                f"systematic {key!r}, {side}: the varied template has a sum of {values.sum():.6g}; it must be positive",
                code="systematic.empty",
                where=where,
                hint="look at the cut flow of the varied selection",
            )
    return varied


def yield_modifiers(process: str, channel: UnbinnedInput, physics: Physics) -> tuple[NormSys, ...]:
    """Return what the systematics do to the yield of a process in an unbinned channel.

    Raises:
        InvalidInput: ``systematic.missing``, ``systematic.empty``.
    """
    factors: Factors = {}
    for key, systematic in _acting(physics, process, channel.name):
        parameter = parameter_of(key, systematic)
        if isinstance(systematic, NormalisationSystematic):
            _multiply(factors, parameter, "1" if systematic.code == 1 else "4", systematic.up, systematic.down)
            continue
        if not yields(systematic):
            continue
        where = f"channel {channel.name}, process {process}"
        varied = channel.varied.get((key, process))
        if varied is None:
            raise InvalidInput(
                f"systematic {key!r} has no varied yields of process {process!r}",
                code="systematic.missing",
                where=where,
                hint="give it up and down of every process it acts on, or leave the process out of it",
            )
        if not (varied.up > 0 and varied.down > 0):
            raise InvalidInput(
                f"systematic {key!r}: the yield changes by the factors {varied.up:.6g} up and {varied.down:.6g} down; "
                "both must be positive",
                code="systematic.empty",
                where=where,
                hint="look at the cut flow of the varied selection",
            )
        _multiply(factors, parameter, "4", varied.up, varied.down)
    return _norm_systems(factors)


def check_effects(binned: Sequence[BinnedInput], unbinned: Sequence[UnbinnedInput], physics: Physics) -> None:
    """Refuse a nuisance parameter whose up and down are the same everywhere, and varied totals that are negative.

    Raises:
        InvalidInput: ``systematic.identical``, ``systematic.negative-total``.
    """
    pairs: dict[str, list[bool]] = {}
    for channel in binned:
        for template in channel.templates:
            for key, systematic in _acting(physics, template.process, channel.name):
                same = _same_template(template, key, systematic)
                pairs.setdefault(parameter_of(key, systematic), []).append(same)
        _check_totals(channel, physics)
    for one in unbinned:
        for parameter, same in _unbinned_pairs(one, physics):
            pairs.setdefault(parameter, []).append(same)
    for parameter, found in pairs.items():
        if all(found):
            names = [
                key for key, systematic in physics.systematics.items() if parameter_of(key, systematic) == parameter
            ]
            raise InvalidInput(
                f"up and down of the nuisance parameter {parameter!r} are identical for every process and channel it "
                f"acts on (systematic {', '.join(names) or 'of the training statistics'}): the data cannot tell its "
                "sign, and fits of it have no single answer",
                code="systematic.identical",
                hint="are up and down the same sample, or is one of them the nominal one?",
            )


def _same_template(template: Template, key: str, systematic: Systematic) -> bool:
    if isinstance(systematic, NormalisationSystematic):
        return systematic.up == systematic.down
    varied = _checked(template, key, "of the likelihood")
    return np.array_equal(varied.up, varied.down)


def _unbinned_pairs(channel: UnbinnedInput, physics: Physics) -> Iterator[tuple[str, bool]]:
    """Yield, for each nuisance parameter of an unbinned channel and each of its effects, whether up is down."""
    for process in channel.yields:
        for key, systematic in _acting(physics, process, channel.name):
            if isinstance(systematic, NormalisationSystematic):
                yield parameter_of(key, systematic), systematic.up == systematic.down
            elif (varied := channel.varied.get((key, process))) is not None and yields(systematic):
                yield parameter_of(key, systematic), varied.identical
    sets = [events for events in (channel.observed, channel.simulation, channel.reference) if events is not None]
    for column, anchor in enumerate(channel.anchors):
        columns = [
            (events.log_up[:, column], events.log_down[:, column])
            for events in sets
            if events.log_up is not None and events.log_down is not None
        ]
        yield anchor.parameter, all(np.array_equal(up, down) for up, down in columns)
    for morph in channel.polynomials:
        yield from ((parameter, False) for term in morph.terms for parameter, _ in term)


def _check_totals(channel: BinnedInput, physics: Physics) -> None:
    """Refuse bins whose expected total is negative where one nuisance parameter is at +1 or -1."""
    total = np.sum([template.nominal for template in channel.templates], axis=0)
    varied: dict[tuple[str, str], Float[np.ndarray, " bins"]] = {}
    for template in channel.templates:
        for modifier in template_modifiers(template, channel.name, physics):
            if isinstance(modifier, HistoSys):
                for side, values in (("+1", modifier.up), ("-1", modifier.down)):
                    place = modifier.parameter, side
                    varied[place] = varied.get(place, total) + (values - template.nominal)
    _refuse_negative(channel.name, varied)


def _refuse_negative(channel: str, varied: Mapping[tuple[str, str], Float[np.ndarray, " bins"]]) -> None:
    for (parameter, side), values in varied.items():
        scale = float(np.abs(values).max(initial=0.0))
        negative = np.flatnonzero(values < -1e-9 * scale)  # rounding of a difference is not a negative total
        if len(negative):
            raise InvalidInput(
                f"the expected events of bin {negative[0]} are {values[negative[0]]:.6g} at {parameter} = {side} "
                f"({len(negative)} such bins)",
                code="systematic.negative-total",
                where=f"channel {channel}",
                hint="merge bins, give the varied samples more events, or do not symmetrise so large a difference",
            )
