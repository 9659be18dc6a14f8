"""Strict JSON of files from others: no duplicate keys, no NaN, bounded size; and what a document is by its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from evercast.errors import InvalidInput
from evercast.likelihood.foreign import is_hs3

__all__ = ["MAX_JSON_BYTES", "kind_of_document", "parse_json"]

MAX_JSON_BYTES: Final = 256 << 20


def parse_json(content: bytes, *, where: str) -> object:
    """Return the JSON value in `content`.

    Raises:
        InvalidInput: ``wrap.not-json``, also for a duplicate key, NaN and infinity; ``wrap.too-large``.
    """
    if len(content) > MAX_JSON_BYTES:
        message = f"the document has {len(content)} bytes; at most {MAX_JSON_BYTES} are read"
        raise InvalidInput(message, code="wrap.too-large", where=where)
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise InvalidInput(f"the document is not valid JSON: {err}", code="wrap.not-json", where=where) from err


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [key for key, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {again!r} stands twice")
    return content


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def kind_of_document(value: object) -> str:
    """Return what a JSON document of the field is: ``workspace``, ``patchset``, ``patch``, or what else, in words."""
    if isinstance(value, list):
        patch = bool(value) and all(isinstance(entry, Mapping) and {"op", "path"} <= set(entry) for entry in value)
        return "patch" if patch else "a list"
    if not isinstance(value, Mapping):
        return f"a single {type(value).__name__}"
    keys = set(value)
    if {"channels", "observations", "measurements"} <= keys:
        return "workspace"
    if "patches" in keys:
        return "patchset"
    if is_hs3(value):
        return "an HS3 workspace"
    return f"an object with the keys {', '.join(sorted(map(str, keys))[:6]) or 'none'}"
