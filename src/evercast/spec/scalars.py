"""What an unquoted YAML scalar means: the core schema of YAML 1.2, without the forms that readers disagree about."""

from __future__ import annotations

import math
import re

__all__ = ["AmbiguousScalarError", "plain_value"]

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 40
_AMBIGUOUS = (
    (
        re.compile(r"[-+]?0[0-9_]+"),
        "has a leading zero, which some readers take as octal",
        "write it without, or quote it",
    ),
    (re.compile(r"[-+]?0[xob][0-9a-fA-F_]+"), "is not a decimal number", "write it in decimal, or quote it"),
    (re.compile(r"[-+]?(?=[0-9.]*[0-9]_)[0-9][0-9_]*(\.[0-9_]*)?"), "has '_' in a number", "leave it out, or quote it"),
    (re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?"), "some readers take as a number in base 60", "quote it"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"), "some readers take as a date", "quote it"),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), "is not a finite number", "write a finite number"),
    (re.compile(r"[-+]?(0[0-9]+)(\.[0-9]*)?([eE][-+]?[0-9]+)?"), "has a leading zero", "write it without, or quote it"),
    (re.compile(r"="), "has a special meaning for some readers", "quote it"),
)


class AmbiguousScalarError(ValueError):
    """An unquoted scalar that must not be guessed at; `args` are what is wrong and what to write."""


def plain_value(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted scalar.

    Raises:
        AmbiguousScalarError: two readers could read it differently, or it is not a finite number.

    Example:
        >>> plain_value("1e5"), plain_value("no"), plain_value("1.5")
        (100000.0, 'no', 1.5)
    """
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text[0] not in "+-.0123456789=":
        return text
    number = _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text)
    if number:
        return _number(text, whole=_INTEGER.fullmatch(text) is not None)
    for pattern, what, remedy in _AMBIGUOUS:
        if pattern.fullmatch(text):
            raise AmbiguousScalarError(what, remedy)
    return text


def _number(text: str, *, whole: bool) -> int | float:
    if len(text) > _MAX_DIGITS:
        raise AmbiguousScalarError(f"has more than {_MAX_DIGITS} digits", "write it shorter, or quote it")
    if whole:
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise AmbiguousScalarError("is too large for a number", "write a finite number")
    return value
