"""Builds images from recipes: the same bytes from the same sources."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors
from evercast.runtime.image_index import bind_index
from evercast.runtime.image_labels import image_labels, labels_of
from evercast.runtime.image_programs import apptainer_for_images, debian_address, program, run_step
from evercast.runtime.image_signatures import check_signing_key, sign_image
from evercast.runtime.image_sources import BuildSources, gather_sources
from evercast.runtime.image_store import ImageStore, cache_folder
from evercast.runtime.image_tree import clean_tree
from evercast.runtime.images import ImageRecord, record_image
from evercast.runtime.sif import PARTITION, read_sif
from evercast.runtime.sif_writer import write_sif

__all__ = ["BuildRequest", "BuiltImage", "build_image"]

_FAST: Final = "-comp zstd -Xcompression-level 1"
"""Of the image that Apptainer makes: it is unpacked again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build.

    Args:
        name: of the image.
        recipe: definition file; the one that comes with evercast where None.
        wheel: evercast as a package file; made from the checkout where None.
        mirror: where Debian comes from; as this machine's package sources say where None.
        key: private key to sign with; None leaves the image unsigned.
        names: the ``images.yaml`` that gets the digest; that of the store where None.
    """

    name: str
    recipe: Path | None = None
    wheel: Path | None = None
    mirror: str | None = None
    key: Path | None = None
    names: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What was built.

    Args:
        file: in the store.
        record: what its name stands for from now on.
        names: the file that says so.
        uncommitted: files of the checkout with changes that are not in the image.
    """

    file: Path
    record: ImageRecord
    names: Path
    uncommitted: Sequence[str]


def build_image(request: BuildRequest, *, store: ImageStore, observe: Callable[[str], None]) -> BuiltImage:
    """Build an image, put it into the store and write down what its name stands for.

    Apptainer installs; what it made is unpacked, freed of what differs from one making to the next, packed again in a
    fixed order with fixed times, and signed. Two builds from the same sources give the same bytes as long as the
    Debian packages are the same.

    Args:
        request: what to build.
        store: gets the image.
        observe: is told each step before it begins.

    Raises:
        EvercastError: of `check_signing_key`, `gather_sources` and the programs: ``container.no-runtime``,
            ``container.too-old``, ``image.no-program``, ``image.no-mirror``, ``image.build-failed``, ``disk.full``.
    """
    if request.key is not None:
        check_signing_key(request.key)
    programs = _Programs(
        install=apptainer_for_images(),
        unpack=program("unsquashfs", package="squashfs-tools"),
        pack=program("mksquashfs", package="squashfs-tools"),
        log=_new_log(request.name),
    )
    with tempfile.TemporaryDirectory(prefix="evercast-image-") as name:
        folder = Path(name)
        observe("sources")
        sources = gather_sources(
            request.name, recipe=request.recipe, wheel=request.wheel, folder=folder, log=programs.log
        )
        observe("installation")
        made = _install(request, sources, programs, folder=folder)
        observe("clean-up and packing")
        labels = image_labels(request.name, sources)
        image = _repack(made, sources, programs, labels=labels, file=folder / f"{request.name}.sif")
        signer = None
        if request.key is not None:
            observe("signature")
            signer = sign_image(image, key=request.key, epoch=sources.epoch)
        observe("store")
        record = ImageRecord(
            sha256=store.add(image), size_bytes=image.stat().st_size, architecture=read_sif(image).architecture,
            recipe=sources.recipe.name, signed_by=signer, labels=labels_of(labels),
        )  # fmt: skip
    names = request.names if request.names is not None else store.names
    record_image(names, request.name, record)
    return BuiltImage(file=store.file(record.sha256), record=record, names=names, uncommitted=sources.uncommitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Programs:
    """Paths of the foreign programs, and the file that gets what they print."""

    install: str
    unpack: str
    pack: str
    log: Path


def _new_log(name: str) -> Path:
    log = cache_folder() / "logs" / f"{name}.log"
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    return log


def _install(request: BuildRequest, sources: BuildSources, programs: _Programs, *, folder: Path) -> Path:
    """Return the image as Apptainer builds it."""
    made = folder / "made.sif"
    command = [programs.install, "--silent", "build", "--fakeroot", "--mksquashfs-args", _FAST]
    command += [*_arguments(request, sources, folder), str(made), str(sources.recipe)]
    run_step("installing", command, folder=folder, log=programs.log)
    return made


def _repack(made: Path, sources: BuildSources, programs: _Programs, *, labels: Mapping[str, str], file: Path) -> Path:
    """Return an image with the content of another, but for what differs from one making to the next."""
    folder = made.parent
    tree, packed = folder / "tree", folder / "tree.squashfs"
    sif = read_sif(made)
    offset = next(item.offset for item in sif.objects if item.kind == PARTITION)
    options = ["-quiet", "-no-progress", "-no-xattrs", "-o", str(offset), "-d", str(tree)]
    run_step("unpacking", [programs.unpack, *options, str(made)], folder=folder, log=programs.log)
    made.unlink()
    definition = sources.recipe.read_text()
    with disk_errors(folder):
        clean_tree(tree, definition=definition, labels=labels)
    command = [programs.pack, str(tree), str(packed), *_packing(sources.epoch)]
    run_step("packing", command, folder=folder, log=programs.log)
    write_sif(
        file, file_system=packed, definition=definition, labels=labels, architecture=sif.architecture,
        epoch=sources.epoch,
    )  # fmt: skip
    return file


def _arguments(request: BuildRequest, sources: BuildSources, folder: Path) -> list[str]:
    """Return the options that give a recipe its values and the package index."""
    line = []
    for bind in bind_index(folder / "index", cache=cache_folder() / "pip"):
        line += ["--bind", bind]
    values: dict[str, str] = {}
    if "MIRROR" in sources.arguments:
        values["MIRROR"] = request.mirror or debian_address()
    if sources.requirements is not None:
        values["REQUIREMENTS"] = str(sources.requirements)
    if sources.wheel is not None:
        values["WHEEL"] = str(sources.wheel)
    for key, value in values.items():
        line += ["--build-arg", f"{key}={value}"]
    return line


def _packing(epoch: int) -> list[str]:
    time = str(epoch)
    return [
        "-noappend", "-quiet", "-no-progress", "-reproducible", "-all-root", "-no-xattrs", "-all-time", time,
        "-mkfs-time", time, "-comp", "zstd", "-Xcompression-level", "3",
    ]  # fmt: skip
