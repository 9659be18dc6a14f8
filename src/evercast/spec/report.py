"""How problems of a document are worded: JSON paths, values as they are shown, suggestions; and their collection."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Protocol

from evercast.errors import InvalidDocument, Problem, UnsafeDocument

__all__ = [
    "Path",
    "Places",
    "Report",
    "did_you_mean",
    "invalid_document",
    "json_path",
    "nearest",
    "shown",
    "shown_name",
]

Path = tuple[str | int, ...]

_UNSAFE = frozenset({"spec.unsafe-path", "spec.limit"})
_SHOWN_LENGTH = 60
_PATH_LENGTH = 200


class Places(Protocol):
    """Knows where a value of the document stands."""

    @property
    def file(self) -> str | None:
        """Name of the file, as the user gave it."""

    def line(self, path: Path, *, key: bool = False) -> int | None:
        """Return the one-based line of a value, or of its key."""


def json_path(path: Path) -> str:
    """Return a path as text.

    Example:
        >>> json_path(("samples", "zz", "files", 0, "path"))
        '$.samples.zz.files[0].path'
        >>> json_path(("preselection", "two Z"))
        "$.preselection['two Z']"
    """
    text = "$"
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{,63}", step):
            text += f".{step}"
        else:
            text += f"[{_quoted(step)}]"
    return text if len(text) <= _PATH_LENGTH else text[:_PATH_LENGTH] + "..."


def _quoted(text: str) -> str:
    shown_text = ascii(text) if len(text) <= _SHOWN_LENGTH else ascii(text[:_SHOWN_LENGTH]) + "..."
    return shown_text if shown_text[0] == "'" else "'" + shown_text.strip('"').replace("'", "\\'") + "'"


def shown(value: object) -> str:
    """Return a value as a problem names it: its kind and, shortened and escaped, its content."""
    if value is None:
        return "nothing (an empty value)"
    if isinstance(value, dict):
        return f"a mapping of {len(value)} entries"
    if isinstance(value, list | tuple):
        text = json.dumps(value, ensure_ascii=True)
        return text if len(text) <= _SHOWN_LENGTH else f"a list of {len(value)} items"
    if isinstance(value, str):
        return f"the text {_quoted(value)}"
    return json.dumps(value)


def shown_name(name: str) -> str:
    """Return a name in quotes; characters outside ASCII are named, since they may look like others.

    Example:
        >>> shown_name("m" + chr(0x435)).split("(")[1]
        'with U+0435 CYRILLIC SMALL LETTER IE)'
    """
    foreign = sorted({char for char in name if not (char.isascii() and char.isprintable())})[:3]
    if not foreign:
        return _quoted(name)
    listed = ", ".join(f"U+{ord(char):04X} {unicodedata.name(char, '')}".strip() for char in foreign)
    return f"{_quoted(name)} (with {listed})"


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most like `name`; None where none is near."""
    by_lower = {option.lower(): option for option in allowed}
    near = difflib.get_close_matches(name.lower()[:200], by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str | None:
    """Return ``did you mean 'x'?`` where an allowed name is near, else None."""
    near = nearest(name, allowed)
    return f"did you mean '{near}'?" if near else None


def invalid_document(problems: Iterable[Problem]) -> InvalidDocument:
    """Return the error with all problems in the order of their lines; exit code 5 where one is unsafe content."""
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    kind = UnsafeDocument if any(problem.code in _UNSAFE for problem in ordered) else InvalidDocument
    return kind(ordered)


class Report:
    """Collects the problems of one document.

    Args:
        places: gives file and line of a path.
        silenced: paths that have a problem already; nothing more is said of them or of what is below.
    """

    def __init__(self, places: Places, silenced: Iterable[Path] = ()) -> None:
        self._places = places
        self._silenced = set(silenced)
        self.problems: list[Problem] = []

    def add(
        self,
        path: Path,
        code: str,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        key: bool = False,
    ) -> None:
        """Add a problem at `path`; with `key` its line is that of the key, not of the value."""
        if any(path[:length] in self._silenced for length in range(len(path) + 1)):
            return
        self.problems.append(
            Problem(
                code=code,
                message=message,
                path=json_path(path),
                file=self._places.file,
                line=self._places.line(path, key=key),
                found=found,
                expected=expected,
                hint=hint,
            )
        )
