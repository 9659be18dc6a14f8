"""Archives: folders of versions, each a bag whose record says what it is and which version came before.

The same versions may lie in a folder, in a tar file or in a registry; wherever they lie, they are checked alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from evercast.artifacts.archive_record import RECORD, ArchiveRecord, ImageEntry, InputEntry
from evercast.artifacts.bag import MANIFEST, Bag, CheckedBag, check_bag
from evercast.artifacts.bag_files import BagFiles, FolderFiles
from evercast.artifacts.files import parse_json, require_there
from evercast.artifacts.tar_files import TarFiles, TarMember, is_tar, read_tar
from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.codec import from_json

__all__ = [
    "FORMAT", "Archive", "StoredVersion", "Version", "check_version", "check_versions", "find_versions", "leads_out",
    "open_archive", "open_version", "placed_version",
]  # fmt: skip

FORMAT: Final = "archive/1.0.0"
_FOLDER: Final = re.compile(r"v[1-9][0-9]{0,5}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DOCUMENT: Final = "data/document/"
_RECORD_LIMIT: Final = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """A version of an archive wherever it lies.

    Args:
        name: of its folder, ``v1``; empty where it was found alone.
        bag: what its bag holds.
        record: what it says of itself.
        content: its files.
    """

    name: str
    bag: CheckedBag
    record: ArchiveRecord
    content: BagFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an archive in a folder: its bag, and what it says of itself."""

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
    stored = check_versions(_in_folder(path, may_be_empty=may_be_empty), where=str(path), digests=digests)
    return Archive(folder=path, versions=tuple(placed_version(path / version.name, version) for version in stored))


def open_version(path: Path, *, digests: bool = True) -> Version:
    """Return one version of an archive after it was verified.

    Raises:
        IntegrityError: ``bag.*`` or ``archive.record``.
        InvalidInput: ``archive.version`` or ``bag.version``.
    """
    return placed_version(path, check_version("", FolderFiles(path), digests=digests))


def placed_version(folder: Path, version: StoredVersion) -> Version:
    """Return a checked version that lies in a folder."""
    bag = version.bag
    placed = Bag(root=folder, id=bag.id, info=bag.info, files=bag.files, sizes=bag.sizes, verified=bag.verified)
    return Version(bag=placed, record=version.record)


def find_versions(path: Path) -> dict[str, BagFiles]:
    """Return name -> files of the versions in a folder or a tar file, unchecked; a single bag has the empty name.

    Raises:
        IntegrityError: ``archive.not-an-archive``, ``archive.extra-file``, ``tar.*`` or ``bag.*``.
        InvalidInput: ``verify.missing``: there is nothing.
    """
    return _in_tar(path) if is_tar(path) else _in_folder(path)


def check_versions(found: Mapping[str, BagFiles], *, where: str, digests: bool) -> tuple[StoredVersion, ...]:
    """Return the versions of an archive, the oldest first, after each was checked and that they follow each other.

    Args:
        found: name -> files.
        where: the archive, for messages.
        digests: read every file and compare its sha256.

    Raises:
        IntegrityError: ``bag.*``, ``archive.record`` or ``archive.chain``.
        InvalidInput: ``archive.version`` or ``bag.version``.
    """
    versions = tuple(check_version(name, files, digests=digests) for name, files in found.items())
    if [version.name for version in versions] != [""]:
        _check_chain(where, versions)
    return versions


def check_version(name: str, files: BagFiles, *, digests: bool) -> StoredVersion:
    """Return one version after it was checked.

    Raises:
        IntegrityError: ``bag.*`` or ``archive.record``.
        InvalidInput: ``archive.version`` or ``bag.version``.
    """
    bag = check_bag(files, digests=digests)
    return StoredVersion(name=name, bag=bag, record=_read_record(files, bag), content=files)


def _in_folder(path: Path, *, may_be_empty: bool = False) -> dict[str, BagFiles]:
    if (path / MANIFEST).is_file():
        return {"": FolderFiles(path)}
    require_there(path)
    if path.is_symlink() or not path.is_dir():
        what = "it is neither a folder nor a tar file"
        raise _wrong(str(path), "archive.not-an-archive", what, "a compressed one is unpacked first: gunzip, unzip")
    names = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    versions = _version_names(names, str(path), may_be_empty=may_be_empty)
    seen: dict[tuple[int, int], str] = {}
    return {name: FolderFiles(path / name, seen=seen) for name in versions}


def _in_tar(path: Path) -> dict[str, BagFiles]:
    members = read_tar(path)
    if MANIFEST in members:
        return {"": TarFiles(path, "", members)}
    inside: dict[str, dict[str, TarMember]] = {}
    for name, member in members.items():
        top, _, rest = name.partition("/")
        inside.setdefault(top, {})[rest] = member
    names = _version_names(list(inside), str(path), may_be_empty=False)
    return {name: TarFiles(path, name, inside[name]) for name in names}


def _version_names(names: Sequence[str], where: str, *, may_be_empty: bool) -> list[str]:
    """Return the names of versions in order; nothing else may stand beside them."""
    versions = sorted((name for name in names if _FOLDER.fullmatch(name)), key=lambda name: int(name[1:]))
    if extra := sorted(name for name in names if name not in versions):
        hint = "an archive holds folders v1, v2, ... and nothing else"
        raise _wrong(where, "archive.extra-file", f"{extra[0][:100]!r} is no version of an archive", hint)
    if not versions and not may_be_empty:
        raise _wrong(where, "archive.not-an-archive", "it holds no version of an archive")
    return versions


def _read_record(files: BagFiles, bag: CheckedBag) -> ArchiveRecord:
    """Return what a version says of itself.

    Raises:
        IntegrityError: ``archive.record``: it is missing, damaged, or contradicts the bag.
        InvalidInput: ``archive.version``.
    """
    if RECORD not in bag.files or bag.sizes[RECORD] > _RECORD_LIMIT:
        raise _wrong(files.where(), "archive.record", f"it has no {RECORD}, or a huge one")
    where = files.where(RECORD)
    body = parse_json(files.read(RECORD), where=where)
    said = body.get("schema") if isinstance(body, Mapping) else None
    if isinstance(said, str) and said != FORMAT and re.fullmatch(r"archive/[0-9.]{1,20}", said):
        raise InvalidInput(
            f"this archive is of format {said}; this evercast reads {FORMAT}",
            code="archive.version",
            where=where,
            hint="a newer evercast may read it; the files can be checked with sha256sum -c manifest-sha256.txt",
        )
    if said != FORMAT:
        raise _wrong(where, "archive.record", "it says no format")
    try:
        record = from_json(ArchiveRecord, body)
    except InvalidInput as err:
        raise IntegrityError(err.message, code="archive.record", where=where) from err
    named = [*(entry.file for entry in record.inputs), *(entry.file for entry in record.images)]
    named += [record.document, record.code.file, *(f"data/units/{unit.stage}/{unit.id}" for unit in record.units)]
    folders = {name[:place] for name in bag.files for place, letter in enumerate(name) if letter == "/"}
    if missing := [name for name in named if name is not None and name not in bag.files and name not in folders]:
        raise _wrong(where, "archive.record", f"it names {missing[0][:200]!r}, which is not in the bag")
    if strange := next(_strange(record, bag), None):
        raise _wrong(where, "archive.record", f"it names {strange}", "no evercast writes this; do not use it")
    return record


def _strange(record: ArchiveRecord, bag: CheckedBag) -> Iterator[str]:
    """Yield what a record names that could lead out of a folder, or to a file other than the one it says."""
    if not record.document.startswith(_DOCUMENT):
        yield f"the document {record.document[:200]!r}"
    held: list[InputEntry | ImageEntry] = [*record.inputs, *record.images]
    for entry in held:
        by_digest = isinstance(entry, ImageEntry) or entry.url is not None
        if _DIGEST.fullmatch(entry.sha256) is None:
            yield f"{entry.name[:100]!r} with sha256 {entry.sha256[:80]!r}"
        elif by_digest and entry.file is not None and bag.files.get(entry.file) != entry.sha256:
            yield f"{entry.name[:100]!r} as {entry.file[:200]!r}, which has another content"
    for unit in record.units:
        if "/" in unit.id or "/" in unit.stage or leads_out(unit.id) or leads_out(unit.stage):
            yield f"the unit {unit.id[:100]!r} of {unit.stage[:100]!r}"


def leads_out(name: str) -> bool:
    """Return whether a path of an archive leaves its folder."""
    path = PurePosixPath(name)
    return not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name


def _check_chain(where: str, versions: Sequence[StoredVersion]) -> None:
    """Refuse versions that do not follow each other: a folder with another's name, one exchanged or left out."""
    before: StoredVersion | None = None
    for version in versions:
        record, expected = version.record, 1 if before is None else before.record.version + 1
        if version.name != f"v{record.version}" or record.version != expected:
            what = f"{version.name} says that it is version {record.version}; expected {expected}"
            raise _wrong(where, "archive.chain", what)
        previous = None if before is None else before.bag.id
        if record.previous != previous:
            what = f"{version.name} follows a version with id {record.previous}; found {previous} before it"
            raise _wrong(where, "archive.chain", what, "an earlier version was changed or exchanged")
        before = version


def _wrong(where: str, code: str, message: str, hint: str | None = None) -> IntegrityError:
    return IntegrityError(message, code=code, where=where, hint=hint)
