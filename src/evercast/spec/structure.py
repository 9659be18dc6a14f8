"""Violations of the JSON Schema, reworded for people: what was found, what is allowed, what was probably meant."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from evercast.schemas import load_schema, registry
from evercast.spec.reader import Document
from evercast.spec.report import Path, did_you_mean, nearest, shown, shown_name

__all__ = ["Violation", "violations"]

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_MAX_VIOLATIONS = 1000
_BOOLEAN_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One violation of the schema.

    Args:
        path: place of the value, of the unknown key, or of the mapping in which a key is missing.
        code: text code of the problem.
        message: what is wrong.
        found: the value found.
        expected: what is allowed.
        hint: what was probably meant.
        at_key: the problem is the key, not the value.
        missing: the key that is missing.
        meant: the key that an unknown key was probably meant to be.
        breaks: the value has no place in the data model, and must be left out to check the rest.
    """

    path: Path
    code: str
    message: str
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    at_key: bool = False
    missing: str | None = None
    meant: str | None = None
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class _Failure:
    """What jsonschema says of one violation: the failed keyword and its value, the subschema, the value found."""

    path: Path
    keyword: str
    limit: Any
    schema: Mapping[str, Any]
    instance: Any

    @classmethod
    def of(cls, error: ValidationError) -> _Failure:
        """Return the failure that an error of jsonschema tells of."""
        schema = error.schema if isinstance(error.schema, Mapping) else {}
        return cls(tuple(error.absolute_path), str(error.validator), error.validator_value, schema, error.instance)


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(kind), registry=registry())


def violations(document: Document, kind: str) -> list[Violation]:
    """Return every violation of the schema `kind`, in no particular order."""
    errors = itertools.islice(_validator(kind).iter_errors(document.value), _MAX_VIOLATIONS)
    failures = (_Failure.of(error) for error in errors)
    worded = (one for failure in failures for one in _WORDINGS.get(failure.keyword, _other)(failure, document))
    return list(dict.fromkeys(worded))


def _keys(failure: _Failure, _: Document) -> Iterator[Violation]:
    """Word keys that a mapping must not have."""
    schema = failure.schema
    known = list(schema.get("properties", ()))
    patterns = list(schema.get("patternProperties", ()))
    for key in failure.instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        path = (*failure.path, key)
        if patterns:
            rule = schema.get("x-rule")
            yield Violation(
                path=path, code="spec.bad-name", message=f"the name {shown_name(key)} is not allowed",
                expected=rule, at_key=True, breaks=True,
            )  # fmt: skip
        else:
            yield Violation(
                path=path, code="spec.unknown-key", message=f"unknown key {shown_name(key)}",
                expected=f"one of {', '.join(known)}", hint=did_you_mean(key, known), at_key=True,
                meant=nearest(key, known), breaks=True,
            )  # fmt: skip


def _missing(failure: _Failure, _: Document) -> Iterator[Violation]:
    for key in failure.limit:
        if key not in failure.instance:
            yield Violation(
                path=failure.path, code="spec.missing-key", message=f"the key '{key}' is missing",
                at_key=True, missing=key, breaks=True,
            )  # fmt: skip


def _type(failure: _Failure, document: Document) -> Iterator[Violation]:
    allowed = failure.limit if isinstance(failure.limit, list) else [failure.limit]
    path, value = failure.path, failure.instance
    hint = None
    if isinstance(value, str):
        hint = _hint_for_text(value, allowed)
    elif value is not None and not isinstance(value, dict | list) and "string" in allowed:
        hint = f'quote it: "{document.text(path)}"'
    if hint is None and "array" in allowed and not isinstance(value, dict | list) and value is not None:
        hint = f"a list of one is [{document.text(path)}]"
    yield Violation(
        path=path, code="spec.wrong-type", message="the value has the wrong type", found=_found(value, document, path),
        expected=" or ".join(_TYPES[kind] for kind in allowed), hint=hint, breaks=True,
    )  # fmt: skip


def _found(value: object, document: Document, path: Path) -> str:
    """Return what was found; a number as it was written, so that 1.10 is not shown as 1.1."""
    written = document.text(path)
    return written if isinstance(value, int | float) and written else shown(value)


def _hint_for_text(value: str, allowed: list[str]) -> str | None:
    if "boolean" in allowed and value.lower() in _BOOLEAN_WORDS:
        return "a boolean is true or false, without quotes"
    if {"number", "integer"} & set(allowed) and re.fullmatch(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*", value):
        return f"a number stands without quotes: {value.strip()}"
    return None


def _choice(failure: _Failure, document: Document) -> Iterator[Violation]:
    allowed = list(failure.limit) if failure.keyword == "enum" else [failure.limit]
    listed = ", ".join(str(option) for option in allowed)
    value = failure.instance
    hint = did_you_mean(str(value), [str(option) for option in allowed])
    if isinstance(value, int | float) and all(isinstance(option, str) for option in allowed):
        hint = f'a text that looks like a number is quoted: "{document.text(failure.path)}"'
    yield Violation(
        path=failure.path, code="spec.not-allowed", message="the value is not one of those allowed",
        found=_found(value, document, failure.path),
        expected=f"one of {listed}" if len(allowed) > 1 else listed, hint=hint, breaks=True,
    )  # fmt: skip


_RANGES = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_SIZES = {
    "minItems": ("at least {} items", "the list is too short"),
    "maxItems": ("at most {} items", "the list is too long"),
    "minLength": ("at least {} characters", "the text is too short"),
    "maxLength": ("at most {} characters", "the text is too long"),
    "minProperties": ("at least {} entries", "there are too few entries"),
    "maxProperties": ("at most {} entries", "there are too many entries"),
}


def _range(failure: _Failure, _: Document) -> Iterator[Violation]:
    yield Violation(
        path=failure.path, code="spec.out-of-range", message="the value is out of range", found=shown(failure.instance),
        expected=f"{_RANGES[failure.keyword]} {failure.limit}",
    )  # fmt: skip


def _size(failure: _Failure, _: Document) -> Iterator[Violation]:
    expected, message = _SIZES[failure.keyword]
    limit = failure.limit
    expected = expected.format(limit).replace("1 items", "1 item").replace("1 entries", "1 entry")
    wanted = f"exactly {limit} items" if _fixed_length(failure) else expected
    yield Violation(
        path=failure.path, code="spec.size", message=message, found=str(len(failure.instance)),
        expected=wanted, breaks=_fixed_length(failure),
    )  # fmt: skip


def _fixed_length(failure: _Failure) -> bool:
    schema = failure.schema
    return "minItems" in schema and schema.get("minItems") == schema.get("maxItems")


def _pattern(failure: _Failure, _: Document) -> Iterator[Violation]:
    schema = failure.schema
    yield Violation(
        path=failure.path, code="spec.pattern", message="the text does not have the right form",
        found=shown_name(failure.instance), expected=schema.get("x-rule", f"a match of {failure.limit}"),
    )  # fmt: skip


def _exactly_one(failure: _Failure, _: Document) -> Iterator[Violation]:
    """Word a choice between keys: `oneOf` (exactly one) or `anyOf` (at least one)."""
    if not isinstance(failure.instance, dict):
        return
    keys = [branch["required"][0] for branch in failure.limit]
    present = [key for key in keys if key in failure.instance]
    quantity = "exactly one" if failure.keyword == "oneOf" else "at least one"
    yield Violation(
        path=failure.path, code="spec.choice", message=f"{quantity} of these keys must be given",
        found=" and ".join(f"'{key}'" for key in present) or "none", expected=f"{quantity} of {', '.join(keys)}",
        at_key=True,
    )  # fmt: skip


def _other(failure: _Failure, _: Document) -> Iterator[Violation]:
    message = f"the value does not satisfy '{failure.keyword}' of the schema"
    yield Violation(path=failure.path, code="spec.schema", message=message, found=shown(failure.instance), breaks=True)


_WORDINGS: dict[str, Callable[[_Failure, Document], Iterator[Violation]]] = {
    "additionalProperties": _keys,
    "required": _missing,
    "type": _type,
    "enum": _choice,
    "const": _choice,
    **dict.fromkeys(_RANGES, _range),
    **dict.fromkeys(_SIZES, _size),
    "pattern": _pattern,
    "oneOf": _exactly_one,
    "anyOf": _exactly_one,
}
