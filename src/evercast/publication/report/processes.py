"""How each process is shown: title, colour, place in a stack, and the value of its coefficient at the nominal point."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from evercast.publication.plots.figure import PALETTE
from evercast.spec.expressions import names, parse_coefficient
from evercast.spec.model import Analysis
from evercast.spec.nodes import Binary, Call, Name, Node, Number, Unary

__all__ = ["DrawnProcess", "drawn_processes", "evaluate_coefficient", "poi_name"]

_SIGNAL_COLORS: Final = (PALETTE[2], PALETTE[6], PALETTE[4], PALETTE[5])
_OTHER_COLORS: Final = (PALETTE[0], PALETTE[1], PALETTE[3], PALETTE[9], PALETTE[7], PALETTE[8], PALETTE[5], PALETTE[4])
_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "abs": abs, "min": min, "max": max,
    "sin": math.sin, "cos": math.cos, "tanh": math.tanh,
}  # fmt: skip


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
        InvalidInput: a coefficient is not a formula.
    """
    nominal = {name: parameter.initial for name, parameter in analysis.parameters.items()}
    poi = poi_name(analysis)
    signals, others = iter(_SIGNAL_COLORS * 9), iter(_OTHER_COLORS * 9)
    drawn = []
    for name, process in analysis.processes.items():
        formula = parse_coefficient(process.coefficient)
        signal = poi in names(formula)
        default = next(signals if signal else others, PALETTE[0])
        drawn.append(
            DrawnProcess(
                name=name,
                title=process.title or name,
                color=process.color if process.color and re.fullmatch(r"#[0-9a-fA-F]{6}", process.color) else default,
                sample=process.sample,
                formula=process.coefficient,
                coefficient=evaluate_coefficient(formula, nominal),
                signal=signal,
            )
        )
    drawn.reverse()
    return tuple(sorted(drawn, key=lambda process: process.signal))


def evaluate_coefficient(node: Node, values: Mapping[str, float]) -> float | None:
    """Return the value of a coefficient at a point of the parameters, None where it has none (log 0, 1 / 0).

    Example:
        >>> evaluate_coefficient(parse_coefficient("mu - sqrt(mu)"), {"mu": 4.0})
        2.0
    """
    try:
        value = _value(node, values)
    except (ArithmeticError, ValueError, KeyError):
        return None
    return value if math.isfinite(value) else None


def _value(node: Node, values: Mapping[str, float]) -> float:
    match node:
        case Number(value=value):
            return float(value)
        case Name(name=name):
            return values[name]
        case Unary(op=op, operand=operand):
            return -_value(operand, values) if op == "-" else _value(operand, values)
        case Call(function=function, arguments=arguments):
            return float(_FUNCTIONS[function](*(_value(argument, values) for argument in arguments)))
        case Binary(op=op, left=left, right=right):
            return _combine(op, _value(left, values), _value(right, values))
        case _:
            raise ValueError("not a coefficient")


def _combine(op: str, left: float, right: float) -> float:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case _:
            return float(left**right)
