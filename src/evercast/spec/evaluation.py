"""Coefficients as numbers, in plain Python: for checks of a document, which load no numerical library."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from evercast.spec.nodes import Binary, Call, Name, Node, Number, Unary

__all__ = ["value_of"]

_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = MappingProxyType(
    {
        "sqrt": math.sqrt,
        "exp": math.exp,
        "log": math.log,
        "abs": abs,
        "min": min,
        "max": max,
        "sin": math.sin,
        "cos": math.cos,
        "tanh": math.tanh,
    }
)


def value_of(node: Node, values: Mapping[str, float]) -> float | None:
    """Return the value of a coefficient; None where it is undefined, infinite, or not of the coefficient language.

    Args:
        node: the tree of the formula.
        values: parameter -> value.

    Example:
        >>> from evercast.spec.expressions import parse_coefficient
        >>> value_of(parse_coefficient("mu - sqrt(mu)"), {"mu": 4.0})
        2.0
        >>> value_of(parse_coefficient("log(mu)"), {"mu": 0.0}) is None
        True
    """
    try:
        value = _value(node, values)
    except (ValueError, ArithmeticError, LookupError, TypeError):
        return None
    return value if math.isfinite(value) else None


def _value(node: Node, values: Mapping[str, float]) -> float:
    match node:
        case Number(value=value):
            return float(value)
        case Name(name=name):
            return values[name]
        case Unary(op=op, operand=operand):
            inner = _value(operand, values)
            return -inner if op == "-" else inner
        case Binary():
            return _arithmetic(node, values)
        case Call(function=function, arguments=arguments):
            own = [_value(argument, values) for argument in arguments]
            return float(_FUNCTIONS[function](own) if function in {"min", "max"} else _FUNCTIONS[function](*own))
    raise ValueError("this is not of the coefficient language")


def _arithmetic(node: Binary, values: Mapping[str, float]) -> float:
    left, right = _value(node.left, values), _value(node.right, values)
    match node.op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "**":
            return float(left**right)
