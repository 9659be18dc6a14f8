"""A document as the flat values of a form, and back; what a person typed is kept, whether it is valid or not.

The value at ``$.signal.points.mine.values`` has the name ``/signal/points/0/values``: entries of maps and lists are
numbered, and ``/signal/points/0#`` holds the key of the entry (nothing in a list), also where the entry is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from evercast.serve.shapes import Shape, item_shape, properties_of

__all__ = ["ABSENT", "entries_of", "from_form", "represents", "to_form"]

ABSENT: Final = object()
"""What an empty place gives."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BETWEEN: Final = re.compile(r"[\s,;]+")
_FLAGS: Final = {"true": True, "false": False}


def to_form(shape: Shape, value: object, name: str = "") -> dict[str, str]:
    """Return name -> text of every value of a document.

    Args:
        shape: of the document, or of a place in it.
        value: there.
        name: of the place.
    """
    found: dict[str, str] = {}
    if shape.kind == "object" and isinstance(value, Mapping):
        for key, part in properties_of(shape).items():
            if key in value:
                found |= to_form(part, value[key], f"{name}/{key}")
    elif shape.kind == "map" and isinstance(value, Mapping):
        for number, (key, entry) in enumerate(value.items()):
            found[f"{name}/{number}#"] = str(key)
            found |= to_form(item_shape(shape), entry, f"{name}/{number}")
    elif shape.kind == "list" and isinstance(value, list):
        for number, entry in enumerate(value):
            found[f"{name}/{number}#"] = ""
            found |= to_form(item_shape(shape), entry, f"{name}/{number}")
    elif shape.kind in {"lines", "numbers"} and isinstance(value, list):
        between = "\n" if shape.kind == "lines" else ", "
        found[name] = between.join(_text(entry) for entry in value)
    elif shape.kind not in {"object", "map", "list"}:
        found[name] = _text(value)
    return found


def from_form(shape: Shape, form: Mapping[str, str], name: str = "") -> Any:
    """Return the value of a place; `ABSENT` where nothing was filled in.

    Text that is no number stays text where a number is wanted, so that the check of the document names it.

    Args:
        shape: of the document, or of a place in it.
        form: name -> text.
        name: of the place.
    """
    if shape.kind == "object":
        parts = {key: from_form(part, form, f"{name}/{key}") for key, part in properties_of(shape).items()}
        filled = {key: part for key, part in parts.items() if part is not ABSENT}
        return filled or ABSENT
    if shape.kind in {"map", "list"}:
        return _entries(shape, form, name)
    text = form.get(name, "").replace("\r\n", "\n").strip()
    if not text:
        return ABSENT
    if shape.kind in {"lines", "numbers"}:
        return _listed(shape, text)
    return _scalar(shape, text)


def entries_of(form: Mapping[str, str], name: str) -> list[int]:
    """Return the numbers of the entries of a map or list."""
    pattern = re.compile(re.escape(name) + r"/([0-9]{1,6})#")
    return sorted(int(found.group(1)) for key in form if (found := pattern.fullmatch(key)))


def represents(shape: Shape, body: Mapping[str, object]) -> bool:
    """Return whether a form holds all that a document says; else it is edited as text."""
    again = from_form(shape, to_form(shape, body))
    return again is not ABSENT and _filled(again) == _filled(body)


def _filled(value: Any) -> Any:
    """Return a value without keys that hold nothing: a form cannot tell them from those that are absent."""
    if isinstance(value, Mapping):
        parts = {key: _filled(part) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part not in ({}, [])}
    return [_filled(part) for part in value] if isinstance(value, list) else value


def _entries(shape: Shape, form: Mapping[str, str], name: str) -> Any:
    inner = item_shape(shape)
    empty: object = {} if inner.kind in {"object", "map"} else []
    listed = []
    for number in entries_of(form, name):
        entry = from_form(inner, form, f"{name}/{number}")
        listed.append((form[f"{name}/{number}#"].strip(), empty if entry is ABSENT else entry))
    if not listed:
        return ABSENT
    if shape.kind == "list":
        return [entry for _, entry in listed]
    named: dict[str, object] = {}
    for key, entry in listed:
        named[_free(key, named)] = entry
    return named


def _free(key: str, taken: Mapping[str, object]) -> str:
    """Return a key that is not taken: two entries of one name must not become one."""
    number = 2
    free = key
    while free in taken:
        free, number = f"{key}-{number}", number + 1
    return free


def _listed(shape: Shape, text: str) -> object:
    if shape.allows_text and re.search(str(shape.schema.get("pattern", "$^")), text):
        return text
    if shape.kind == "numbers":
        return [_number(part) for part in _BETWEEN.split(text) if part]
    return [line.strip() for line in text.split("\n") if line.strip()]


def _scalar(shape: Shape, text: str) -> object:
    if shape.kind == "flag":
        return _FLAGS.get(text, text)
    if shape.kind == "number":
        return _number(text)
    if shape.kind == "choice":
        return next((choice for choice in shape.schema["enum"] if _text(choice) == text), text)
    return text


def _number(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
