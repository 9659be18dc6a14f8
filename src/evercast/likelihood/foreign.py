"""Likelihoods in the format of others that are taken for pyhf workspaces, told by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from evercast.errors import InvalidInput

__all__ = ["HS3_HINT", "is_hs3", "refuse_hs3"]

HS3_HINT: Final = (
    "evercast reads pyhf workspaces (HistFactory JSON with channels, observations and measurements): ask who published "
    "it for that form, or write its HistFactory channels as one"
)
_KEYS: Final = frozenset({"distributions", "likelihoods", "domains", "parameter_points"})


def is_hs3(value: object) -> bool:
    """Return whether a JSON value is an HS3 workspace (HEP Statistics Serialization Standard).

    Example:
        >>> is_hs3({"distributions": [], "metadata": {"hs3_version": "0.2"}})
        True
    """
    if not isinstance(value, Mapping) or {"channels", "measurements"} <= set(value):
        return False
    metadata = value.get("metadata")
    return bool(_KEYS & set(value)) or (isinstance(metadata, Mapping) and "hs3_version" in metadata)


def refuse_hs3(value: object, *, where: str) -> None:
    """Refuse an HS3 workspace where one of pyhf is expected.

    Raises:
        InvalidInput: ``workspace.hs3``.
    """
    if is_hs3(value):
        message = "this is an HS3 workspace, not a pyhf workspace"
        raise InvalidInput(message, code="workspace.hs3", where=where, hint=HS3_HINT)
