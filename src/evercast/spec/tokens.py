"""The tokens of the expression language, its limits, and its error."""

from __future__ import annotations

import math
import re

from evercast.errors import InvalidInput

__all__ = ["MAX_DEPTH", "MAX_EXPONENT", "MAX_LENGTH", "MAX_NODES", "ExpressionError", "check_tokens", "too_deep"]

MAX_LENGTH = 4096
MAX_NODES = 2000
MAX_DEPTH = 64
MAX_EXPONENT = 64
_MAX_DIGITS = 40

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>\*\*|<=|>=|==|!=|//|<<|>>|[-+*/<>&|~()\[\],:])"
)
_KEYWORDS = frozenset(
    {
        *(
            "False",
            "None",
            "True",
            "as",
            "assert",
            "async",
            "await",
            "break",
            "class",
            "continue",
            "def",
            "del",
            "elif",
            "else",
        ),
        *(
            "except",
            "finally",
            "for",
            "from",
            "global",
            "if",
            "import",
            "in",
            "is",
            "lambda",
            "nonlocal",
            "pass",
            "raise",
        ),
        *("return", "try", "while", "with", "yield"),
    }
)
_REFUSED = {
    "^": "'^' is not an operator; a power is '**'",
    "%": "'%' is not an operator of the expression language",
    "=": "'=' is not an operator; equality is '=='",
    ".": "attribute access is not allowed; a property is a function, as in pt(leptons[0])",
    "'": "text is not allowed in an expression",
    '"': "text is not allowed in an expression",
    "!": "'!' is not an operator; negation is 'not' or '~'",
}


class ExpressionError(InvalidInput):
    """A text is not an expression; str() shows it with a caret under the place.

    Args:
        reason: what is wrong, in one line.
        text: the expression.
        column: one-based column.
    """

    default_code = "expression.invalid"

    def __init__(self, reason: str, *, text: str, column: int, code: str | None = None) -> None:
        self.reason = reason
        self.text = text
        self.column = max(1, column)
        super().__init__(f"column {self.column}: {reason}\n{self.caret()}", code=code)

    def caret(self) -> str:
        """Return the neighbourhood of the place and below it a caret, as two indented lines."""
        start = max(0, self.column - 60)
        shown = self.text[start : start + 110]
        line = "".join(char if char.isascii() and char.isprintable() else "?" for char in shown)
        return f"    {line}\n    {' ' * (self.column - 1 - start)}^"


def check_tokens(text: str) -> None:
    """Refuse every token that the language does not have, unbalanced brackets and what is too long.

    Raises:
        ExpressionError: with the column of the first such place.
    """
    if len(text) > MAX_LENGTH:
        reason = f"the expression has {len(text)} characters, the limit is {MAX_LENGTH}"
        raise ExpressionError(reason, text=text, column=MAX_LENGTH, code="expression.limit")
    brackets: list[tuple[str, int]] = []
    position, after_operand, empty = 0, False, True
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _refused_character(text, position)
        position = match.end()
        if match.lastgroup == "space":
            continue
        empty = False
        if match.lastgroup == "op":
            _check_bracket(text, match, brackets)
            after_operand = match.group() in {")", "]"}
        else:
            after_operand = _check_word(text, match, after_operand=after_operand)
    if empty:
        raise ExpressionError("the expression is empty", text=text, column=1, code="expression.syntax")
    if brackets:
        kind, column = brackets[-1]
        raise ExpressionError(f"'{kind}' was never closed", text=text, column=column, code="expression.syntax")


def _refused_character(text: str, position: int) -> ExpressionError:
    char = text[position]
    named = f"U+{ord(char):04X}"
    shown = f"character '{char}' ({named})" if char.isascii() and char.isprintable() else f"character {named}"
    reason = _REFUSED.get(char, f"{shown} is not allowed in an expression")
    return ExpressionError(reason, text=text, column=position + 1, code="expression.syntax")


def _check_word(text: str, match: re.Match[str], *, after_operand: bool) -> bool:
    """Check a number or a name; return whether it is an operand."""
    word, column = match.group(), match.start() + 1
    if match.lastgroup == "number":
        _check_number(text, match)
    elif word in {"and", "or", "not"}:
        return False
    elif word in _KEYWORDS:
        hint = "; a choice is where(condition, a, b)" if word in {"if", "else"} else ""
        raise ExpressionError(f"'{word}' is not allowed in an expression{hint}", text=text, column=column)
    elif word.startswith("__"):
        raise ExpressionError(f"the name '{word[:40]}' is not allowed", text=text, column=column)
    if after_operand:
        reason = f"an operator is missing before '{word[:40]}'"
        raise ExpressionError(reason, text=text, column=column, code="expression.syntax")
    return True


def _check_number(text: str, match: re.Match[str]) -> None:
    word, column = match.group(), match.start() + 1
    following = text[match.end() : match.end() + 1]
    if following.isalnum() or (following and following in "_."):
        raise ExpressionError(f"'{word[:40]}{following}' is not a number", text=text, column=column)
    if re.match(r"0[0-9]", word):
        raise ExpressionError(f"'{word[:40]}' has a leading zero", text=text, column=column)
    if len(word) > _MAX_DIGITS or not math.isfinite(float(word)):
        reason = f"the number is too long or too large (limits: {_MAX_DIGITS} characters, 1.8e308)"
        raise ExpressionError(reason, text=text, column=column, code="expression.limit")


def _check_bracket(text: str, match: re.Match[str], brackets: list[tuple[str, int]]) -> None:
    sign, column = match.group(), match.start() + 1
    if sign in {"(", "["}:
        brackets.append((sign, column))
        if len(brackets) > MAX_DEPTH:
            raise too_deep(text, column)
    elif sign in {")", "]"}:
        if not brackets or brackets.pop()[0] != {")": "(", "]": "["}[sign]:
            raise ExpressionError(f"unmatched '{sign}'", text=text, column=column, code="expression.syntax")
    elif sign == ":" and not (brackets and brackets[-1][0] == "["):
        raise ExpressionError("':' stands in an index only", text=text, column=column, code="expression.syntax")


def too_deep(text: str, column: int) -> ExpressionError:
    """Return the error of an expression with too many levels."""
    reason = f"the expression is nested more than {MAX_DEPTH} levels deep"
    return ExpressionError(reason, text=text, column=column, code="expression.limit")
