"""``evercast archive pack``: a finished run becomes the next version of an archive, whole or not at all.

An archive is a folder of versions ``v1``, ``v2``, ... Each is a bag that stands alone. A file that an earlier version
has already is not written again: it is another name of the same content (a hard link), where the file system can.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evercast.artifacts.archive import Archive, Version, open_archive
from evercast.artifacts.archive_record import RECORD, ArchiveRecord
from evercast.artifacts.archive_transfer import writing_alone
from evercast.artifacts.archive_verify import sign_version
from evercast.artifacts.bag import write_bag
from evercast.artifacts.bag_store import PlacedFile, place_file
from evercast.artifacts.files import canonical_json, disk_errors, flush_to_disk, make_folder, read_json
from evercast.errors import InvalidInput, RunFailed
from evercast.publication.archive_contents import Contents, Item, gather_contents
from evercast.publication.bundle_context import PublicationContext
from evercast.publication.run_crate import run_crate_files
from evercast.runtime.export import require_all
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.plans import FrozenPlan, read_plan
from evercast.runtime.settings import read_settings
from evercast.runtime.source_code import packed_source
from evercast.spec import load_analysis
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis

__all__ = ["PackRequest", "PackedVersion", "find_run", "pack_archive", "write_archive"]

DEFAULT_LIMIT: Final = 500_000_000
"""Largest input file that is put in unless told otherwise, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """What to pack.

    Args:
        frozen: the plan that was run.
        archive: folder of the archive; made where there is none.
        limit: largest input file that is put in, bytes; None puts in all.
        images: whether the image files are put in.
        bundles: folder with published bundles, put in as ``data/bundles``; None puts in none.
        more: further files, path below ``data/`` -> content.
    """

    frozen: FrozenPlan
    archive: Path
    limit: int | None = DEFAULT_LIMIT
    images: bool = False
    bundles: Path | None = None
    more: Mapping[str, bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedVersion:
    """A version of an archive.

    Args:
        version: as it stands in the archive now.
        written: False where the last version has this content already.
        stored_bytes: bytes that were written; the rest were there.
    """

    version: Version
    written: bool
    stored_bytes: int


def find_run(place: Path, *, results: Path | None = None) -> FrozenPlan:
    """Return the plan that was run last, of a document or in a run folder.

    Args:
        place: the analysis document, or the run folder.
        results: the run folder of the document; None: ``results/NAME``.

    Raises:
        InvalidInput: the document is not valid.
        RunFailed: ``run.incomplete``: nothing was run there, or another state of the document.
        IntegrityError: the frozen plan is damaged.
    """
    is_run = place.is_dir()
    analysis = None if is_run else load_analysis(place)
    root = place if is_run else results if results is not None else default_results(analysis.name if analysis else "")
    folder = RunFolder(root)
    file = folder.plan(read_settings(folder).plan) / "plan.json"
    if not file.is_file():
        raise RunFailed(
            "nothing was run here",
            code="run.incomplete",
            where=str(root),
            hint="run it before: evercast run DOCUMENT; or name the run folder with --results",
        )
    if analysis is not None and from_json(Analysis, read_json(file.parent / "analysis.json")) != analysis:
        raise RunFailed(
            "the document was changed since it was run",
            code="run.incomplete",
            where=str(place),
            hint=f"run it again: evercast run {place}",
        )
    return read_plan(file)


def write_archive(root: Path, context: PublicationContext) -> None:
    """Write the archive of a publication, ``archive/v1``, with the bundles that were published before it."""
    packed = pack_archive(PackRequest(frozen=context.frozen, archive=root / "archive", bundles=root / "bundles"))
    if context.key is not None:
        sign_version(packed.version.bag, key=context.key)


def pack_archive(request: PackRequest, *, observe: Callable[[str], None] | None = None) -> PackedVersion:
    """Pack a finished run as the next version of an archive; the same content again writes nothing.

    Raises:
        RunFailed: ``run.incomplete``.
        IntegrityError: a file is not what its receipt says; an earlier version is damaged; ``bag.name``.
        InvalidInput: ``archive.other-analysis``: the archive is that of another analysis.
        EnvironmentUnfit: the disk refuses, or somebody else writes there; nothing is left of the attempt.
    """
    say = observe or (lambda _: None)
    require_all(request.frozen)
    say("looking at what is there")
    make_folder(request.archive)
    with writing_alone(request.archive):
        archive = open_archive(request.archive, may_be_empty=True)
        contents = gather_contents(
            request.frozen, limit=request.limit, with_images=request.images, code=packed_source()
        )
        contents.items += _more(request)
        described = run_crate_files(request.frozen, [item.name.removeprefix("data/") for item in contents.items])
        contents.items += [Item(name=f"data/{name}", source=content) for name, content in described.items()]
        last = archive.last
        record = _record(request, contents, archive)
        if last is not None and last.record.name != record.name:
            raise InvalidInput(
                f"this archive is that of the analysis {last.record.name!r}, not of {record.name!r}",
                code="archive.other-analysis",
                where=str(request.archive),
                hint="give another folder with --output",
            )
        say(f"writing version {record.version}")
        return _write(request.archive, archive, contents, record)


def _more(request: PackRequest) -> Iterator[Item]:
    for name, content in (request.more or {}).items():
        yield Item(name=f"data/{name}", source=content)
    if request.bundles is not None and request.bundles.is_dir():
        for path in sorted(request.bundles.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield Item(name=f"data/bundles/{path.relative_to(request.bundles).as_posix()}", source=path)


def _record(request: PackRequest, contents: Contents, archive: Archive) -> ArchiveRecord:
    plan, last = request.frozen.plan, archive.last
    return ArchiveRecord(
        name=plan.name, version=1 if last is None else last.record.version + 1,
        previous=None if last is None else last.bag.id, plan=plan.digest, pseudo_data=plan.pseudo,
        document=contents.document, code=contents.code, versions=read_settings(request.frozen.folder).versions,
        inputs=tuple(contents.inputs), images=tuple(contents.images), units=tuple(contents.units),
    )  # fmt: skip


def _write(folder: Path, archive: Archive, contents: Contents, record: ArchiveRecord) -> PackedVersion:
    """Write the version under a temporary name, compare it with the last one, and give it its final name."""
    temporary, target = folder / f".v{record.version}.{secrets.token_hex(6)}.tmp", folder / f"v{record.version}"
    try:
        with disk_errors(target):
            placed = _fill(temporary, archive, contents)
            last = archive.last
            if last is not None and _same(last, placed, record):
                return PackedVersion(version=last, written=False, stored_bytes=0)
            item = Item(name=RECORD, source=canonical_json(to_json(record)) + b"\n")
            placed[RECORD] = place_file(temporary, item.name, item.source, known={})
            info = {
                "External-Identifier": record.name,
                "Bagging-Date": contents.date,
                "Bag-Software-Agent": f"evercast {record.code.version}",
                "Evercast-Version": str(record.version),
            }
            write_bag(temporary, info=info, known={name: file.sha256 for name, file in placed.items()})
            for path in (*temporary.rglob("*"), temporary):
                flush_to_disk(path)
            temporary.rename(target)
            flush_to_disk(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    stored = sum(file.size for file in placed.values() if not file.linked)
    version = next(version for version in open_archive(folder, digests=False).versions if version.folder == target)
    return PackedVersion(version=version, written=True, stored_bytes=stored)


def _fill(temporary: Path, archive: Archive, contents: Contents) -> dict[str, PlacedFile]:
    """Put every item below the temporary folder and return path -> what was put there."""
    known = archive.by_digest()
    placed: dict[str, PlacedFile] = {}
    for item in sorted(contents.items, key=lambda item: item.name):
        file = place_file(temporary, item.name, item.source, known=known, expected=item.sha256)
        placed[item.name] = file
        known.setdefault(file.sha256, temporary / item.name)
    return placed


def _same(last: Version, placed: Mapping[str, PlacedFile], record: ArchiveRecord) -> bool:
    """Return whether the last version holds the same files and says the same of them, whatever commit they are of."""
    files = {name: digest for name, digest in last.bag.files.items() if name != RECORD}
    said = replace(
        record, version=last.record.version, previous=last.record.previous, code=last.record.code
    )  # fmt: skip
    return files == {name: file.sha256 for name, file in placed.items()} and said == last.record
