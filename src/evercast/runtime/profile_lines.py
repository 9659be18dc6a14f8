"""Lines of a commented YAML file: settings, each with the reason above it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from textwrap import fill
from typing import Final

__all__ = ["comment", "commented_out", "plain", "setting"]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
"""What a reader of YAML 1.1 takes for something else than text."""


def setting(name: str, value: object, why: str) -> str:
    """Return a commented setting with an empty line after it."""
    if isinstance(value, Mapping):
        body = "".join(f"\n  {key}: {plain(item)}" for key, item in value.items())
        return f"{comment(why)}\n{name}:{body}\n"
    return f"{comment(why)}\n{name}: {plain(value)}\n"


def plain(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    if (
        isinstance(value, str)
        and _PLAIN.fullmatch(value)
        and value.lower() not in {"yes", "no", "on", "off", "true", "false", "null"}
    ):
        return value
    return json.dumps(value)


def comment(text: str) -> str:
    """Return text as comment lines of at most 118 characters."""
    return fill(text, width=118, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def commented_out(text: str) -> str:
    """Return the text of a setting with its value commented out too."""
    return "\n".join(line if line.startswith("#") or not line else f"# {line}" for line in text.split("\n"))
