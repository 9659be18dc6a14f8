"""What a place of a document looks like in a form, from its JSON Schema alone: no key of any document is known here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from evercast.schemas import load_schema

__all__ = ["Kind", "Shape", "item_shape", "properties_of", "shape_of_document"]

Kind = Literal["text", "long", "number", "choice", "flag", "lines", "numbers", "object", "map", "list"]

_REFERENCE: Final = re.compile(r"(?:([a-z-]+)\.schema\.json)?#/\$defs/([A-Za-z0-9_]+)")
_FILE_KEYS: Final = frozenset({"path", "sha256", "size_bytes"})
_LONG: Final = 10_000
"""Characters from which a text gets several lines."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """A place of a document.

    Args:
        kind: how it is filled in.
        schema: of the place, references resolved one step; keys beside a reference win.
        document: kind of the document that references without a name are looked up in.
    """

    kind: Kind
    schema: Mapping[str, Any]
    document: str

    @property
    def is_file(self) -> bool:
        """Whether it names a file beside the document by path, digest and size."""
        return self.kind == "object" and set(self.schema["properties"]) >= _FILE_KEYS

    @property
    def allows_text(self) -> bool:
        """Whether one word may stand instead of a list."""
        declared = self.schema.get("type")
        return self.kind in {"lines", "numbers"} and isinstance(declared, list) and "string" in declared


def shape_of_document(kind: str) -> Shape:
    """Return the shape of a whole document.

    Raises:
        UsageError: there is no such kind.
    """
    return _shape(load_schema(kind), kind)


def properties_of(shape: Shape) -> dict[str, Shape]:
    """Return key -> shape of an object, in the order of the schema."""
    return {key: _shape(part, shape.document) for key, part in shape.schema["properties"].items()}


def item_shape(shape: Shape) -> Shape:
    """Return the shape of the entries of a map or of a list."""
    if shape.kind == "map":
        return _shape(next(iter(shape.schema["patternProperties"].values())), shape.document)
    return _shape(shape.schema["items"], shape.document)


def _shape(schema: Mapping[str, Any], document: str) -> Shape:
    while "$ref" in schema:
        found = _REFERENCE.fullmatch(schema["$ref"])
        assert found is not None, schema["$ref"]  # noqa: S101 - schemas are ours and under test
        document = found.group(1) or document
        referred: Mapping[str, Any] = load_schema(document)["$defs"][found.group(2)]
        schema = {**referred, **{key: part for key, part in schema.items() if key != "$ref"}}
    return Shape(kind=_kind(schema, document), schema=schema, document=document)


def _kind(schema: Mapping[str, Any], document: str) -> Kind:
    declared = schema.get("type")
    types = declared if isinstance(declared, list) else [declared]
    if "enum" in schema:
        return "choice"
    if "array" in types:
        entry = _shape(schema["items"], document).kind
        return "numbers" if entry == "number" else "lines" if entry in {"text", "choice"} else "list"
    if "object" in types:
        return "object" if "properties" in schema else "map"
    if "boolean" in types:
        return "flag"
    if "number" in types or "integer" in types:
        return "number"
    return "long" if schema.get("maxLength", 0) >= _LONG else "text"
