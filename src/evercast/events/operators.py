"""The operators of the expression language on awkward arrays: arithmetic, comparison and logic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

import awkward as ak
import numpy as np

from evercast.events.functions import APPLY, Unsuitable, Value, describe, form_of, is_condition, is_number
from evercast.spec.expressions import Binary, Call, Compare, Logical, Node, Unary

__all__ = ["apply_operator"]


def apply_operator(node: Node, values: list[Value]) -> Value:
    """Return what `node` makes of the values of its operands.

    Raises:
        Unsuitable: an operand does not fit.
        ValueError: lists of different length.
    """
    match node:
        case Unary(op=op):
            return _arithmetic_unary(op, values[0])
        case Binary(op=op):
            return _arithmetic(op, values[0], values[1])
        case Compare():
            return _compare(node, values)
        case Logical(op=op):
            return _logical(op, values)
        case Call(function=function):
            return APPLY[function](values)
        case _:
            raise TypeError(f"{type(node).__name__} has no operands")


def _compare(node: Compare, values: list[Value]) -> Value:
    for position, value in enumerate(values):
        if not is_number(value):
            raise Unsuitable(_not_a_number(value), argument=position)
    pairs = [_COMPARE[op](values[i], values[i + 1]) for i, op in enumerate(node.ops)]
    return _folded(operator.and_, pairs)


def _logical(op: str, values: list[Value]) -> Value:
    for position, value in enumerate(values):
        if not is_condition(value):
            raise Unsuitable(f"'{op}' needs conditions, this is {describe(value)}", argument=position)
    if op == "not":
        return ~values[0] if isinstance(values[0], ak.Array) else not values[0]
    return _folded(operator.and_ if op == "and" else operator.or_, values)


def _folded(function: Callable[[Value, Value], Value], values: list[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


def _arithmetic_unary(op: str, value: Value) -> Value:
    if not is_number(value):
        raise Unsuitable(_not_a_number(value), argument=0)
    number = _float(value)
    return -number if op == "-" else number


def _arithmetic(op: str, left: Value, right: Value) -> Value:
    if op == "+" and {form_of(left), form_of(right)} <= {"item", "collection"}:
        return left + right
    for position, value in enumerate((left, right)):
        if not is_number(value):
            raise Unsuitable(_not_a_number(value), argument=position)
    return _ARITHMETIC[op](_float(left), _float(right))


def _not_a_number(value: Value) -> str:
    if is_condition(value):
        return "needs a number, this is a condition"
    if form_of(value) in ("item", "collection"):
        return f"needs a number, this is {describe(value)}; use a property such as pt()"
    return "needs a number, this is text"


def _float(value: Value) -> Value:
    """Return the value in double precision, so that integers neither overflow nor wrap."""
    return ak.values_astype(value, np.float64) if isinstance(value, ak.Array) else np.float64(value)


_COMPARE: Mapping[str, Callable[[Value, Value], Value]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
)
_ARITHMETIC: Mapping[str, Callable[[Value, Value], Value]] = MappingProxyType(
    {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow}
)
