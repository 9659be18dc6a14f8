"""Documents besides the analysis: read and checked against the schema of their kind, with every problem reported."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TypeVar

from evercast.schemas import load_schema
from evercast.spec.codec import from_json
from evercast.spec.reader import read_document
from evercast.spec.report import Report, invalid_document
from evercast.spec.structure import violations

__all__ = ["load_document"]

T = TypeVar("T")


def load_document(path: FilePath, kind: str, target: type[T]) -> T:
    """Return a document as the dataclass that stands for it; keys that are left out get the default of the schema.

    Args:
        path: a YAML or JSON file.
        kind: name of its schema, e.g. ``parametrisation``.
        target: a dataclass with the keys of the schema but for ``schema``.

    Raises:
        InvalidDocument: with every problem of syntax and of the schema, each with its line.
        UsageError: there is no schema of that name.
    """
    schema = load_schema(kind)
    document = read_document(path)
    report = Report(document, document.bad_paths)
    for item in violations(document, kind):
        report.add(
            item.path, item.code, item.message, found=item.found, expected=item.expected, hint=item.hint,
            key=item.at_key,
        )  # fmt: skip
    if document.problems or report.problems:
        raise invalid_document([*document.problems, *report.problems])
    defaults = {key: part["default"] for key, part in schema["properties"].items() if "default" in part}
    return from_json(target, {**defaults, **{key: part for key, part in document.value.items() if key != "schema"}})
