"""Locks of documents: what an analysis is made of, pinned beside the document, and compared before it is run.

The lock of ``analysis.yaml`` is ``analysis.lock.json``: the document, its input files, its images, the packages, the
schemas and the code of evercast, each by digest. A run with a lock takes exactly these or is refused.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import evercast
from evercast.artifacts.files import atomic_write_json, canonical_json, parse_json, read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.plan import Plan, used_sources
from evercast.plan.files import local_digest
from evercast.runtime.image_choice import CPU_IMAGE, GPU_IMAGE
from evercast.runtime.images import find_record
from evercast.runtime.plans import FrozenPlan, named_images
from evercast.runtime.source_code import source_digest, source_revision
from evercast.runtime.workflow_files import workflow_root
from evercast.schemas import KINDS, VERSION, schema_text
from evercast.spec.codec import from_json, to_json
from evercast.spec.containers import is_registry_reference
from evercast.spec.model import Analysis

__all__ = [
    "FORMAT",
    "Lock",
    "LockedPackage",
    "check_lock",
    "lock_file",
    "lock_line",
    "make_lock",
    "read_lock",
    "write_lock",
]

FORMAT: Final = "lock/1.0.0"
_REQUIREMENTS: Final = "requirements/run.txt"
_PACKAGE: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LIMIT: Final = 32 << 20
_NAMED: Final = 8
"""How many differences a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedDocument:
    """The analysis document.

    Args:
        name: of its file.
        sha256: of its canonical form: comments and layout do not count.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedInput:
    """An input file.

    Args:
        sha256: of its content; of a folder, that of the names and digests in it.
        size: bytes.
        url: where it is public; None for a file beside the document.
    """

    sha256: str
    size: int
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """A package that computes.

    Args:
        version: that is installed.
        sha256: of the files that the index has of this version, as the lock file of evercast says; empty where that
            file names another version.
    """

    version: str
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedCode:
    """The source of evercast.

    Args:
        version: of evercast.
        sha256: of the names and digests of its files.
        revision: commit of the checkout; None outside one. It is not compared: the digest says it all.
        requirements: sha256 of its lock file of packages.
    """

    version: str
    sha256: str
    revision: str | None
    requirements: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The content of a lock.

    Args:
        inputs: name of a source, or path beside the document -> input.
        images: what the document or a run calls an image -> sha256.
        packages: name -> package.
        schemas: kind of document -> version and sha256 of its schema.
        python: version of Python.
    """

    document: LockedDocument
    inputs: Mapping[str, LockedInput]
    images: Mapping[str, str]
    packages: Mapping[str, LockedPackage]
    schemas: Mapping[str, str]
    code: LockedCode
    python: str
    schema: str = FORMAT


def lock_file(document: Path) -> Path:
    """Return where the lock of a document is, or would be.

    Example:
        >>> lock_file(Path("specs/toy/analysis.yaml")).name
        'analysis.lock.json'
    """
    return document.with_name(f"{document.stem}.lock.json")


def make_lock(analysis: Analysis, plan: Plan, *, document: Path) -> Lock:
    """Return the lock of a document as things are now.

    Raises:
        InvalidInput: a file beside the document is gone; ``image.unknown-name``.
        EnvironmentUnfit: ``run.no-workflow``.
    """
    return Lock(
        document=LockedDocument(name=document.name, sha256=_digest(to_json(analysis))),
        inputs=dict(_inputs(analysis, plan, folder=document.parent)),
        images=dict(sorted(_images(analysis, folder=document.parent).items())),
        packages=dict(_packages()),
        schemas={kind: f"{VERSION} sha256:{_text_digest(schema_text(kind))}" for kind in sorted(KINDS)},
        code=LockedCode(
            version=evercast.__version__, sha256=source_digest(), revision=source_revision()[0],
            requirements=sha256_file(workflow_root() / _REQUIREMENTS),
        ),
        python=platform.python_version(),
    )  # fmt: skip


def write_lock(lock: Lock, *, document: Path) -> Path:
    """Write the lock of a document beside it, and return the file.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    file = lock_file(document)
    atomic_write_json(file, to_json(lock))
    return file


def read_lock(file: Path) -> Lock:
    """Return the lock in a file.

    Raises:
        IntegrityError: ``lock.damaged`` or ``artifact.not-json``.
        InvalidInput: ``lock.version``: of a format that this evercast does not know.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_LIMIT)
    except OSError as err:
        raise IntegrityError(f"it cannot be read: {err.strerror}", code="lock.damaged", where=str(file)) from err
    body = parse_json(content, where=str(file))
    said = body.get("schema") if isinstance(body, Mapping) else None
    if isinstance(said, str) and said.startswith("lock/") and said != FORMAT:
        raise InvalidInput(
            f"this lock is of format {said}; this evercast reads {FORMAT}",
            code="lock.version",
            where=str(file),
            hint="use the evercast that wrote it, or lock again",
        )
    try:
        lock = from_json(Lock, body)
    except InvalidInput as err:
        raise IntegrityError(err.message, code="lock.damaged", where=str(file)) from err
    if said != FORMAT:
        raise IntegrityError("it says no format", code="lock.damaged", where=str(file))
    return lock


def check_lock(analysis: Analysis, plan: Plan, *, document: Path) -> Lock | None:
    """Compare what there is with the lock of a document; None where it has none.

    Raises:
        IntegrityError: ``lock.differs`` with what differs, or as `read_lock`.
        InvalidInput: as `read_lock` and `make_lock`.
    """
    file = lock_file(document)
    if not file.exists():
        return None
    locked = read_lock(file)
    differences = list(_differences(locked, make_lock(analysis, plan, document=document)))
    if differences:
        count = "1 thing is" if len(differences) == 1 else f"{len(differences)} things are"
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        raise IntegrityError(
            f"{count} not as locked: {'; '.join(differences[:_NAMED])}{more}",
            code="lock.differs",
            where=str(file),
            hint=f"put back what was changed, or lock what there is now: evercast lock {document}",
        )
    return locked


def lock_line(frozen: FrozenPlan, *, document: Path) -> str:
    """Return what a run says of its lock, after what there is was compared with it.

    Raises:
        IntegrityError: as `check_lock`.
        InvalidInput: as `check_lock`.
    """
    analysis = from_json(Analysis, read_json(frozen.file.parent / "analysis.json"))
    lock = check_lock(analysis, frozen.plan, document=document)
    if lock is None:
        return f"no lock: inputs, images and packages are those of today (evercast lock {document} pins them)"
    return f"as locked in {lock_file(document)}: {len(lock.inputs)} inputs, {len(lock.packages)} packages"


def _differences(locked: Lock, found: Lock) -> Iterator[str]:
    if locked.document.sha256 != found.document.sha256:
        yield f"the document has sha256 {found.document.sha256[:12]}, locked is {locked.document.sha256[:12]}"
    if locked.python != found.python:
        yield f"Python is {found.python}, locked is {locked.python}"
    if locked.code.sha256 != found.code.sha256:
        yield (
            f"the source of evercast {found.code.version} has sha256 {found.code.sha256[:12]}, locked is "
            f"{locked.code.version} with {locked.code.sha256[:12]}"
        )
    used = {name: entry for name, entry in locked.inputs.items() if name in found.inputs}
    yield from _each("input", used, found.inputs)  # a run with pseudo-data leaves public files out
    yield from _each("image", locked.images, found.images)
    yield from _each("package", locked.packages, found.packages)
    yield from _each("schema", locked.schemas, found.schemas)


def _each(kind: str, locked: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(locked.keys() | found.keys()):
        if locked.get(name) != found.get(name):
            yield f"{kind} {name}: {_shown(found.get(name))}, locked is {_shown(locked.get(name))}"


def _shown(value: object) -> str:
    if isinstance(value, LockedPackage):
        return value.version
    if isinstance(value, LockedInput):
        return f"sha256 {value.sha256[:12]}, {value.size} bytes"
    return "none" if value is None else str(value)[:80]


def _inputs(analysis: Analysis, plan: Plan, *, folder: Path) -> Iterator[tuple[str, LockedInput]]:
    for name in sorted(used_sources(plan)):
        source = analysis.sources[name]
        yield name, LockedInput(sha256=source.sha256, size=source.size_bytes, url=source.url)
    for path in sorted(plan.files):
        place = folder / path
        files = [item for item in place.rglob("*") if item.is_file()] if place.is_dir() else [place]
        digest = local_digest(path, folder=folder)
        yield path, LockedInput(sha256=digest, size=sum(file.stat().st_size for file in files))


def _images(analysis: Analysis, *, folder: Path) -> dict[str, str]:
    """Return every image that the document names, and those that runs in containers take by default."""
    images = dict(named_images(analysis, folder=folder))
    declared = [environment.container for environment in analysis.environments.values()]
    declared += [stage.container for stage in analysis.stages.values()]
    for text in declared:
        if text is not None and is_registry_reference(text):
            images[text] = text.rpartition("@sha256:")[2]
    for name in (CPU_IMAGE, GPU_IMAGE):
        try:
            images.setdefault(name, find_record(name, folder).sha256)
        except InvalidInput:
            continue
    return images


def _packages() -> Iterator[tuple[str, LockedPackage]]:
    """Give what is installed of the packages that the lock file of evercast names."""
    text = (workflow_root() / _REQUIREMENTS).read_text(encoding="utf-8")
    starts = list(_PACKAGE.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends, strict=True):
        name, pinned = match.groups()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        hashes = tuple(_HASH.findall(text[match.end() : end])) if version == pinned else ()
        yield name, LockedPackage(version=version, sha256=hashes)


def _digest(body: object) -> str:
    return _bytes_digest(canonical_json(body))


def _text_digest(text: str) -> str:
    return _bytes_digest(text.encode())


def _bytes_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
