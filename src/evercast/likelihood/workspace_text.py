"""Typed access to the parts of a JSON document; a wrong type is an error that holds the JSON path."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput

_LARGEST = sys.float_info.max

__all__ = ["entries_of", "flag_of", "mapping_of", "number_of", "numbers_of", "text_of"]


def _wrong(what: str, found: object, place: str) -> InvalidInput:
    kind = "nothing" if found is None else f"{type(found).__name__} {str(found)[:40]!r}"
    return InvalidInput(f"expected {what}, found {kind}", code="workspace.invalid", where=place)


def mapping_of(value: object, place: str) -> Mapping[str, object]:
    """Return the value as a mapping.

    Raises:
        InvalidInput: it is something else.
    """
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise _wrong("an object", value, place)


def entries_of(
    parent: Mapping[str, object], key: str, place: str, *, allow_empty: bool = False
) -> Sequence[Mapping[str, object]]:
    """Return a list of objects.

    Raises:
        InvalidInput: it is absent, empty or something else.
    """
    value = parent.get(key)
    if not isinstance(value, list) or not (value or allow_empty):
        raise _wrong("a list of objects", value, f"{place}.{key}")
    for number, entry in enumerate(value):
        if type(entry) is not dict:
            mapping_of(entry, f"{place}.{key}[{number}]")
    return value


def text_of(parent: Mapping[str, object], key: str, place: str) -> str:
    """Return a text that is not empty.

    Raises:
        InvalidInput: it is absent, empty or something else.
    """
    value = parent.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong("a text", value, f"{place}.{key}")
    return value


def flag_of(parent: Mapping[str, object], key: str, place: str, *, default: bool) -> bool:
    """Return true or false.

    Raises:
        InvalidInput: it is something else.
    """
    value = parent.get(key, default)
    if not isinstance(value, bool):
        raise _wrong("true or false", value, f"{place}.{key}")
    return value


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("a number", value, place)
    if not math.isfinite(value):
        raise InvalidInput(f"expected a finite number, found {value}", code="workspace.not-finite", where=place)
    return float(value)


def number_of(parent: Mapping[str, object], key: str, place: str) -> float:
    """Return a finite number.

    Raises:
        InvalidInput: it is absent, not a number, NaN or infinite.
    """
    value = parent.get(key)
    return value if type(value) is float and math.isfinite(value) else _number(value, f"{place}.{key}")


def numbers_of(parent: Mapping[str, object], key: str, place: str) -> Float[np.ndarray, " n"]:
    """Return finite numbers, at least one.

    Raises:
        InvalidInput: they are absent, empty, not numbers, NaN or infinite.
    """
    value = parent.get(key)
    if not isinstance(value, list) or not value:
        raise _wrong("a list of numbers", value, f"{place}.{key}")
    for entry in value:
        if not ((type(entry) is float or type(entry) is int) and -_LARGEST <= entry <= _LARGEST):
            break
    else:
        return np.array(value, dtype=float)
    return np.array([_number(entry, f"{place}.{key}[{number}]") for number, entry in enumerate(value)])
