"""What is asked of a likelihood: its parameter of interest, values within bounds, confidence levels."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evercast.errors import InvalidInput

if TYPE_CHECKING:
    from evercast.likelihood.model import LikelihoodModel, ParameterModel

__all__ = ["check_level", "check_signal", "check_value"]


def check_signal(model: LikelihoodModel, poi: str | None) -> None:
    """Refuse a parameter of interest of which there is no absence: a nuisance parameter, or one that cannot be 0.

    Raises:
        InvalidInput: ``poi.constrained``, ``poi.no-zero``, ``fit.poi``.
    """
    found = _parameter(model, poi)
    if found is None:
        return
    low, high = found.bounds
    hint = "the parameter of interest scales the signal; name it with --poi"
    if found.constraint != "none":
        message = (
            f"'{found.name}' is a nuisance parameter ({found.constraint} constraint, bounds {low:g} to {high:g}): "
            "its value 0 is not the absence of a signal"
        )
        raise InvalidInput(message, code="poi.constrained", hint=hint)
    if not low <= 0.0 <= high:
        message = f"'{found.name}' = 0, the absence of the signal, lies outside of its bounds {low:g} to {high:g}"
        raise InvalidInput(message, code="poi.no-zero", hint=hint)


def check_value(model: LikelihoodModel, poi: str | None, value: float | None, *, option: str) -> None:
    """Refuse a value outside of the bounds of the parameter of interest.

    Raises:
        InvalidInput: ``poi.bounds``, ``fit.poi``.
    """
    found = _parameter(model, poi)
    if found is None or value is None:
        return
    low, high = found.bounds
    if not (math.isfinite(value) and low <= value <= high):
        message = f"{option} {value:g} lies outside of the bounds of '{found.name}', {low:g} to {high:g}"
        raise InvalidInput(message, code="poi.bounds", hint="--parametrisation FILE can widen the bounds")


def check_level(level: float) -> None:
    """Refuse a confidence level that is given in per cent.

    Raises:
        InvalidInput: ``limit.level``.
    """
    if not 0.0 < level < 1.0:
        hint = f"did you mean {level / 100:g}?" if 1.0 < level < 100.0 else "e.g. 0.95"
        message = f"--cl must lie between 0 and 1, found {level:g}"
        raise InvalidInput(message, code="limit.level", hint=hint)


def _parameter(model: LikelihoodModel, poi: str | None) -> ParameterModel | None:
    """Return the parameter of interest; None where none is declared or named."""
    from evercast.spec.report import did_you_mean

    if poi is None:
        return model.poi
    named = {parameter.name: parameter for parameter in model.parameters}
    if poi not in named:
        hint = did_you_mean(poi, named) or f"parameters: {', '.join(list(named)[:8])}"
        raise InvalidInput(f"unknown parameter '{poi}'", code="fit.poi", hint=hint)
    return named[poi]
