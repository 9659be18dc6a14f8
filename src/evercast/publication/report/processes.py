"""How each process is shown: title, colour, place in a stack, and the value of its coefficient at the nominal point."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evercast.errors import NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.morphing_basis import basis_coefficients
from evercast.publication.plots.figure import PALETTE
from evercast.spec.expressions import names, parse_coefficient
from evercast.spec.model import Analysis
from evercast.spec.nodes import Node

__all__ = ["DrawnProcess", "coefficient_formulas", "drawn_processes", "poi_name"]

_SIGNAL_COLORS: Final = (PALETTE[2], PALETTE[6], PALETTE[4], PALETTE[5])
_OTHER_COLORS: Final = (PALETTE[0], PALETTE[1], PALETTE[3], PALETTE[9], PALETTE[7], PALETTE[8], PALETTE[5], PALETTE[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnProcess:
    """A process with its look; `coefficient` is None where the formula has no value at the nominal point."""

    name: str
    title: str
    color: str
    sample: str
    formula: str
    coefficient: float | None
    signal: bool


def poi_name(analysis: Analysis) -> str | None:
    """Return the name of the parameter of interest."""
    return next((name for name, parameter in analysis.parameters.items() if parameter.poi), None)


def drawn_processes(analysis: Analysis) -> tuple[DrawnProcess, ...]:
    """Return the processes from the bottom of a stack to its top: those that follow the poi stand on top.

    Raises:
        InvalidInput: a coefficient is not a formula, or a morphing basis gives none.
    """
    nominal = {name: parameter.initial for name, parameter in analysis.parameters.items()}
    poi = poi_name(analysis)
    signals, others = iter(_SIGNAL_COLORS * 9), iter(_OTHER_COLORS * 9)
    drawn = []
    formulas = coefficient_formulas(analysis)
    for name, process in analysis.processes.items():
        formula = parse_coefficient(formulas[name])
        signal = poi in names(formula)
        default = next(signals if signal else others, PALETTE[0])
        drawn.append(
            DrawnProcess(
                name=name,
                title=(process.title or name).replace("->", "→"),
                color=process.color if process.color and re.fullmatch(r"#[0-9a-fA-F]{6}", process.color) else default,
                sample=process.sample,
                formula=formulas[name],
                coefficient=_coefficient(formula, nominal),
                signal=signal,
            )
        )
    drawn.reverse()
    return tuple(sorted(drawn, key=lambda process: process.signal))


def coefficient_formulas(analysis: Analysis) -> Mapping[str, str]:
    """Return process -> formula of its coefficient, that of its morphing basis where it is a point of one.

    Raises:
        InvalidInput: ``morphing.singular``, ``morphing.points``: a basis gives no coefficients.
    """
    formulas = {name: process.coefficient for name, process in analysis.processes.items()}
    for name, basis in analysis.morphing_bases.items():
        formulas |= basis_coefficients(basis, where=f"morphing_bases.{name}")
    return formulas


def _coefficient(formula: Node, values: Mapping[str, float]) -> float | None:
    try:
        return evaluate_coefficient(formula, values)
    except NumericalFailure:
        return None
