"""From Python's tree of an expression to our own nodes; what is not on the list is refused with its column."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from typing import Any, Literal

from evercast.spec.functions import FUNCTIONS
from evercast.spec.nodes import Binary, Call, Compare, Index, Logical, Name, Node, Number, Slice, Unary, kind_of
from evercast.spec.tokens import MAX_DEPTH, MAX_EXPONENT, MAX_NODES, ExpressionError, too_deep

__all__ = ["Translator"]

_ARITHMETIC: dict[type[ast.operator], Literal["+", "-", "*", "/", "**"]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**",
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Literal["<", "<=", ">", ">=", "==", "!="]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_TRAP = "'&', '|' and '~' bind more tightly than comparisons; write the comparisons in parentheses, (a > 1) & (b < 2)"


class Translator:
    """Translates Python's tree to ours and counts nodes on the way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.count = 0
        self._handlers: dict[type[ast.expr], Callable[[Any, int], Node]] = {
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.BoolOp: self._boolean,
            ast.Compare: self._compare,
            ast.Call: self._call,
            ast.Subscript: self._index,
        }

    def _error(self, reason: str, column: int, code: str | None = None) -> ExpressionError:
        return ExpressionError(reason, text=self.text, column=column, code=code)

    def node(self, part: ast.expr, depth: int) -> Node:
        """Return the translation of one part; `depth` counts the levels above it."""
        self.count += 1
        if depth > MAX_DEPTH:
            raise too_deep(self.text, part.col_offset)
        if self.count > MAX_NODES:
            reason = f"the expression has more than {MAX_NODES} parts"
            raise self._error(reason, part.col_offset, "expression.limit")
        match part:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return Number(value, column=part.col_offset)
            case ast.Name(id=name):
                return Name(name, column=part.col_offset)
        handler = self._handlers.get(type(part))
        if handler is None:
            what = _CONSTRUCTS.get(type(part), "this construct")
            raise self._error(f"{what} is not allowed in an expression", part.col_offset)
        return handler(part, depth)

    def _unary(self, part: ast.UnaryOp, depth: int) -> Node:
        if isinstance(part.op, ast.Not | ast.Invert):
            return self._logical("not", (part.operand,), part.col_offset, depth)
        op: Literal["+", "-"] = "-" if isinstance(part.op, ast.USub) else "+"
        return Unary(op, self._number(part.operand, depth), column=part.col_offset)

    def _number(self, part: ast.expr, depth: int) -> Node:
        """Return an operand of arithmetic, which a condition is not: true + true would be true."""
        node = self.node(part, depth + 1)
        if kind_of(node) == "condition":
            raise self._error("arithmetic with a condition; write where(condition, 1, 0)", node.column)
        return node

    def _boolean(self, part: ast.BoolOp, depth: int) -> Node:
        op: Literal["and", "or"] = "and" if isinstance(part.op, ast.And) else "or"
        return self._logical(op, tuple(part.values), part.col_offset, depth)

    def _arithmetic(self, part: ast.BinOp, depth: int) -> Node:
        if isinstance(part.op, ast.BitAnd | ast.BitOr):
            bit: Literal["and", "or"] = "and" if isinstance(part.op, ast.BitAnd) else "or"
            return self._logical(bit, (part.left, part.right), part.col_offset, depth)
        op = _ARITHMETIC.get(type(part.op))
        if op is None:
            raise self._error("only + - * / ** are arithmetic operators", part.col_offset)
        left = self._number(part.left, depth)
        right = self._exponent(part.right) if op == "**" else self._number(part.right, depth)
        return Binary(op, left, right, column=part.col_offset)

    def _exponent(self, part: ast.expr) -> Number:
        value = self._integer(part, "an exponent must be an integer literal; a square root is sqrt(x)")
        if abs(value) > MAX_EXPONENT:
            reason = f"the exponent {value} is outside -{MAX_EXPONENT} to {MAX_EXPONENT}"
            raise self._error(reason, part.col_offset, "expression.limit")
        return Number(value, column=part.col_offset)

    def _integer(self, part: ast.expr, reason: str) -> int:
        match part:
            case ast.Constant(value=value) if type(value) is int and value < 10**9:
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if type(value) is int and value < 10**9:
                return -value
        raise self._error(reason, part.col_offset)

    def _compare(self, part: ast.Compare, depth: int) -> Node:
        operands = tuple(self.node(operand, depth + 1) for operand in (part.left, *part.comparators))
        for operand in operands:
            if isinstance(operand, Logical):
                raise self._error(_TRAP, operand.column, "expression.precedence")
        ops = tuple(_COMPARISONS[type(op)] for op in part.ops)
        return Compare(ops, operands, column=part.col_offset)

    def _logical(self, op: Literal["and", "or", "not"], parts: tuple[ast.expr, ...], column: int, depth: int) -> Node:
        operands: list[Node] = []
        for part in parts:
            node = self.node(part, depth + 1)
            if kind_of(node) == "number":
                raise self._error(
                    f"a condition is needed, this is a number; {_TRAP}", node.column, "expression.precedence"
                )
            same = isinstance(node, Logical) and node.op == op and op != "not"
            operands.extend(node.operands if same and isinstance(node, Logical) else [node])
        return Logical(op, tuple(operands), column=column)

    def _call(self, part: ast.Call, depth: int) -> Node:
        column = part.col_offset
        if not isinstance(part.func, ast.Name):
            raise self._error("only a function of the list can be called", column, "expression.unknown-function")
        function, found = part.func.id, len(part.args)
        if function not in FUNCTIONS:
            near = difflib.get_close_matches(function, FUNCTIONS, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(FUNCTIONS)}"
            raise self._error(f"unknown function '{function[:40]}'; {hint}", column, "expression.unknown-function")
        if part.keywords or any(isinstance(argument, ast.Starred) for argument in part.args):
            raise self._error("arguments are given by place, without '*'", column)
        least, most = FUNCTIONS[function]
        if not least <= found <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            noun = "argument" if wanted == "1" else "arguments"
            raise self._error(f"'{function}' takes {wanted} {noun}, found {found}", column, "expression.arity")
        return Call(function, tuple(self.node(argument, depth + 1) for argument in part.args), column=column)

    def _index(self, part: ast.Subscript, depth: int) -> Node:
        value = self.node(part.value, depth + 1)
        if not isinstance(value, Name | Call | Index) or kind_of(value) == "condition":
            raise self._error("only a collection can be indexed", value.column)
        return Index(value, self._index_value(part.slice, depth), column=part.col_offset)

    def _index_value(self, part: ast.expr, depth: int) -> int | Slice | Node:
        reason = "an index is an integer, a slice or a condition"
        if isinstance(part, ast.Slice):
            ends = [None if end is None else self._integer(end, reason) for end in (part.lower, part.upper, part.step)]
            if ends[2] == 0:
                raise self._error("the step of a slice is not zero", part.col_offset)
            return Slice(*ends)
        if isinstance(part, ast.Constant | ast.UnaryOp) and not isinstance(
            getattr(part, "op", None), ast.Invert | ast.Not
        ):
            return self._integer(part, reason)
        mask = self.node(part, depth + 1)
        if kind_of(mask) == "number":
            raise self._error(reason, mask.column)
        return mask


_CONSTRUCTS: dict[type[ast.expr], str] = {
    ast.Tuple: "a comma outside a call",
    ast.List: "a list",
    ast.Starred: "'*' before a name",
}
