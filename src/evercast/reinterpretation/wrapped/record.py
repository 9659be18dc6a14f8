"""What a record holds: its JSON documents sorted into backgrounds, each with the patches of its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from evercast.artifacts.files import sha256_file
from evercast.errors import InvalidInput
from evercast.likelihood.foreign import HS3_HINT
from evercast.reinterpretation.wrapped.json_text import MAX_JSON_BYTES, kind_of_document, parse_json
from evercast.reinterpretation.wrapped.model import DataFile
from evercast.reinterpretation.wrapped.tar_members import is_tar, read_members

__all__ = ["Document", "Record", "RegionDocuments", "read_record"]

_MAX_FILES: Final = 10_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON document of a record: in which file, under which path there, and its value."""

    file: str
    member: str | None
    shown: str
    value: object


@dataclass(slots=True, kw_only=True)
class RegionDocuments:
    """The documents of one folder: a background, loose patches by the names of their points, and a patchset."""

    background: Document
    patches: dict[str, Document] = field(default_factory=dict)
    patchset: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record that was read.

    Args:
        files: key of the document -> file, with its digest.
        paths: the same keys -> where the file lies.
        regions: name -> documents of one set of regions.
    """

    files: Mapping[str, DataFile]
    paths: Mapping[str, Path]
    regions: Mapping[str, RegionDocuments]


def read_record(path: Path, *, others: Sequence[Path] = ()) -> Record:
    """Return what a record holds.

    Args:
        path: a tar archive, a folder with JSON files, or a workspace file.
        others: further files that belong to it: a patchset, loose patches, a folder of them.

    Raises:
        InvalidInput: ``wrap.missing``, ``wrap.no-background``, ``wrap.hs3``, ``wrap.two-backgrounds``, ``wrap.name``.
        IntegrityError: a tar archive is not safe.
    """
    files: dict[str, DataFile] = {}
    paths: dict[str, Path] = {}
    documents: dict[str, list[Document]] = {}
    for place, folder in _inputs(path, others):
        key = _key(place, files)
        files[key] = DataFile(filename=place.name, sha256=sha256_file(place), size_bytes=place.stat().st_size)
        paths[key] = place
        for document in _documents(place, key):
            where = str(PurePosixPath(document.member).parent) if document.member else folder
            documents.setdefault(where, []).append(document)
    regions = {
        _slug(folder): found for folder, entries in sorted(documents.items()) if (found := _region(folder, entries))
    }
    if not regions:
        raise _no_background(path, documents)
    used = {entry.file for region in regions.values() for entry in _used(region)}
    return Record(
        files={key: file for key, file in files.items() if key in used}, paths=paths, regions=regions
    )  # fmt: skip


def _inputs(path: Path, others: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file with the name of its folder within the record."""
    for start in (path, *others):
        if start.is_dir():
            found = sorted(entry for entry in start.rglob("*.json") if entry.is_file() and not entry.is_symlink())
            if len(found) > _MAX_FILES:
                message = f"the folder holds {len(found)} JSON files; at most {_MAX_FILES} are read"
                raise InvalidInput(message, code="wrap.too-large", where=str(start))
            for entry in found:
                yield entry, "." if start in others else entry.parent.relative_to(start).as_posix()
        elif start.is_file():
            yield start, "."
        else:
            raise InvalidInput(f"{start} does not exist", code="wrap.missing")


def _key(path: Path, files: Mapping[str, DataFile]) -> str:
    """Return the name of a file in the document: its own, with the folder's where two have one name."""
    for name in (path.name, f"{path.parent.name}-{path.name}"):
        if _NAME.fullmatch(name) and name not in files:
            return name
    message = f"{path.name!a} is no name for a file of a record, or stands twice"
    raise InvalidInput(message, code="wrap.name", where=str(path), hint="letters, digits, '.', '_', '+' and '-'")


def _documents(path: Path, key: str) -> Iterator[Document]:
    if is_tar(path.name):
        for member, content in sorted(read_members(path).items()):
            if member.endswith(".json"):
                shown = f"{path.name}/{member}"
                yield Document(file=key, member=member, shown=shown, value=parse_json(content, where=shown))
        return
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InvalidInput(f"more than {MAX_JSON_BYTES} bytes", code="wrap.too-large", where=str(path))
    yield Document(file=key, member=None, shown=str(path), value=parse_json(path.read_bytes(), where=str(path)))


def _region(folder: str, entries: Sequence[Document]) -> RegionDocuments | None:
    """Return the documents of a folder; None where it has no background."""
    kinds = {id(entry): kind_of_document(entry.value) for entry in entries}
    for entry in entries:
        if kinds[id(entry)] == "an HS3 workspace":
            message = "this is an HS3 workspace, not a pyhf workspace"
            raise InvalidInput(message, code="wrap.hs3", where=entry.shown, hint=HS3_HINT)
    backgrounds = [entry for entry in entries if kinds[id(entry)] == "workspace"]
    if not backgrounds:
        return None
    if len(backgrounds) > 1:
        message = f"the folder {folder} holds {len(backgrounds)} workspaces; a set of regions has one background"
        raise InvalidInput(message, code="wrap.two-backgrounds", where=backgrounds[1].shown)
    sets = [entry for entry in entries if kinds[id(entry)] == "patchset"]
    if len(sets) > 1:
        message = f"the folder {folder} holds {len(sets)} patchsets"
        raise InvalidInput(message, code="wrap.two-patchsets", where=sets[1].shown)
    region = RegionDocuments(background=backgrounds[0], patchset=sets[0] if sets else None)
    for entry in entries:
        if kinds[id(entry)] == "patch":
            region.patches[_point(entry)] = entry
    return region


def _point(entry: Document) -> str:
    """Return the name of the point of a loose patch: NAME of ``patch.NAME.json``."""
    name = PurePosixPath(entry.member or entry.shown).name.removesuffix(".json").removeprefix("patch.")
    if not _NAME.fullmatch(name):
        message = f"{name!a} is no name for a signal point"
        raise InvalidInput(message, code="wrap.name", where=entry.shown, hint="letters, digits, '.', '_', '+' and '-'")
    return name


def _slug(folder: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", PurePosixPath(folder).name.lower()).strip("-")
    return name if re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name) else "main"


def _used(region: RegionDocuments) -> Iterator[Document]:
    yield region.background
    yield from region.patches.values()
    if region.patchset is not None:
        yield region.patchset


def _no_background(path: Path, documents: Mapping[str, Sequence[Document]]) -> InvalidInput:
    kinds = [f"{entry.shown} is {kind_of_document(entry.value)}" for found in documents.values() for entry in found]
    message = "there is no pyhf workspace in the record" + (f": {'; '.join(kinds[:3])}" if kinds else "")
    hint = "a workspace has channels, observations and measurements; a patchset or patches alone are not enough"
    return InvalidInput(message, code="wrap.no-background", where=str(path), hint=hint)
