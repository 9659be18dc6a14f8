"""What goes into a version of an archive: document, plan, inputs, units, results, images, workflow and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from evercast.artifacts.archive_record import CodeRecord, ImageEntry, InputEntry, UnitEntry
from evercast.artifacts.files import canonical_json, read_json
from evercast.errors import IntegrityError, InvalidInput
from evercast.plan import IMAGE_PREFIX, Unit
from evercast.plan.files import local_digest
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe, FetchRecipe
from evercast.runtime.export import published_units
from evercast.runtime.lock_file import make_lock
from evercast.runtime.machine import machine_facts, statistics_defaults
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt, read_receipt
from evercast.runtime.settings import read_settings
from evercast.runtime.source_code import SourceCode, source_files
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis

__all__ = ["Contents", "Item", "gather_contents"]

_WORKFLOW: Final = ("Snakefile", "workflow/", "containers/", "requirements/")
_SHIPPED: Final = Path(__file__).with_name("shipped")
_INDEX: Final = "likelihood/index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file of the payload.

    Args:
        name: its path, ``data/...``.
        source: a file to copy, or the content itself.
        sha256: digest that a file to copy must have; None where nobody said.
    """

    name: str
    source: Path | bytes
    sha256: str | None = None


@dataclass(slots=True, kw_only=True)
class Contents:
    """Everything that goes into a version but for ``data/archive.json``.

    Args:
        date: day on which the last unit ended, ISO 8601.
    """

    items: list[Item] = field(default_factory=list)
    inputs: list[InputEntry] = field(default_factory=list)
    images: list[ImageEntry] = field(default_factory=list)
    units: list[UnitEntry] = field(default_factory=list)
    code: CodeRecord
    document: str = "data/document/analysis.yaml"
    date: str = ""


def gather_contents(frozen: FrozenPlan, *, limit: int | None, with_images: bool, code: SourceCode) -> Contents:
    """Return what a version of the archive of a finished run holds; every unit is compared with its receipt.

    Args:
        frozen: the plan that was run.
        limit: largest input file that is put in, bytes; None puts in all.
        with_images: whether the image files are put in.
        code: the source that is running.

    Raises:
        IntegrityError: a file is not what its receipt or the plan says.
        InvalidInput: ``plan.file-missing``: a file beside the document is gone.
    """
    name = f"data/code/{code.name}"
    record = CodeRecord(
        version=code.name.removeprefix("evercast-").removesuffix(".tar.gz"), file=name, revision=code.revision,
        modified=code.modified,
    )  # fmt: skip
    contents = Contents(code=record)
    contents.items.append(Item(name=name, source=code.content))
    _add_document(contents, frozen, limit=limit)
    _add_units(contents, frozen, limit=limit)
    _add_results(contents, frozen)
    _add_images(contents, frozen, with_images=with_images)
    _add_workflow(contents)
    contents.items += [
        Item(name="data/environment.json", source=_environment(frozen)),
        Item(name="data/lock.json", source=_lock(frozen)),
        Item(name="data/read_archive.py", source=_SHIPPED / "read_archive.py"),
    ]
    return contents


def _environment(frozen: FrozenPlan) -> bytes:
    """Return what the machine is, and what its packages do by default, as a replay compares it with its own."""
    return _text(
        {
            "schema": "archive-environment/1.0.0",
            "machine": machine_facts(),
            "versions": read_settings(frozen.folder).versions,
            "defaults": statistics_defaults(),
        }
    )


def _lock(frozen: FrozenPlan) -> bytes:
    """Return the lock of the document as things are now; the commit of the source stands in the record."""
    analysis = from_json(Analysis, read_json(frozen.file.parent / "analysis.json"))
    lock = make_lock(analysis, frozen.plan, document=frozen.document_folder / "analysis.yaml")
    return _text(to_json(replace(lock, code=replace(lock.code, revision=None))))


def _text(body: object) -> bytes:
    return canonical_json(body) + b"\n"


def _add_document(contents: Contents, frozen: FrozenPlan, *, limit: int | None) -> None:
    """Add the document as written, as evercast read it, its plan and the files beside it."""
    plan_folder = frozen.file.parent
    body = read_json(plan_folder / "analysis.json")
    analysis = from_json(Analysis, body)
    contents.items += [
        Item(name=contents.document, source=plan_folder / "analysis.yaml"),
        Item(name="data/analysis.json", source=_text(body)),
        Item(name="data/plan.json", source=frozen.file),
        Item(
            name="data/expected.json",
            source=_text({name: to_json(value) for name, value in analysis.expected.items()}),
        ),
    ]
    for path, expected in sorted(frozen.plan.files.items()):
        contents.inputs.append(_local_input(contents, frozen.document_folder, path, expected, limit))
    names = frozen.document_folder / "images.yaml"
    if names.is_file() and any(environment.container for environment in analysis.environments.values()):
        contents.items.append(Item(name="data/document/images.yaml", source=names))


def _local_input(contents: Contents, folder: Path, path: str, expected: str, limit: int | None) -> InputEntry:
    """Add a file or folder beside the document, unless it is too large, and return its entry."""
    found = local_digest(path, folder=folder)
    if found != expected:
        raise IntegrityError(
            f"its sha256 is {found}; the run was made with {expected}",
            code="plan.file-changed",
            where=str(folder / path),
            hint="run again with the new content, or put the old one back; then pack",
        )
    place = folder / path
    files = [item for item in sorted(place.rglob("*")) if item.is_file()] if place.is_dir() else [place]
    size = sum(file.stat().st_size for file in files)
    entry = InputEntry(name=path, sha256=expected, size=size)
    if limit is not None and size > limit:
        return entry
    for file in files:
        contents.items.append(Item(name=f"data/document/{file.relative_to(folder).as_posix()}", source=file))
    return replace(entry, file=f"data/document/{path}")


def _add_units(contents: Contents, frozen: FrozenPlan, *, limit: int | None) -> None:
    """Add the folder of every unit; what a fetch brought stands once, under its digest."""
    hosts: dict[str, str] = {}
    for unit in frozen.plan.units:
        folder = frozen.folder.unit(unit)
        receipt = read_receipt(frozen.folder.receipt(unit))
        contents.date = max(contents.date, receipt.ended[:10])
        target = f"data/units/{unit.stage}/{unit.id}"
        contents.items.append(Item(name=f"{target}/receipt.json", source=_anonymous(receipt, hosts)))
        contents.units.append(UnitEntry(id=unit.id, stage=unit.stage, key=unit.key))
        if isinstance(unit.recipe, FetchRecipe):
            _add_fetched(contents, folder, unit, unit.recipe, receipt, limit)
            continue
        contents.items += [
            Item(name=f"{target}/{name}", source=folder / name, sha256=file.sha256)
            for name, file in receipt.files.items()
        ]


def _add_fetched(
    contents: Contents, folder: Path, unit: Unit, recipe: FetchRecipe, receipt: Receipt, limit: int | None
) -> None:
    for name, file in receipt.files.items():
        place = f"data/inputs/sha256/{file.sha256}"
        within = limit is None or file.size <= limit
        if within and not any(entry.sha256 == file.sha256 and entry.file for entry in contents.inputs):
            contents.items.append(Item(name=place, source=folder / name, sha256=file.sha256))
        contents.inputs.append(
            InputEntry(
                name=unit.name,
                sha256=file.sha256,
                size=file.size,
                url=recipe.source.url,
                file=place if within else None,
            )
        )


def _anonymous(receipt: Receipt, hosts: dict[str, str]) -> bytes:
    """Return a receipt that tells which units were made on one machine, and not which machine, job or cluster.

    What sort of device computed stays: a replay names it where numbers differ.
    """
    name = hosts.setdefault(receipt.host, f"host-{len(hosts) + 1}") if receipt.host else ""
    return _text(to_json(replace(receipt, host=name, slurm_job=None, slurm_cluster=None)))


def _add_results(contents: Contents, frozen: FrozenPlan) -> None:
    """Add what stands published, as the units made it: the copies that are published tell of machines and jobs too."""
    for unit in published_units(frozen.plan):
        folder = frozen.folder.unit(unit)
        for name, file in read_receipt(frozen.folder.receipt(unit)).files.items():
            item = Item(name=f"data/results/{name}", source=folder / name, sha256=file.sha256)
            if name == _INDEX:
                item = Item(name=item.name, source=_published(frozen, name))
            contents.items.append(item)


def _published(frozen: FrozenPlan, name: str) -> Path:
    """Return the index of the likelihoods, which says whether they may be published; that is known after a run only.

    Raises:
        InvalidInput: ``archive.unpublished``.
    """
    place = frozen.folder.root / name
    if not place.is_file():
        raise InvalidInput(
            f"the result {name} is not there",
            code="archive.unpublished",
            where=str(place),
            hint="evercast run DOCUMENT publishes the results of a finished run",
        )
    return place


def _add_images(contents: Contents, frozen: FrozenPlan, *, with_images: bool) -> None:
    """Add an entry for each image, and its file where it is asked for and there is one."""
    for name, (digest, file) in sorted(_images(frozen).items()):
        place = f"data/images/sha256-{digest}.sif"
        there = with_images and file is not None and file.is_file()
        if with_images and not there:
            raise InvalidInput(
                f"the image {name!r} (sha256 {digest}) is no file on this machine",
                code="archive.image-missing",
                hint="put it into the store, or pack without --images",
            )
        if there and file is not None and not any(entry.sha256 == digest for entry in contents.images):
            contents.items.append(Item(name=place, source=file, sha256=digest))
        contents.images.append(ImageEntry(name=name, sha256=digest, file=place if there else None))


def _images(frozen: FrozenPlan) -> Mapping[str, tuple[str, Path | None]]:
    """Return name -> digest and file of each image that receipts or the plan name."""
    files = {image.sha256: Path(image.file) for image in read_settings(frozen.folder).images.values()}
    found: dict[str, tuple[str, Path | None]] = {}
    for unit in frozen.plan.units:
        used = read_receipt(frozen.folder.receipt(unit)).container
        if used is not None:
            found[used.image] = (used.sha256, files.get(used.sha256))
        reference = unit.inputs.get(IMAGE_INPUT, "")
        if reference.startswith(IMAGE_PREFIX):
            name, _, digest = reference.removeprefix(IMAGE_PREFIX).partition("@sha256:")
            found.setdefault(name, (digest, files.get(digest)))
        elif isinstance(unit.recipe, CommandRecipe) and unit.recipe.container is not None:
            text = unit.recipe.container
            found.setdefault(text, (text.rpartition("@sha256:")[2], None))
    return found


def _add_workflow(contents: Contents) -> None:
    """Add the workflow and the lock files of the packages, readable without unpacking the source."""
    for name, path in source_files().items():
        if name.startswith(_WORKFLOW):
            contents.items.append(Item(name=f"data/workflow/{name}", source=path))
