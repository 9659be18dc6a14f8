"""Documents with checks beyond their schema, every problem of both reported with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from evercast.errors import Problem
from evercast.schemas import load_schema
from evercast.spec.codec import from_json
from evercast.spec.reader import Document, read_document
from evercast.spec.report import Report, invalid_document, shown
from evercast.spec.structure import violations

__all__ = ["read_checked"]

T = TypeVar("T")
Prepare = Callable[[dict[str, Any]], dict[str, Any]]


def read_checked(
    path: Path, kind: str, target: type[T], check: Callable[[T, Report], None], prepare: Prepare | None = None
) -> T:
    """Return a document as its dataclass, after its schema and `check` found nothing wrong.

    Args:
        path: a YAML or JSON file.
        kind: name of its schema, without version.
        target: a dataclass with the keys of the schema but for ``schema``.
        check: adds problems to a report; called only where the schema holds.
        prepare: writes short forms of the document out before it becomes the dataclass.

    Raises:
        InvalidDocument: with every problem; ``spec.version`` alone where the version is another one.
    """
    document = read_document(path)
    other = _other_version(document, kind)
    if other is not None:
        raise invalid_document([*document.problems, other])
    report = Report(document, document.bad_paths)
    for item in violations(document, kind):
        report.add(
            item.path, item.code, item.message, found=item.found, expected=item.expected, hint=item.hint,
            key=item.at_key,
        )  # fmt: skip
    if document.problems or report.problems:
        raise invalid_document([*document.problems, *report.problems])
    body = {key: part for key, part in document.value.items() if key != "schema"}
    value = from_json(target, body if prepare is None else prepare(body))
    check(value, report)
    if report.problems:
        raise invalid_document(report.problems)
    return value


def _other_version(document: Document, kind: str) -> Problem | None:
    """Return the problem of a document of another version of its kind: nothing else can then be said of it."""
    found: Any = document.value.get("schema")
    expected = load_schema(kind)["properties"]["schema"]["enum"][0]
    if not isinstance(found, str) or found == expected or not found.startswith(f"{kind}/"):
        return None
    return Problem(
        code="spec.version", message="the document is of a version that this evercast does not read", path="$.schema",
        file=document.file, line=document.line(("schema",)), found=shown(found), expected=expected,
        hint="install the evercast that wrote it, or a newer one",
    )  # fmt: skip
