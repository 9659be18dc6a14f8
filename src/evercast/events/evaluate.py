"""Expressions evaluated on chunks of events.

A `Scope` names the columns and collections of a chunk. Units are those of the input (GeV, rad). Nothing but the nodes of
`evercast.spec.expressions` is evaluated, with the functions of `evercast.events.functions`; every error points at the column
of the expression.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.functions import APPLY, Unsuitable, Value, describe, form_of, is_condition, is_number, require
from evercast.spec.expressions import (
    Binary,
    Call,
    Compare,
    ExpressionError,
    Index,
    Logical,
    Name,
    Node,
    Number,
    Slice,
    Unary,
)

__all__ = ["Formula", "Scope", "evaluate_condition", "evaluate_items", "evaluate_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A parsed expression with what its messages need.

    Args:
        what: the thing it defines, e.g. ``observable 'm4l'``.
        text: as it stands in the document.
        tree: what `parse` made of it.
    """

    what: str
    text: str
    tree: Node

    def error(self, reason: str, node: Node, *, code: str = "expression.value") -> ExpressionError:
        """Return the error for `reason` at the column of `node`."""
        return ExpressionError(f"{self.what}: {reason}", text=self.text, column=node.column, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the names of an expression stand for in a chunk.

    Args:
        values: name -> array whose first axis is events.
        event: index of each event in the input of the sample, for messages.
    """

    values: Mapping[str, ak.Array]
    event: UInt64[np.ndarray, " events"]

    def __len__(self) -> int:
        return len(self.event)

    def where(self, keep: Bool[np.ndarray, " events"]) -> Scope:
        """Return the scope of the events for which `keep` holds."""
        return Scope(values={name: value[keep] for name, value in self.values.items()}, event=self.event[keep])

    def with_values(self, more: Mapping[str, ak.Array]) -> Scope:
        """Return the scope with more names, or the same names with other values."""
        return Scope(values={**self.values, **more}, event=self.event)


def evaluate_number(formula: Formula, scope: Scope) -> Float64[np.ndarray, " events"]:
    """Return one finite number per event.

    Raises:
        ExpressionError: it has another form, or an index is out of range in some events.
        InvalidInput: ``sample.not-finite``, the number is NaN or infinite in some events.
    """
    value = _evaluate(formula.tree, formula, scope)
    if is_condition(value) or form_of(value) not in ("constant", "event") or not is_number(value):
        found = "a condition" if is_condition(value) else describe(value)
        raise formula.error(f"needs one number per event, this is {found}", formula.tree)
    column = _column(value, len(scope), np.float64)
    wrong = ~np.isfinite(column)
    if wrong.any():
        raise InvalidInput(
            f"{formula.what} is not finite in {int(wrong.sum())} of {len(column)} events; the first is event "
            f"{int(scope.event[wrong][0])} with {column[wrong][0]}: {formula.text}",
            code="sample.not-finite",
            hint="exclude such events with a cut of the preselection",
        )
    return column


def evaluate_condition(formula: Formula, scope: Scope) -> Bool[np.ndarray, " events"]:
    """Return whether the condition holds, per event.

    Raises:
        ExpressionError: it is no condition, or one per item instead of per event.
    """
    value = _evaluate(formula.tree, formula, scope)
    if not is_condition(value):
        raise formula.error(f"needs a condition, this is {describe(value)}", formula.tree)
    if form_of(value) not in ("constant", "event"):
        raise formula.error("needs one condition per event, this is one per item; use any() or all()", formula.tree)
    return _column(value, len(scope), np.bool_)


def evaluate_items(formula: Formula, scope: Scope, *, like: ak.Array, condition: bool) -> ak.Array:
    """Return one number, or one condition, per item of the collection `like`.

    Raises:
        ExpressionError: it is the other of the two, or does not have one value per item.
    """
    value = _evaluate(formula.tree, formula, scope)
    if is_condition(value) != condition or form_of(value) not in ("constant", "event", "list"):
        needed = "condition" if condition else "number"
        found = "a condition" if is_condition(value) else describe(value)
        raise formula.error(f"needs one {needed} per item, this is {found}", formula.tree)
    template = ak.zeros_like(like.px)
    spread = (template == 0) & value if condition else template + value
    if not ak.all(ak.num(spread, axis=1) == ak.num(template, axis=1)):
        raise formula.error("does not give one value for each item", formula.tree)
    return spread


def _column(value: Value, events: int, dtype: type[np.generic]) -> np.ndarray:
    if not isinstance(value, ak.Array):
        return np.full(events, value, dtype=dtype)
    return ak.to_numpy(value, allow_missing=False).astype(dtype)


def _evaluate(node: Node, formula: Formula, scope: Scope) -> Value:
    match node:
        case Number(value=value):
            return float(value)
        case Name(name=name):
            return _look_up(name, node, formula, scope)
        case Index():
            return _indexed(node, formula, scope)
        case Unary(operand=operand):
            return _applied(node, (operand,), formula, scope)
        case Binary(left=left, right=right):
            return _applied(node, (left, right), formula, scope)
        case Compare(operands=operands) | Logical(operands=operands):
            return _applied(node, operands, formula, scope)
        case Call(arguments=arguments):
            return _applied(node, arguments, formula, scope)


def _look_up(name: str, node: Node, formula: Formula, scope: Scope) -> Value:
    if name not in scope.values:
        known = ", ".join(sorted(scope.values))
        raise formula.error(f"there is no {name!r}; there are: {known}", node, code="expression.unknown-name")
    return scope.values[name]


def _applied(node: Node, parts: tuple[Node, ...], formula: Formula, scope: Scope) -> Value:
    values = [_evaluate(part, formula, scope) for part in parts]
    try:
        with np.errstate(all="ignore"):
            return _apply(node, values)
    except Unsuitable as problem:
        place = node if problem.argument is None else parts[problem.argument]
        raise formula.error(problem.reason, place) from None
    except (ValueError, TypeError) as err:
        forms = " and ".join(describe(value) for value in values)
        raise formula.error(f"{forms} do not go together; their lists differ in length", node) from err


def _apply(node: Node, values: list[Value]) -> Value:
    match node:
        case Unary(op=op):
            return _arithmetic_unary(op, values[0])
        case Binary(op=op):
            return _arithmetic(op, values[0], values[1])
        case Compare(ops=ops):
            for position, value in enumerate(values):
                if not is_number(value):
                    raise Unsuitable(_not_a_number(value), argument=position)
            pairs = [_COMPARE[op](values[i], values[i + 1]) for i, op in enumerate(ops)]
            return _folded(operator.and_, pairs)
        case Logical(op=op):
            for position, value in enumerate(values):
                if not is_condition(value):
                    raise Unsuitable(f"'{op}' needs conditions, this is {describe(value)}", argument=position)
            if op == "not":
                return ~values[0] if isinstance(values[0], ak.Array) else not values[0]
            return _folded(operator.and_ if op == "and" else operator.or_, values)
        case Call(function=function):
            return APPLY[function](values)
        case _:
            raise TypeError(f"{type(node).__name__} has no operands")


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


def _indexed(node: Index, formula: Formula, scope: Scope) -> Value:
    value = _evaluate(node.value, formula, scope)
    try:
        require(value, "list", "collection")
        if isinstance(node.index, int):
            return _item(value, node.index, scope)
        if isinstance(node.index, Slice):
            return value[:, slice(node.index.start, node.index.stop, node.index.step)]
        mask = _evaluate(node.index, formula, scope)
        if not is_condition(mask) or form_of(mask) != "list":
            found = describe(mask) if not is_condition(mask) else "one condition per event"
            raise formula.error(f"an index needs one condition per item, this is {found}", node.index)
        if not ak.all(ak.num(mask, axis=1) == ak.num(value, axis=1)):
            raise formula.error("the condition has not as many items as the collection", node.index)
    except Unsuitable as problem:
        raise formula.error(f"an index {problem.reason}", node) from None
    return value[mask]


def _item(value: ak.Array, index: int, scope: Scope) -> ak.Array:
    lengths = ak.to_numpy(ak.num(value, axis=1))
    least = index + 1 if index >= 0 else -index
    short = lengths < least
    if short.any():
        raise Unsuitable(
            f"[{index}] is out of range in {int(short.sum())} of {len(short)} events; the first is event "
            f"{int(scope.event[short][0])} with {int(lengths[short][0])} items; ask for {least} of them in the preselection"
        )
    return value[:, index]


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
