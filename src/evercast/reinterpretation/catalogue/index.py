"""Indexes: lists of preserved analyses with their digests, beside the index or at an address."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.reinterpretation.catalogue.model import Entry, Kind
from evercast.reinterpretation.catalogue.places import Found, find_places
from evercast.reinterpretation.checked import read_checked
from evercast.reinterpretation.wrapped.text import yaml_text
from evercast.spec.checks.files import unsafe_reason
from evercast.spec.report import Report, shown

__all__ = ["Index", "Listed", "entries_of_index", "index_text", "read_index"]

_SCHEMA: Final = "catalogue-index/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An analysis that an index lists; keys are those of the schema."""

    name: str
    kind: Kind
    digest: str
    title: str | None = None
    experiment: str | None = None
    signatures: tuple[str, ...] = ()
    path: str | None = None
    url: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A list of analyses."""

    entries: tuple[Listed, ...]
    title: str | None = None


def read_index(path: Path) -> Index:
    """Return the index in a document.

    Raises:
        InvalidDocument: with every problem of syntax, of the schema and of the cross-checks; `UnsafeDocument` where a
            path leaves the folder.
    """
    return read_checked(path, "catalogue-index", Index, _check)


def _check(index: Index, report: Report) -> None:
    seen: set[tuple[str, str]] = set()
    for number, listed in enumerate(index.entries):
        place = ("entries", number)
        if (listed.path is None) == (listed.url is None):
            found = "both" if listed.path else "neither"
            report.add(place, "catalogue.place", "an analysis is at either a `path` or a `url`", found=found)
        if listed.path is not None and (reason := unsafe_reason(listed.path)) is not None:
            message = f"the path is not allowed: {reason}"
            report.add((*place, "path"), "spec.unsafe-path", message, found=shown(listed.path))
        if listed.url is not None and listed.kind != "archive":
            message = "only an archive can be brought from an address"
            report.add((*place, "url"), "catalogue.place", message, found=listed.kind)
        if (listed.url or "").startswith("https:") and (listed.sha256 is None or listed.size_bytes is None):
            message = "a file at an address needs `sha256` and `size_bytes`"
            report.add((*place, "url"), "catalogue.place", message)
        if (listed.name, listed.digest) in seen:
            report.add(place, "catalogue.twice", f"{shown(listed.name)} stands twice with the same digest")
        seen.add((listed.name, listed.digest))


def entries_of_index(path: Path, look: Callable[[Found], Sequence[Entry]]) -> list[Entry]:
    """Return the entries that an index lists; those beside it are looked at, no address is.

    Args:
        path: of the index.
        look: returns the entries of a place.
    """
    try:
        index = read_index(path)
    except EvercastError as err:
        name = path.parent.name
        return [
            Entry(path=path, kind="archive", name=name, index=path, problem=str(err), exit_code=err.exit_code)
        ]  # fmt: skip
    return [replace(_entry(path, listed, look), index=path) for listed in index.entries]


def _entry(path: Path, listed: Listed, look: Callable[[Found], Sequence[Entry]]) -> Entry:
    said = Entry(
        path=path, kind=listed.kind, name=listed.name, title=listed.title or listed.name, digest=listed.digest,
        experiment=listed.experiment or "", signatures=listed.signatures, url=listed.url,
        inputs=("not here yet",), disclosure="known once it is here",
        commands=(("bring it here", f"evercast catalogue get {listed.name}@{listed.digest[:8]} FOLDER"),),
        replayed="not here yet",
    )  # fmt: skip
    if listed.path is None:
        return said
    place = path.parent / listed.path
    found = [entry for one in find_places(place) for entry in look(one)] if place.exists() else []
    right = next((entry for entry in found if entry.digest == listed.digest), None)
    if right is not None:
        return right
    err = _missing(place, listed, found)
    return replace(said, path=place, commands=(), problem=str(err), exit_code=err.exit_code)


def _missing(place: Path, listed: Listed, found: Sequence[Entry]) -> EvercastError:
    if not found:
        return InvalidInput(f"there is no {listed.kind} at the path", code="catalogue.missing", where=str(place))
    unread = next((entry for entry in found if entry.problem is not None), None)
    if unread is not None:
        return IntegrityError(str(unread.problem), code="catalogue.index-digest", where=str(place))
    digests = ", ".join(entry.digest or "none" for entry in found)
    message = f"the index names the digest {listed.digest}; found {digests}"
    return IntegrityError(message, code="catalogue.index-digest", where=str(place))


def index_text(entries: Sequence[Entry], *, folder: Path, title: str | None) -> str:
    """Return the index of some entries as YAML, paths relative to a folder.

    Args:
        entries: that can be read.
        folder: where the index will lie.
        title: what is listed.

    Raises:
        InvalidInput: ``catalogue.outside``: one of them does not lie below the folder.
    """
    body: dict[str, object] = {"schema": _SCHEMA, **({} if title is None else {"title": title})}
    body["entries"] = [_listed(entry, folder) for entry in entries]
    return yaml_text(body)


def _listed(entry: Entry, folder: Path) -> dict[str, object]:
    said = {
        "name": entry.name, "kind": entry.kind, "digest": entry.digest, "title": entry.title[:300],
        "experiment": entry.experiment, "signatures": list(entry.signatures),
    }  # fmt: skip
    if entry.url is not None:
        kept = _as_listed(entry)
        content = {} if kept is None else {"sha256": kept.sha256, "size_bytes": kept.size_bytes}
        return {key: value for key, value in {**said, "url": entry.url, **content}.items() if value}
    relative = os.path.relpath(entry.path.resolve(), folder.resolve())
    if unsafe_reason(relative) is not None:
        message = f"{entry.name} lies at {entry.path}, which is not below the folder of the index"
        raise InvalidInput(message, code="catalogue.outside", hint="put the index into a folder above all it lists")
    return {**{key: value for key, value in said.items() if value}, "path": relative}


def _as_listed(entry: Entry) -> Listed | None:
    """Return what the index of an entry says of it: digest and size of a file at an address stand nowhere else."""
    if entry.index is None:
        return None
    known = {(one.name, one.digest): one for one in read_index(entry.index).entries}
    return known.get((entry.name, entry.digest or ""))
