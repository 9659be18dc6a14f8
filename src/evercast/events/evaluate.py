"""Expressions evaluated on chunks of events.

A `Scope` names the columns and collections of a chunk. Units are those of the input (GeV, rad). Nothing but the nodes
of `evercast.spec.expressions` is evaluated, with the functions of `evercast.events.functions`; every error points at
the column of the expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.functions import Unsuitable, Value, describe, form_of, is_condition, is_number, require
from evercast.events.identity import index_in_file
from evercast.events.operators import apply_operator
from evercast.spec.expressions import ExpressionError, Index, Name, Node, Number, Slice
from evercast.spec.nodes import children

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

    def only(self, values: Mapping[str, ak.Array]) -> Scope:
        """Return the same events with these names alone."""
        return Scope(values=values, event=self.event)

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
            f"{index_in_file(scope.event[wrong][0])} of its file with {column[wrong][0]}: {formula.text}",
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
    return np.asarray(ak.to_numpy(value, allow_missing=False), dtype=dtype)


def _evaluate(node: Node, formula: Formula, scope: Scope) -> Value:
    match node:
        case Number(value=value):
            return float(value)
        case Name(name=name):
            return _look_up(name, node, formula, scope)
        case Index():
            return _indexed(node, formula, scope)
        case _:
            return _applied(node, children(node), formula, scope)


def _look_up(name: str, node: Node, formula: Formula, scope: Scope) -> Value:
    if name not in scope.values:
        known = ", ".join(sorted(scope.values))
        raise formula.error(f"there is no {name!r}; there are: {known}", node, code="expression.unknown-name")
    return scope.values[name]


def _applied(node: Node, parts: tuple[Node, ...], formula: Formula, scope: Scope) -> Value:
    values = [_evaluate(part, formula, scope) for part in parts]
    try:
        with np.errstate(all="ignore"):
            return apply_operator(node, values)
    except Unsuitable as problem:
        place = node if problem.argument is None else parts[problem.argument]
        raise formula.error(problem.reason, place) from None
    except (ValueError, TypeError) as err:
        forms = " and ".join(describe(value) for value in values)
        raise formula.error(f"{forms} do not go together; their lists differ in length", node) from err


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
            f"{index_in_file(scope.event[short][0])} of its file with {int(lengths[short][0])} items; ask for "
            f"{least} of them in the preselection"
        )
    return value[:, index]
