"""Keys: the sha256 of everything that a unit of work depends on, so that equal keys mean equal results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from evercast import __version__
from evercast.plan.model import FILE_PREFIX, IMAGE_PREFIX
from evercast.plan.recipes import StageName
from evercast.spec.codec import to_json

__all__ = ["FORMATS", "canonical_digest", "input_key", "key_form", "unit_id", "unit_key"]

FORMATS: Final[Mapping[StageName, int]] = {
    "fetch": 1, "generation": 1, "command": 1, "selection": 3, "training": 2, "evaluation": 3, "serialization": 3,
    "fit": 3, "toys": 1, "study": 1, "training_statistics": 1, "diagnostics": 1, "report": 2,
}  # fmt: skip
"""Format version of the output of each stage. Raise it when a stage writes something else for the same recipe."""

_ID_DIGITS: Final = 12
_VERSION: Final = ".".join(__version__.split(".")[:2])


def canonical_digest(value: object) -> str:
    """Return the sha256 of the one JSON text of `value`: no spaces, UTF-8, keys in their order.

    The order of keys counts, because the order of a document does: cuts are applied in it.

    Raises:
        ValueError: a number is NaN or infinite.

    Example:
        >>> canonical_digest({"b": 1, "a": 2}) == canonical_digest({"a": 2, "b": 1})
        False
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def input_key(reference: str, *, keys: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Return what an input contributes to the key of the unit that reads it.

    Args:
        reference: as in `Unit.inputs`.
        keys: unit id -> key.
        files: file beside the document -> sha256. Its path does not count, its content does.
    """
    if reference.startswith(IMAGE_PREFIX):
        return reference.rpartition("@")[2]
    if reference.startswith(FILE_PREFIX):
        return f"sha256:{files[reference.removeprefix(FILE_PREFIX)]}"
    unit, colon, path = reference.partition(":")
    return keys[unit] + colon + path


def key_form(value: object) -> Any:
    """Return the JSON form of a recipe as it enters a key: `to_json` without what the model excepts.

    A field of the model with metadata ``key: never`` changes no result. One with ``key: unless default`` came later
    than the others: its default is what was done before, so documents that do not declare it keep their keys.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: key_form(part) for item, part in _counted(value)}
    if isinstance(value, Mapping):
        return {str(key): key_form(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [key_form(part) for part in value]
    return to_json(value)


def _counted(value: Any) -> Iterator[tuple[dataclasses.Field[Any], object]]:
    for item in dataclasses.fields(value):
        part, rule = getattr(value, item.name), item.metadata.get("key")
        if rule != "never" and not (rule == "unless default" and part == item.default):
            yield item, part


def unit_key(*, stage: StageName, recipe: object, inputs: Mapping[str, str]) -> str:
    """Return the key of a unit.

    Args:
        stage: its name and format version count, and the version of evercast (major.minor).
        recipe: JSON form of the recipe.
        inputs: name -> `input_key`.
    """
    return canonical_digest(
        {"evercast": _VERSION, "stage": stage, "format": FORMATS[stage], "recipe": recipe, "inputs": dict(inputs)}
    )


def unit_id(name: str, key: str) -> str:
    """Return the folder name of a unit: its name and the first digits of its key."""
    return f"{name}-{key[:_ID_DIGITS]}"
