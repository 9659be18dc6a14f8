"""Images by name: which file a document means, and that it is the one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from evercast.artifacts.files import atomic_write_bytes, make_folder
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.runtime.brief_locks import changing
from evercast.runtime.image_store import ImageStore, default_store, known_sha256
from evercast.runtime.sif import Sif, machine_architecture, read_sif
from evercast.runtime.workflow_files import workflow_root
from evercast.spec.codec import to_json
from evercast.spec.containers import is_image_name, is_registry_reference, registry_reference
from evercast.spec.documents import load_document
from evercast.spec.report import did_you_mean

__all__ = [
    "ImageLabels",
    "ImageList",
    "ImageRecord",
    "LockedImage",
    "check_architecture",
    "find_record",
    "is_image_name",
    "name_files",
    "read_names",
    "record_image",
    "resolve_image",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLabels:
    """What an image says of itself.

    Args:
        version: of evercast in the image.
        requirements: sha256 of the lock file of its packages.
        revision: commit of the source.
    """

    version: str | None = None
    requirements: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What a name stands for; documented in the schema ``images``.

    Args:
        size_bytes: size of the file.
        signed_by: fingerprint of a key.
    """

    sha256: str
    size_bytes: int
    architecture: str
    recipe: str | None = None
    signed_by: str | None = None
    labels: ImageLabels = field(default_factory=ImageLabels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageList:
    """The content of ``images.yaml``: name -> record."""

    images: Mapping[str, ImageRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedImage:
    """An image whose content is fixed and was checked.

    Args:
        file: the image file; None for a registry reference, which the container runtime brings itself.
        sha256: of the file; of the image in the registry where there is no file.
        reference: what the document says.
    """

    file: Path | None
    sha256: str
    reference: str

    @property
    def argument(self) -> str:
        """How the container runtime is told the image."""
        if self.file is not None:
            return str(self.file)
        return registry_reference(self.reference) or self.reference


def resolve_image(
    text: str, folder: Path | None, *, store: ImageStore | None = None, sha256: str | None = None
) -> LockedImage:
    """Return the image that a document means, after its content was compared with the locked digest.

    Args:
        text: a name of ``images.yaml``, a file beside the document, or a registry reference with digest.
        folder: the folder of the document; None where there is none.
        store: where images of a name are; `default_store` where None.
        sha256: the locked digest of a file beside the document; the file's own where None.

    Raises:
        InvalidInput: ``image.unknown-name``, or ``image.no-digest`` for a registry reference without its digest.
        EnvironmentUnfit: ``image.missing``, ``image.not-an-image``, ``image.cut`` or ``image.architecture``.
        IntegrityError: ``image.digest``: the content is not the locked one.
    """
    if is_image_name(text):
        where = store if store is not None else default_store()
        record = find_record(text, folder, store=where)
        return LockedImage(
            file=_checked(where.file(record.sha256), record.sha256, text), sha256=record.sha256, reference=text
        )
    if is_registry_reference(text):
        if registry_reference(text) is None:
            raise InvalidInput(
                f"the image {text!r} is named without its digest: what a tag stands for changes",
                code="image.no-digest",
                hint="write NAME@sha256:64 hexadecimal digits",
            )
        return LockedImage(file=None, sha256=text.rpartition("@sha256:")[2], reference=text)
    file = ((folder or Path()) / text).absolute()
    read_sif(file)
    locked = sha256 or known_sha256(file)
    return LockedImage(file=_checked(file, locked, text), sha256=locked, reference=text)


def name_files(folder: Path | None, *, store: ImageStore | None = None) -> Iterator[Path]:
    """Yield the files that give names to images, the first one that knows a name decides.

    They are beside the document, in the store, and with evercast itself.
    """
    if folder is not None:
        yield folder / "images.yaml"
    yield (store if store is not None else default_store()).names
    yield workflow_root() / "containers" / "images.yaml"


def read_names(file: Path) -> Mapping[str, ImageRecord]:
    """Return name -> record of an ``images.yaml``; nothing where there is no such file.

    Raises:
        InvalidDocument: with every problem.
    """
    return load_document(file, "images", ImageList).images if os.path.lexists(file) else {}


def find_record(name: str, folder: Path | None, *, store: ImageStore | None = None) -> ImageRecord:
    """Return what an image name stands for.

    Raises:
        InvalidInput: ``image.unknown-name``, with the names there are.
        InvalidDocument: a file that names images is wrong.
    """
    known: dict[str, ImageRecord] = {}
    for file in name_files(folder, store=store):
        known = {**read_names(file), **known}
        if name in known:
            return known[name]
    raise InvalidInput(
        f"no image is named {name!r}; there are: {', '.join(sorted(known)) or 'none'}",
        code="image.unknown-name",
        hint=_where_names_come_from(name, known),
    )


def _where_names_come_from(name: str, known: Collection[str]) -> str:
    """Return the next step for a name that no file knows."""
    if (workflow_root() / "containers" / f"{name}.def").is_file():
        return f"build it: evercast image build {name}; or name it in images.yaml beside the document"
    if Path(name).is_file():
        return f"a file is named with its folder: ./{name}"
    guess = did_you_mean(name, known)
    names = "evercast image list shows the names; a file is named with its folder or its ending .sif"
    return f"{guess}; {names}" if guess else names


def record_image(file: Path, name: str, record: ImageRecord) -> None:
    """Write into an ``images.yaml`` that a name stands for this image; the other names stay.

    Raises:
        InvalidDocument: the file that is there is wrong.
        EnvironmentUnfit: ``file.locked``, ``disk.full`` or ``disk.read-only``.
    """
    head = "# Names of container images and the sha256 that each stands for. Written by `evercast image build`.\n"
    make_folder(file.parent)
    with changing(file):
        images = {**read_names(file), name: record}
        body = {
            "schema": "images/1.0.0",
            "images": {key: _without_none(to_json(images[key])) for key in sorted(images)},
        }
        atomic_write_bytes(file, (head + yaml.safe_dump(body, sort_keys=False, width=120)).encode())


def _without_none(body: dict[str, object]) -> dict[str, object]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in body.items()
        if value not in (None, {})
    }


def _checked(file: Path, sha256: str, text: str) -> Path:
    """Return the file if it is an image of this digest for this machine."""
    if not file.exists():
        raise EnvironmentUnfit(
            f"the image {text!r} is locked to sha256 {sha256} and is not in the store",
            code="image.missing",
            where=str(file),
            hint=f"build it: evercast image build {text}; or copy the file there from a machine that has it",
        )
    sif = read_sif(file)
    found = known_sha256(file)
    if found != sha256:
        raise IntegrityError(
            f"the content of the image {text!r} is not the locked one: found sha256 {found}, expected {sha256}",
            code="image.digest",
            where=str(file),
            hint="copy it again from where it was built, or build it again",
        )
    check_architecture(sif)
    return file


def check_architecture(sif: Sif) -> None:
    """Refuse an image for other processors than those of this machine.

    Raises:
        EnvironmentUnfit: ``image.architecture``.
    """
    machine = machine_architecture()
    if sif.architecture != machine:
        raise EnvironmentUnfit(
            f"the image is for {sif.architecture} processors, this machine is {machine}",
            code="image.architecture",
            where=str(sif.file),
            hint=f"use an image built on a machine with {machine} processors",
        )
