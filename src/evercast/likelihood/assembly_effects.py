"""The modifiers that systematics put on a process in a channel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.likelihood.assembly_inputs import (
    Physics,
    Template,
    UnbinnedInput,
    acting,
    changes_yield,
)
from evercast.likelihood.model import HistoSys, NormSys
from evercast.spec.model import NormalisationSystematic, Systematic, TwoPointSystematic
from evercast.spec.systematics import changes_density, parameter_of

__all__ = ["template_modifiers", "yield_modifiers"]

Code = Literal["1", "4"]
Bins = Float[np.ndarray, " bins"]
Factors = dict[tuple[str, Code], tuple[float, float]]
"""(parameter, interpolation code) -> factor at +1, factor at -1."""


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
    for key, systematic in acting(physics, template.process, channel):
        parameter = parameter_of(key, systematic)
        if isinstance(systematic, NormalisationSystematic):
            _multiply(factors, parameter, "1" if systematic.code == 1 else "4", systematic.up, systematic.down)
            continue
        up, down = _varied(template, key, systematic, channel)
        if not changes_density(systematic):
            total = float(template.nominal.sum())
            _multiply(factors, parameter, "4", float(up.sum()) / total, float(down.sum()) / total)
            continue
        if _close(up, template) and _close(down, template):
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


def _close(values: Bins, template: Template) -> bool:
    """Return whether only the rounding of a normalisation tells the two apart."""
    return bool(np.allclose(values, template.nominal, rtol=1e-12))


def _varied(template: Template, key: str, systematic: Systematic, channel: str) -> tuple[Bins, Bins]:
    """Return the templates at +1 and -1: with the nominal sum where only the shape counts, mirrored where asked for.

    The mirror image is 2 nominal - alternative in bins, and 1 / factor where only the yield counts.
    """
    where = f"channel {channel}, process {template.process}"
    given = template.varied.get(key)
    two_point = isinstance(systematic, TwoPointSystematic)
    if given is None or (given.down is None) != two_point:
        raise InvalidInput(
            f"systematic {key!r} has no varied templates of process {template.process!r}",
            code="systematic.missing",
            where=where,
            hint="give it up and down of every process it acts on, or leave the process out of it",
        )
    total = float(template.nominal.sum())
    sides: list[Bins] = []
    for side, values in (("up", given.up), ("down", given.down)):
        if values is not None:
            _check_bins(values, template, f"systematic {key!r}, {side}", where)
            sides.append(values if changes_yield(systematic) else values * (total / values.sum()))
    if isinstance(systematic, TwoPointSystematic):
        sides.append(_mirrored(template.nominal, sides[0], systematic))
        if sides[1].sum() <= 0:
            raise InvalidInput(
                f"systematic {key!r}: the mirror image of the alternative has a sum of {sides[1].sum():.6g}; the "
                f"alternative has {sides[0].sum():.6g} expected events, the nominal template {total:.6g}",
                code="systematic.negative-total",
                where=where,
                hint="do not symmetrise so large a difference",
            )
    return sides[0], sides[1]


def _mirrored(nominal: Bins, up: Bins, systematic: TwoPointSystematic) -> Bins:
    if not systematic.symmetrise:
        return nominal
    mirrored: Bins = 2.0 * nominal - up if changes_density(systematic) else nominal * (nominal.sum() / up.sum())
    return mirrored


def _check_bins(values: Bins, template: Template, what: str, where: str) -> None:
    if values.shape != template.nominal.shape or not np.isfinite(values).all():
        raise InvalidInput(
            f"{what}: {values.size} bins, {int((~np.isfinite(values)).sum())} of them not finite; the template has "
            f"{template.nominal.size}",
            code="systematic.bins",
            where=where,
        )
    if values.sum() <= 0:
        raise InvalidInput(
            f"{what}: the varied template has a sum of {values.sum():.6g}; it must be positive",
            code="systematic.empty",
            where=where,
            hint="look at the cut flow of the varied selection",
        )


def yield_modifiers(process: str, channel: UnbinnedInput, physics: Physics) -> tuple[NormSys, ...]:
    """Return what the systematics do to the yield of a process in an unbinned channel.

    Raises:
        InvalidInput: ``systematic.missing``, ``systematic.empty``.
    """
    factors: Factors = {}
    for key, systematic in acting(physics, process, channel.name):
        parameter = parameter_of(key, systematic)
        if isinstance(systematic, NormalisationSystematic):
            _multiply(factors, parameter, "1" if systematic.code == 1 else "4", systematic.up, systematic.down)
            continue
        if not changes_yield(systematic):
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
