"""Archives: folders of versions, each a bag whose record says what it is and which version came before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.archive_record import RECORD, ArchiveRecord
from evercast.artifacts.bag import MANIFEST, Bag, open_bag
from evercast.artifacts.files import read_json
from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.codec import from_json

__all__ = ["FORMAT", "Archive", "Version", "open_archive", "open_version"]

FORMAT: Final = "archive/1.0.0"
_FOLDER: Final = re.compile(r"v[1-9][0-9]{0,5}")
_RECORD_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an archive: its bag, and what it says of itself."""

    bag: Bag
    record: ArchiveRecord

    @property
    def folder(self) -> Path:
        """The folder of the bag."""
        return self.bag.root


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive with its versions, the oldest first; a single version where no other stands beside it."""

    folder: Path
    versions: tuple[Version, ...]

    @property
    def last(self) -> Version | None:
        """The newest version; None where there is none."""
        return self.versions[-1] if self.versions else None

    def by_digest(self) -> dict[str, Path]:
        """Return sha256 -> a file with this content, for everything in all versions."""
        found: dict[str, Path] = {}
        for version in self.versions:
            for name, digest in version.bag.files.items():
                found.setdefault(digest, version.folder / name)
        return found


def open_archive(path: Path, *, digests: bool = True, may_be_empty: bool = False) -> Archive:
    """Return the archive in a folder after every version was verified; a single version's folder counts as one.

    Args:
        path: the folder.
        digests: read every file and compare its sha256.
        may_be_empty: whether an archive without a version is one.

    Raises:
        IntegrityError: ``bag.*``, or ``archive.*``: a version that is missing, or not the one after the one before.
        InvalidInput: ``archive.version`` or ``bag.version``: of a format that this evercast does not know.
    """
    if (path / MANIFEST).is_file():
        return Archive(folder=path, versions=(open_version(path, digests=digests),))
    if path.is_symlink() or not path.is_dir():
        raise IntegrityError("it is no folder", code="archive.not-an-archive", where=str(path))
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    folders = sorted((name for name in names if _FOLDER.fullmatch(name)), key=lambda name: int(name[1:]))
    if extra := [name for name in names if name not in folders]:
        raise IntegrityError(
            f"{extra[0][:100]!r} is no version of an archive", code="archive.extra-file", where=str(path),
            hint="an archive holds folders v1, v2, ... and nothing else",
        )  # fmt: skip
    if not folders and not may_be_empty:
        raise IntegrityError("it holds no version", code="archive.not-an-archive", where=str(path))
    versions = tuple(open_version(path / name, digests=digests) for name in folders)
    _check_chain(path, versions)
    return Archive(folder=path, versions=versions)


def open_version(path: Path, *, digests: bool = True) -> Version:
    """Return one version of an archive after it was verified.

    Raises:
        IntegrityError: ``bag.*`` or ``archive.record``.
        InvalidInput: ``archive.version`` or ``bag.version``.
    """
    bag = open_bag(path, digests=digests)
    return Version(bag=bag, record=read_record(bag))


def read_record(bag: Bag) -> ArchiveRecord:
    """Return what a version says of itself.

    Raises:
        IntegrityError: ``archive.record``: it is missing, damaged, or contradicts the bag.
        InvalidInput: ``archive.version``.
    """
    place = bag.root / RECORD
    if RECORD not in bag.files or bag.sizes[RECORD] > _RECORD_LIMIT:
        raise IntegrityError(f"it has no {RECORD}, or a huge one", code="archive.record", where=str(bag.root))
    body = read_json(place)
    said = body.get("schema") if isinstance(body, Mapping) else None
    if isinstance(said, str) and said != FORMAT and re.fullmatch(r"archive/[0-9.]{1,20}", said):
        raise InvalidInput(
            f"this archive is of format {said}; this evercast reads {FORMAT}",
            code="archive.version",
            where=str(place),
            hint="a newer evercast may read it; an older one may be migrated: evercast migrate",
        )
    try:
        record = from_json(ArchiveRecord, body)
    except InvalidInput as err:
        raise IntegrityError(err.message, code="archive.record", where=str(place)) from err
    named = [*(entry.file for entry in record.inputs), *(entry.file for entry in record.images)]
    named += [record.document, record.code.file]
    missing = [name for name in named if name is not None and not _holds(bag, name)]
    if record.schema != FORMAT or missing:
        what = f"it names {missing[0]!r}, which is not in the bag" if missing else "it has no format"
        raise IntegrityError(what, code="archive.record", where=str(place))
    return record


def _holds(bag: Bag, name: str) -> bool:
    return name in bag.files or any(file.startswith(f"{name}/") for file in bag.files)


def _check_chain(path: Path, versions: tuple[Version, ...]) -> None:
    """Refuse versions that do not follow each other: a folder with another's name, one exchanged or left out."""
    before: Version | None = None
    for version in versions:
        record, expected = version.record, 1 if before is None else before.record.version + 1
        if version.folder.name != f"v{record.version}" or record.version != expected:
            raise IntegrityError(
                f"{version.folder.name} says that it is version {record.version}; expected {expected}",
                code="archive.chain",
                where=str(path),
            )
        if record.previous != (None if before is None else before.bag.id):
            raise IntegrityError(
                f"{version.folder.name} follows a version with id {record.previous}; found "
                f"{None if before is None else before.bag.id} before it",
                code="archive.chain",
                where=str(path),
                hint="an earlier version was changed or exchanged",
            )
        before = version
