"""What a cross-check sees, and the small checks that many share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from evercast.spec.model import Analysis
from evercast.spec.report import Path, Report, did_you_mean, shown, shown_name

__all__ = ["Context", "check_distinct", "check_increasing", "check_reference"]

_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a check may look at.

    Args:
        analysis: the document, without entries that break the data model.
        body: the whole document; what is declared is read here, so that a broken entry still counts as declared.
        folder: where relative paths start; None leaves files unchecked.
        broken: places that have a problem already.
    """

    analysis: Analysis
    body: Mapping[str, Any]
    folder: FilePath | None = None
    broken: frozenset[Path] = frozenset()

    def declared(self, *section: str) -> tuple[str, ...]:
        """Return the names of the entries of a section, e.g. ``declared("selection", "regions")``."""
        part: Any = self.body
        for step in section:
            part = part.get(step) if isinstance(part, dict) else None
        return tuple(part) if isinstance(part, dict) else ()

    def is_intact(self, *path: str | int) -> bool:
        """Return whether nothing at or below a place has a problem yet."""
        return not any(broken[: len(path)] == path for broken in self.broken)

    def is_whole(self, section: str) -> bool:
        """Return whether nothing in a section has a problem yet, so that its entries can be counted."""
        return not any(path[:1] in {(section,), ()} for path in self.broken)


def check_reference(
    report: Report, path: Path, name: str, kind: str, allowed: Sequence[str], *, owner: str = ""
) -> bool:
    """Return whether a name is declared; add a problem where it is not.

    Args:
        report: takes the problem.
        path: place of the name.
        name: the name.
        kind: what it must name, e.g. ``sample``.
        allowed: the names that are declared.
        owner: what they belong to, e.g. ``the stage 'scan'``.
    """
    if name in allowed:
        return True
    known = [
        option if option.isascii() and option.isidentifier() else shown_name(option)
        for option in sorted(allowed)[:_LISTED]
    ]
    listed = ", ".join(known) + (", ..." if len(allowed) > _LISTED else "")
    report.add(
        path,
        "spec.unknown-reference",
        f"unknown {kind} {shown_name(name)}" + (f" of {owner}" if owner else ""),
        expected=f"one of {listed}" if listed else f"there is no {kind} in the document",
        hint=did_you_mean(name, allowed),
    )
    return False


def check_distinct(report: Report, path: Path, values: Iterable[object], kind: str) -> None:
    """Add a problem for each value of a list that stands there twice."""
    seen: dict[object, int] = {}
    for place, value in enumerate(values):
        if value in seen:
            message = f"{shown(value)} stands twice in the list of {kind}, at places {seen[value]} and {place}"
            report.add((*path, place), "spec.repeated", message, hint="keep one of them")
        seen.setdefault(value, place)


def check_increasing(report: Report, path: Path, values: Sequence[float], what: str) -> None:
    """Add a problem at the first value that is not larger than the one before."""
    for place in range(1, len(values)):
        if values[place] <= values[place - 1]:
            message = f"{what} must increase strictly; {values[place]:g} follows {values[place - 1]:g}"
            report.add((*path, place), "spec.not-increasing", message)
            return
