"""Documents and artifacts of older versions, brought to the version that this evercast writes.

A version that was released is never changed; a later one may be reached from it by steps, each from one version to the
next. Documents are written anew beside the old one. Bundles and archives are fixed for ever, and read through the same
steps: what describes them is brought to the present version in memory, their files stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import read_json
from evercast.errors import InvalidInput, UsageError
from evercast.schemas import KINDS, load_schema
from evercast.spec.reader import Document, parse_document, read_document
from evercast.spec.report import Report, invalid_document
from evercast.spec.schema import check_document
from evercast.spec.structure import violations

__all__ = ["STEPS", "Migrated", "Step", "migrate"]

_NAME: Final = re.compile(r"([a-z][a-z-]{0,40})/([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})")
_DESCRIPTIONS: Final = ("manifest.json", "data/archive.json")
"""The file of a bundle, or of a version of an archive, that says what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How a document of one version becomes one of the next.

    Args:
        kind: name of the schema.
        old, new: versions, such as ``1.0.0``.
        text: what changed, for people.
        change: takes the document as plain values, which it may change, and returns it; the version is set after it.
    """

    kind: str
    old: str
    new: str
    text: str
    change: Callable[[dict[str, Any]], dict[str, Any]]


STEPS: Final[tuple[Step, ...]] = ()
"""All that were ever released, the oldest first; 1.0.0 is the first version of every kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """A document in the present version.

    Args:
        file: the one that was read; of a bundle or an archive, the file that describes it.
        kind: name of its schema.
        old: its version.
        new: the present version.
        steps: that were taken; none where it is of the present version.
        body: the document as plain values, valid by the present schema.
        fixed: whether it belongs to a bundle or an archive, whose files stay as they are.
    """

    file: Path
    kind: str
    old: str
    new: str
    steps: tuple[Step, ...]
    body: Mapping[str, Any]
    fixed: bool


def migrate(path: Path, *, steps: tuple[Step, ...] = STEPS) -> Migrated:
    """Return a document, or what describes a bundle or an archive, in the present version; nothing is written.

    Args:
        path: a document, the folder of a bundle, or of a version of an archive.
        steps: that there are.

    Raises:
        InvalidInput: ``migrate.no-version``: it does not say what it is; ``migrate.newer``; ``migrate.no-way``.
        InvalidDocument: it cannot be read, or is not valid in the present version.
        UsageError: ``migrate.nothing``: the folder is neither bundle nor archive.
    """
    file = _file(path)
    body = _body(file)
    kind, old = _version(body, file)
    new = _present(kind, file)
    taken = _way(kind, old, new, steps, file)
    for step in taken:
        body = {**step.change(body), "schema": f"{kind}/{step.new}"}
    _check(kind, body, file)
    return Migrated(file=file, kind=kind, old=old, new=new, steps=taken, body=body, fixed=path.is_dir())


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for folder in (path, *sorted(path.glob("v[0-9]*"), key=lambda place: (len(place.name), place.name), reverse=True)):
        for name in _DESCRIPTIONS:
            if (folder / name).is_file():
                return folder / name
    raise UsageError(f"{path} is neither a bundle nor an archive", code="migrate.nothing")


def _body(file: Path) -> dict[str, Any]:
    if file.suffix == ".json":
        body = read_json(file)
        if isinstance(body, dict):
            return body
    return dict(read_document(file).value)


def _version(body: Mapping[str, Any], file: Path) -> tuple[str, str]:
    said = body.get("schema")
    match = _NAME.fullmatch(said) if isinstance(said, str) else None
    if match is None:
        raise InvalidInput(
            f"its schema is {said!r}; expected KIND/MAJOR.MINOR.PATCH", code="migrate.no-version", where=str(file)
        )
    return match[1], ".".join(match.groups()[1:])


def _present(kind: str, file: Path) -> str:
    """Return the version of a kind that this evercast writes."""
    if kind not in KINDS or "schema" not in load_schema(kind).get("properties", {}):
        known = ", ".join(name for name in KINDS if "schema" in load_schema(name).get("properties", {}))
        raise InvalidInput(
            f"there is no kind of document called {kind!r}; there are {known}", code="migrate.no-way", where=str(file)
        )
    declared = load_schema(kind)["properties"]["schema"]
    name: str = declared["enum"][0] if "enum" in declared else declared["const"]
    return name.partition("/")[2]


def _way(kind: str, old: str, new: str, steps: tuple[Step, ...], file: Path) -> tuple[Step, ...]:
    """Return the steps from one version to the present one, in order."""
    if _numbers(old) > _numbers(new):
        raise InvalidInput(
            f"it is of version {old}, which is newer than {new}, the one that this evercast writes",
            code="migrate.newer", where=str(file), hint="install a newer evercast",
        )  # fmt: skip
    way: list[Step] = []
    while (place := way[-1].new if way else old) != new:
        step = next((step for step in steps if (step.kind, step.old) == (kind, place)), None)
        if step is None or _numbers(step.new) <= _numbers(place):
            known = ", ".join(f"{one.old} to {one.new}" for one in steps if one.kind == kind) or "none"
            raise InvalidInput(
                f"no step leads from version {place} of {kind!r} to {new}; there are: {known}",
                code="migrate.no-way", where=str(file), hint="1.0.0 is the first version that was released",
            )  # fmt: skip
        way.append(step)
    return tuple(way)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _check(kind: str, body: Mapping[str, Any], file: Path) -> None:
    """Refuse what is not valid in the present version, with every problem."""
    text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    document: Document = parse_document(text.encode(), file=str(file))
    if kind == "analysis":
        check_document(document)
        return
    report = Report(document, document.bad_paths)
    for item in violations(document, kind):
        report.add(
            item.path, item.code, item.message, found=item.found, expected=item.expected, hint=item.hint,
            key=item.at_key,
        )  # fmt: skip
    if document.problems or report.problems:
        raise invalid_document([*document.problems, *report.problems])
