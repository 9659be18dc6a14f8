"""Keys: the sha256 of everything that a unit of work depends on, so that equal keys mean equal results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from evercast import __version__
from evercast.plan.model import FILE_PREFIX
from evercast.plan.recipes import StageName

__all__ = ["FORMATS", "canonical_digest", "input_key", "unit_id", "unit_key"]

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
    if reference.startswith(FILE_PREFIX):
        return f"sha256:{files[reference.removeprefix(FILE_PREFIX)]}"
    unit, colon, path = reference.partition(":")
    return keys[unit] + colon + path


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
