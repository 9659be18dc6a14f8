"""The expression language: text to a tree of frozen nodes, with nothing ever evaluated.

The text is first cut to tokens of a short list, then read by Python's own grammar (`ast.parse`), then translated node
by node; whatever is not on the list is an error that points at its column. There is no attribute access, no text, no
keyword besides ``and``, ``or``, ``not``, and no function beyond `FUNCTIONS`.

Example:
    >>> from evercast.spec.expressions import parse
    >>> parse("70 < m4l < 181").ops
    ('<', '<')
"""

from __future__ import annotations

import ast
import re

from evercast.spec.functions import COEFFICIENT_FUNCTIONS, FUNCTIONS, ITEM_PROPERTIES
from evercast.spec.nodes import (
    Binary,
    Call,
    Compare,
    Index,
    Kind,
    Logical,
    Name,
    Node,
    Number,
    Slice,
    Unary,
    functions,
    kind_of,
    names,
    to_text,
    walk,
)
from evercast.spec.tokens import ExpressionError, check_tokens, too_deep
from evercast.spec.translation import Translator

__all__ = [
    "COEFFICIENT_FUNCTIONS",
    "FUNCTIONS",
    "ITEM_PROPERTIES",
    "Binary",
    "Call",
    "Compare",
    "ExpressionError",
    "Index",
    "Kind",
    "Logical",
    "Name",
    "Node",
    "Number",
    "Slice",
    "Unary",
    "functions",
    "kind_of",
    "names",
    "parse",
    "parse_coefficient",
    "to_text",
    "walk",
]


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Args:
        text: at most 4096 characters, 2000 nodes, 64 levels; line breaks count as spaces.

    Raises:
        ExpressionError: the text is not an expression of the language.

    Example:
        >>> parse("2 * x")
        Binary(op='*', left=Number(value=2, column=1), right=Name(name='x', column=5), column=1)
    """
    check_tokens(text)
    flat = re.sub(r"\s", " ", text)
    try:
        body = ast.parse(f"({flat})", mode="eval").body
    except SyntaxError as err:
        reason = (err.msg or "invalid syntax").split(". Perhaps")[0].split(" (")[0]
        raise ExpressionError(reason, text=text, column=(err.offset or 1) - 1, code="expression.syntax") from None
    except (RecursionError, MemoryError):
        raise too_deep(text, 1) from None
    return Translator(text).node(body, 1)


def parse_coefficient(text: str) -> Node:
    """Return the tree of a coefficient: numbers, parameters, ``+ - * / **`` and `COEFFICIENT_FUNCTIONS`.

    Raises:
        ExpressionError: the text is not an expression, or uses more than the coefficient language has.
    """
    tree = parse(text)
    for node in walk(tree):
        if isinstance(node, Compare | Logical | Index):
            what = {Compare: "a comparison", Logical: "logic", Index: "an index"}[type(node)]
            raise ExpressionError(f"{what} is not allowed in a coefficient", text=text, column=node.column)
        if isinstance(node, Call) and node.function not in COEFFICIENT_FUNCTIONS:
            allowed = ", ".join(sorted(COEFFICIENT_FUNCTIONS))
            reason = f"function '{node.function}' is not allowed in a coefficient; allowed: {allowed}"
            raise ExpressionError(reason, text=text, column=node.column, code="expression.unknown-function")
    return tree
