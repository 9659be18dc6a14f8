"""JSON Schemas of the documents, in the package and offline: no reference is ever fetched."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from evercast.errors import UsageError

if TYPE_CHECKING:
    from referencing import Registry

__all__ = ["KINDS", "VERSION", "load_schema", "registry", "schema_text"]

VERSION: Final = "1.0.0"
KINDS: Final = (
    "analysis",
    "common",
    "neural-likelihood",
    "parametrisation",
    "combination",
    "diagnostics",
    "site",
    "images",
    "accounting",
    "archive",
    "lock",
    "replay",
    "likelihood",
    "architecture",
    "validity",
    "bundle-results",
    "reference-vectors",
    "wrapped-analysis",
    "catalogue-index",
    "request",
    "response",
)


def schema_text(kind: str) -> str:
    """Return the text of the schema `kind`.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"no schema named '{kind}'; there are: {', '.join(KINDS)}", code="schema.unknown")
    folder = resources.files(__name__) / VERSION
    return (folder / f"{kind}.schema.json").read_text(encoding="utf-8")


@functools.cache
def load_schema(kind: str) -> dict[str, Any]:
    """Return the schema `kind` as a JSON value; it must not be changed.

    Raises:
        UsageError: there is no such kind.
    """
    schema: dict[str, Any] = json.loads(schema_text(kind))
    return schema


@functools.cache
def registry() -> Registry[Any]:
    """Return the registry of all schemas; any reference beyond them is an error, nothing is fetched."""
    from referencing import Registry, Resource  # noqa: PLC0415 - heavy, and used by validation only

    files = [(f"{kind}.schema.json", Resource.from_contents(load_schema(kind))) for kind in KINDS]
    return Registry().with_resources(files)
