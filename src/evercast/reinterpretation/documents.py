"""Where two documents differ: leaf by leaf, with the path and the line in the document as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evercast.reinterpretation.numbers import Leaf, leaves
from evercast.spec.reader import Document, read_document

__all__ = ["LeafChange", "changed_leaves", "document_changes"]

_Step = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafChange:
    """A value of a document, or of the recipe of a unit, that is not the archived one.

    Args:
        path: JSON path, e.g. ``$.selection.regions.SR.cut``.
        old, new: the values; None where there was none, or null.
        line: of the new document, one-based; None where it is not known.
    """

    path: str
    old: Leaf
    new: Leaf
    line: int | None = None

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path} (line {self.line})"
        return f"{place}: {_shown(self.old)} -> {_shown(self.new)}"


def changed_leaves(old: object, new: object) -> tuple[LeafChange, ...]:
    """Return every leaf that differs, in the order of the archived value, then those that are new.

    Example:
        >>> [str(change) for change in changed_leaves({"a": {"b": 1}}, {"a": {"b": 2}})]
        ['$.a.b: 1 -> 2']
    """
    before, after = dict(leaves(old)), dict(leaves(new))
    return tuple(
        LeafChange(path=path, old=before.get(path), new=after.get(path))
        for path in {**before, **after}
        if path not in before or path not in after or before[path] != after[path]
    )


def document_changes(old: object, new: object, *, document: Path) -> tuple[LeafChange, ...]:
    """Return the leaves of two canonical documents that differ, with the lines of the new one.

    Args:
        old: canonical form of the archived document.
        new: of the new one.
        document: the new one as it was written.

    Raises:
        InvalidDocument: the new one cannot be read.
    """
    changes = changed_leaves(old, new)
    if not changes:
        return ()
    source = read_document(document)
    return tuple(
        LeafChange(path=change.path, old=change.old, new=change.new, line=_line(source, change.path, new))
        for change in changes
    )


def _line(source: Document, path: str, body: object) -> int | None:
    """Return the line of a leaf, or of what stands nearest above it."""
    return source.line(_steps(path, body), key=True)


def _steps(path: str, body: object) -> tuple[_Step, ...]:
    """Return a JSON path as steps; names of a document may hold dots, so that they are looked up in it."""
    steps: list[_Step] = []
    rest, place = path.removeprefix("$"), body
    while rest:
        if rest.startswith("["):
            number, _, rest = rest[1:].partition("]")
            steps.append(int(number))
            place = place[int(number)] if isinstance(place, list) and int(number) < len(place) else None
            continue
        rest = rest[1:]
        known = [str(key) for key in place] if isinstance(place, dict) else []
        fitting = [key for key in known if rest == key or rest.startswith((f"{key}.", f"{key}["))]
        key = max(fitting, key=len) if fitting else rest.split(".", 1)[0]
        steps.append(key)
        place = place.get(key) if isinstance(place, dict) else None
        rest = rest[len(key) :]
    return tuple(steps)


def _shown(value: Leaf) -> str:
    return "nothing" if value is None else f"{value!r:.80}"
