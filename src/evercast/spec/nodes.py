"""The tree of an expression: frozen nodes, and what can be read off a tree without evaluating it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Binary",
    "Call",
    "Compare",
    "Index",
    "Kind",
    "Logical",
    "Name",
    "Node",
    "Number",
    "Slice",
    "Unary",
    "children",
    "functions",
    "kind_of",
    "names",
    "to_text",
    "walk",
]

Kind = Literal["number", "condition", "unknown"]


@dataclass(frozen=True, slots=True)
class Number:
    """A literal, finite number."""

    value: int | float
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Name:
    """A name to be looked up: parameter, observable, collection, column."""

    name: str
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before an operand."""

    op: Literal["+", "-"]
    operand: Node
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic of two operands; the exponent of ``**`` is an integer literal with absolute value at most 64."""

    op: Literal["+", "-", "*", "/", "**"]
    left: Node
    right: Node
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison, chained as in mathematics: ``ops`` has one entry fewer than ``operands``."""

    ops: tuple[Literal["<", "<=", ">", ">=", "==", "!="], ...]
    operands: tuple[Node, ...]
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Logical:
    """Elementwise logic of conditions: ``and`` and ``or`` of two or more operands, ``not`` of one."""

    op: Literal["and", "or", "not"]
    operands: tuple[Node, ...]
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the list applied to arguments."""

    function: str
    arguments: tuple[Node, ...]
    column: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Slice:
    """The part ``start:stop:step`` of a collection; None is an open end."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An item (int), a part (Slice) or the items for which a condition holds (Node) of a collection."""

    value: Node
    index: int | Slice | Node
    column: int = field(default=1, compare=False, kw_only=True)


Node = Number | Name | Unary | Binary | Compare | Logical | Call | Index


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct operands of a node, left to right."""
    match node:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Compare(operands=operands) | Logical(operands=operands):
            return operands
        case Call(arguments=arguments):
            return arguments
        case Index(value=value, index=index):
            return (value,) if isinstance(index, int | Slice) else (value, index)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all below it, in the order of the text."""
    yield node
    for child in children(node):
        yield from walk(child)


def names(node: Node) -> frozenset[str]:
    """Return the names an expression looks up; functions are not among them.

    Example:
        >>> from evercast.spec.expressions import parse
        >>> sorted(names(parse("mass(z[0] + z[1]) > 2 * m4l")))
        ['m4l', 'z']
    """
    return frozenset(part.name for part in walk(node) if isinstance(part, Name))


def functions(node: Node) -> frozenset[str]:
    """Return the functions an expression calls."""
    return frozenset(part.function for part in walk(node) if isinstance(part, Call))


def kind_of(node: Node) -> Kind:
    """Return whether an expression is a number or a condition, as far as its form tells."""
    match node:
        case Number() | Unary() | Binary():
            return "number"
        case Compare() | Logical():
            return "condition"
        case Call(function="where", arguments=(_, first, second)):
            return kind_of(first) if kind_of(first) == kind_of(second) else "unknown"
        case Call(function=function):
            return "condition" if function in {"any", "all"} else "number"
        case Index(value=value):
            return kind_of(value)
        case _:
            return "unknown"


def to_text(node: Node) -> str:
    """Return a text that parses to the same tree; every operand that is not simple stands in parentheses.

    Example:
        >>> from evercast.spec.expressions import parse
        >>> to_text(parse("a+b*2 < 3"))
        '(a + (b * 2)) < 3'
    """
    match node:
        case Number(value=value):
            text = repr(value)
        case Name(name=name):
            text = name
        case Unary(op=op, operand=operand):
            text = f"{op}{_operand(operand)}"
        case Binary(op=op, left=left, right=right):
            power = op == "**" and isinstance(right, Number)
            text = f"{_operand(left)} {op} {to_text(right) if power else _operand(right)}"
        case Compare(ops=ops, operands=operands):
            rest = "".join(f" {op} {_operand(part)}" for op, part in zip(ops, operands[1:], strict=True))
            text = _operand(operands[0]) + rest
        case Logical(op="not", operands=(operand,)):
            text = f"not {_operand(operand)}"
        case Logical(op=op, operands=operands):
            text = f" {op} ".join(_operand(part) for part in operands)
        case Call(function=function, arguments=arguments):
            text = f"{function}({', '.join(to_text(argument) for argument in arguments)})"
        case Index(value=value, index=index):
            text = f"{_operand(value)}[{_index_text(index)}]"
    return text


def _operand(node: Node) -> str:
    text = to_text(node)
    simple = isinstance(node, Name | Call | Index) or (isinstance(node, Number) and node.value >= 0)
    return text if simple else f"({text})"


def _index_text(index: int | Slice | Node) -> str:
    if isinstance(index, int):
        return str(index)
    if isinstance(index, Slice):
        ends = ["" if end is None else str(end) for end in (index.start, index.stop)]
        return ":".join(ends) + ("" if index.step is None else f":{index.step}")
    return to_text(index)
