"""What is wrong with templates, and with what systematics change in them, before a likelihood is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.assembly_effects import template_modifiers
from evercast.likelihood.assembly_inputs import (
    BinnedInput,
    Physics,
    Template,
    UnbinnedInput,
    acting,
    changes_yield,
)
from evercast.likelihood.model import HistoSys
from evercast.spec.model import NormalisationSystematic, Systematic
from evercast.spec.systematics import parameter_of

__all__ = ["check_effects", "check_templates"]

Bins = Float[np.ndarray, " bins"]


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


def check_effects(binned: Sequence[BinnedInput], unbinned: Sequence[UnbinnedInput], physics: Physics) -> None:
    """Refuse a nuisance parameter whose up and down are the same everywhere, and varied totals that are negative.

    Raises:
        InvalidInput: ``systematic.identical``, ``systematic.negative-total``.
    """
    pairs: dict[str, list[bool]] = {}
    for channel in binned:
        for template in channel.templates:
            for key, systematic in acting(physics, template.process, channel.name):
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
    given = template.varied.get(key)
    return given is not None and np.array_equal(given.up, template.nominal if given.down is None else given.down)


def _unbinned_pairs(channel: UnbinnedInput, physics: Physics) -> Iterator[tuple[str, bool]]:
    """Yield, for each nuisance parameter of an unbinned channel and each of its effects, whether up is down."""
    for process in channel.yields:
        for key, systematic in acting(physics, process, channel.name):
            if isinstance(systematic, NormalisationSystematic):
                yield parameter_of(key, systematic), systematic.up == systematic.down
            elif (varied := channel.varied.get((key, process))) is not None and changes_yield(systematic):
                yield parameter_of(key, systematic), varied.identical
    sets = [events for events in (channel.observed, channel.simulation, channel.reference) if events is not None]
    for column, anchor in enumerate(channel.anchors):
        columns = [
            (events.log_up[:, column], events.log_down[:, column])
            for events in sets
            if events.log_up is not None and events.log_down is not None
        ]
        yield anchor.parameter, bool(columns) and all(np.array_equal(up, down) for up, down in columns)
    for morph in channel.polynomials:
        yield from ((parameter, False) for term in morph.terms for parameter, _ in term)


def _check_totals(channel: BinnedInput, physics: Physics) -> None:
    """Refuse bins whose expected total is negative where one nuisance parameter is at +1 or -1."""
    total = np.sum([template.nominal for template in channel.templates], axis=0)
    varied: dict[tuple[str, str], Bins] = {}
    for template in channel.templates:
        for modifier in template_modifiers(template, channel.name, physics):
            if isinstance(modifier, HistoSys):
                for side, values in (("+1", modifier.up), ("-1", modifier.down)):
                    place = modifier.parameter, side
                    varied[place] = varied.get(place, total) + (values - template.nominal)
    _refuse_negative(channel.name, varied)


def _refuse_negative(channel: str, varied: Mapping[tuple[str, str], Bins]) -> None:
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
