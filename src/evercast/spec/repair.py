"""A document with misspelt keys corrected and without the parts that break the data model, to check the rest too."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from evercast.schemas import load_schema
from evercast.spec.report import Path
from evercast.spec.tree import YamlNode

__all__ = ["pruned", "rename_key"]


def rename_key(root: YamlNode, path: Path, meant: str) -> None:
    """Give the entry at `path` the key `meant`; nothing where it has been renamed already, through an alias.

    Args:
        root: the tree; it is changed.
        path: place of the entry.
        meant: a key that its mapping does not have.
    """
    parent = root
    for step in path[:-1]:
        parent = parent.children[step]
    key = str(path[-1])
    if key in parent.value and meant not in parent.value:
        parent.value[meant] = parent.value.pop(key)
        parent.children[meant] = parent.children.pop(key)
        parent.key_lines[meant] = parent.key_lines.pop(key)


def pruned(body: Mapping[str, Any], kind: str, broken: Iterable[Path]) -> dict[str, Any] | None:
    """Return a copy of the document without what holds the broken places; None where nothing would be left.

    A place is taken out together with all above it up to an optional key or a named entry.

    Args:
        body: the document.
        kind: its schema.
        broken: paths of values that have no place in the data model.
    """
    targets = set()
    for path in broken:
        target = _removable(body, kind, path)
        if target is None:
            return None
        targets.add(target)
    rest: dict[str, Any] = copy.deepcopy(dict(body))
    for target in sorted(targets, key=len, reverse=True):
        container: Any = rest
        for step in target[:-1]:
            container = container[step]
        container.pop(target[-1], None)
    return rest


def _removable(body: Mapping[str, Any], kind: str, path: Path) -> Path | None:
    schemas = [load_schema(kind)]
    value: Any = body
    for step in path:
        below = _below(schemas[-1], kind, step)
        value = _entry(value, step)
        schemas.append(_branch(below, kind, value))
    for length in range(len(path), 0, -1):
        step, parent = path[length - 1], schemas[length - 1]
        if isinstance(step, str) and step not in parent.get("required", ()):
            return path[:length]
    return None


def _entry(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step]
    return value.get(step) if isinstance(value, dict) else None


def _below(schema: Mapping[str, Any], kind: str, step: str | int) -> dict[str, Any]:
    """Return the schema of an entry or item, references resolved; empty for an unknown key."""
    if isinstance(step, int):
        return _resolved(schema.get("items", {}), kind)
    if step in schema.get("properties", {}):
        return _resolved(schema["properties"][step], kind)
    return _resolved(next(iter(schema.get("patternProperties", {}).values()), {}), kind)


def _branch(schema: dict[str, Any], kind: str, value: object) -> dict[str, Any]:
    """Return the branch that applies where the schema is a choice by ``kind``, else the schema itself."""
    for choice in schema.get("allOf", ()):
        wanted = choice["if"]["properties"]["kind"]["const"]
        if isinstance(value, Mapping) and value.get("kind") == wanted:
            return _resolved(choice["then"], kind)
    return schema


def _resolved(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    file, name = reference.split("#/$defs/")
    target: dict[str, Any] = load_schema(file.removesuffix(".schema.json") or kind)["$defs"][name]
    return target
