"""Binned channels as a HistFactory workspace, which pyhf reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evercast.errors import InvalidInput
from evercast.likelihood.assembly_effects import template_modifiers
from evercast.likelihood.assembly_inputs import BinnedInput, Physics, Template
from evercast.likelihood.model import HistoSys, NormSys
from evercast.spec.expressions import Binary, Name, Node, Number, parse_coefficient
from evercast.spec.model import Parameter

__all__ = ["coefficient_factors", "statistics_name", "to_workspace"]


def to_workspace(
    channels: Sequence[BinnedInput], physics: Physics, *, measurement: str, strict: bool = True
) -> dict[str, object]:
    """Return the pyhf workspace of binned channels.

    A coefficient becomes ``normfactor`` modifiers, a systematic ``normsys`` or ``histosys``, the variances one
    ``staterror`` per channel (one factor per bin for all its samples, Barlow-Beeston lite).

    Args:
        channels: at least one.
        physics: what they share.
        measurement: its name.
        strict: refuse what HistFactory cannot express: a coefficient that is not a product of free parameters, a
            normalisation with code 1 (a workspace does not say the code, readers take 4). Otherwise such a coefficient
            and all systematics are left out.

    Raises:
        InvalidInput: ``likelihood.not-histfactory``, or what is wrong with a systematic.
    """
    free: dict[str, Parameter] = {}
    entries: list[dict[str, object]] = []
    for channel in channels:
        samples = []
        for template in channel.templates:
            factors = _normfactors(template.process, physics, strict=strict)
            free |= {name: physics.parameters[name] for name in factors}
            systematics = _systematics(template, channel.name, physics) if strict else []
            samples.append(_sample(template, channel.name, factors, systematics))
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


def statistics_name(channel: str) -> str:
    """Return the name of the ``staterror`` of a channel, without its bin."""
    return f"mcstat_{channel}"


def _sample(
    template: Template, channel: str, factors: Sequence[str], systematics: Sequence[dict[str, object]]
) -> dict[str, object]:
    modifiers: list[dict[str, object]] = [{"name": name, "type": "normfactor", "data": None} for name in factors]
    modifiers += systematics
    if template.variance is not None:
        error = np.sqrt(template.variance)
        modifiers.append({"name": statistics_name(channel), "type": "staterror", "data": error.tolist()})
    return {"name": template.process, "data": template.nominal.tolist(), "modifiers": modifiers}


def _systematics(template: Template, channel: str, physics: Physics) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for modifier in template_modifiers(template, channel, physics):
        match modifier:
            case HistoSys():
                body: dict[str, object] = {"hi_data": modifier.up.tolist(), "lo_data": modifier.down.tolist()}
                entries.append({"name": modifier.parameter, "type": "histosys", "data": body})
            case NormSys(code="4"):
                sides: dict[str, object] = {"hi": modifier.up, "lo": modifier.down}
                entries.append({"name": modifier.parameter, "type": "normsys", "data": sides})
            case NormSys():
                raise InvalidInput(
                    f"the nuisance parameter {modifier.parameter!r} changes the yield of process {template.process!r} "
                    f"with interpolation code {modifier.code}, which a workspace cannot say: readers of it take code 4",
                    code="likelihood.not-histfactory",
                    where="$.systematics",
                    hint="use code 4, or publish this likelihood as neural_likelihood",
                )
    return entries


def _normfactors(process: str, physics: Physics, *, strict: bool) -> tuple[str, ...]:
    """Return what stands for the coefficient as ``normfactor`` modifiers."""
    factors = coefficient_factors(process, physics)
    if factors is not None:
        return factors
    if not strict:
        return ()
    raise InvalidInput(
        f"the coefficient {physics.coefficient(process)!r} of process {process!r} is not a product of different "
        "unconstrained parameters, so HistFactory cannot express it",
        code="likelihood.not-histfactory",
        where=f"$.processes.{process}.coefficient",
        hint="publish this likelihood as neural_likelihood, which takes any formula",
    )


def coefficient_factors(process: str, physics: Physics) -> tuple[str, ...] | None:
    """Return the unconstrained parameters whose product is the coefficient; None where there are none such."""
    factors = _product(parse_coefficient(physics.coefficient(process)))
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
