"""Expressions in a document: that they parse, and that each name in them means something at that place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from evercast.spec.expressions import (
    FUNCTIONS,
    Binary,
    Call,
    Compare,
    ExpressionError,
    Index,
    Kind,
    Name,
    Node,
    Unary,
    kind_of,
    parse,
    parse_coefficient,
    walk,
)
from evercast.spec.report import Path, Report, did_you_mean, shown_name

__all__ = ["Anything", "Scope", "check_expression", "parsed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may use.

    Args:
        names: names with one number per event or item.
        collections: names with several items per event; a number is taken from them by a function.
        functions: functions that may be called.
        remedy: what to do about an unknown name.
        later: names that are declared, but below this place.
        numbers: those of the names that are known to be numbers; a column may hold truth values.
    """

    names: Collection[str]
    collections: Collection[str] = field(default_factory=frozenset)
    functions: Collection[str] = field(default_factory=lambda: frozenset(FUNCTIONS))
    remedy: str | None = None
    later: Collection[str] = field(default_factory=frozenset)
    numbers: Collection[str] = field(default_factory=frozenset)


class Anything(frozenset[str]):
    """Holds every name: columns of a file that is not read yet."""

    def __contains__(self, name: object) -> bool:
        return True


def parsed(report: Report, path: Path, text: str, *, coefficient: bool = False) -> Node | None:
    """Return the tree of an expression; where it does not parse add a problem and return None."""
    try:
        return parse_coefficient(text) if coefficient else parse(text)
    except ExpressionError as err:
        report.add(path, err.code, str(err))
    return None


def check_expression(
    report: Report, path: Path, text: str, scope: Scope, *, wanted: Kind = "unknown", coefficient: bool = False
) -> Node | None:
    """Check an expression and return its tree; None where it does not parse.

    Args:
        report: takes the problems.
        path: place of the expression.
        text: the expression.
        scope: what it may use.
        wanted: whether it must be a number or a condition.
        coefficient: use the language of coefficients.
    """
    tree = parsed(report, path, text, coefficient=coefficient)
    if tree is None:
        return None
    for node in walk(tree):
        if isinstance(node, Name):
            _check_name(report, path, text, node, scope)
        elif isinstance(node, Call) and node.function not in scope.functions:
            reason = f"the function '{node.function}' cannot be used here"
            if node.function in scope.names:
                reason += f"; write {node.function}, without parentheses"
            _add(report, path, text, node, reason, "expression.unknown-function")
        elif isinstance(node, Compare | Unary | Binary):
            _check_operands(report, path, text, node, scope)
    kind = "number" if isinstance(tree, Name) and tree.name in scope.numbers else kind_of(tree)
    if wanted != "unknown" and kind not in {wanted, "unknown"}:
        what = "a condition is needed here, this is a number" if wanted == "condition" else (
            "a number is needed here, this is a condition; write where(condition, 1, 0)"
        )  # fmt: skip
        _add(report, path, text, tree, what, "expression.kind")
    if wanted != "unknown" and _collection(tree, scope):
        _add(report, path, text, tree, "this is a collection, not one value for each event", "expression.kind")
    return tree


def _check_name(report: Report, path: Path, text: str, node: Name, scope: Scope) -> None:
    name = node.name
    if name in scope.names or name in scope.collections:
        return
    reason = f"unknown name {shown_name(name)}"
    near = did_you_mean(name, [*scope.names, *scope.collections])
    if name in scope.later:
        reason = f"{shown_name(name)} cannot be used here; it is made later"
    elif near:
        reason += f"; {near}"
    elif name in FUNCTIONS and FUNCTIONS[name] == (1, 1) and scope.collections:
        reason += f"; a property is a function: {name}({min(scope.collections)}[0])"
    elif scope.remedy:
        reason += f"; {scope.remedy}"
    _add(report, path, text, node, reason, "expression.unknown-name")


def _check_operands(report: Report, path: Path, text: str, node: Compare | Unary | Binary, scope: Scope) -> None:
    """Refuse a whole collection in a comparison, and arithmetic with one besides the sum of four-vectors."""
    if isinstance(node, Compare):
        operands = node.operands
    elif isinstance(node, Unary):
        operands = (node.operand,)
    elif node.op in {"+", "-"} and _collection(node.left, scope) and _collection(node.right, scope):
        return
    else:
        operands = (node.left, node.right)
    for operand in operands:
        if _collection(operand, scope):
            reason = "four-vectors stand here, a number is needed; take a property, as in pt(leptons[0])"
            _add(report, path, text, operand, reason, "expression.kind")


def _collection(node: Node, scope: Scope) -> bool:
    """Return whether a tree is a collection of items, one item, or a sum of items."""
    match node:
        case Name(name=name):
            return name in scope.collections
        case Index(value=value):
            return _collection(value, scope)
        case Binary(op="+" | "-", left=left, right=right):
            return _collection(left, scope) and _collection(right, scope)
    return False


def _add(report: Report, path: Path, text: str, node: Node, reason: str, code: str) -> None:
    report.add(path, code, str(ExpressionError(reason, text=text, column=node.column)))
