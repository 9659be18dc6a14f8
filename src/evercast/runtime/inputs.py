"""The inputs of a unit as paths, each compared with its receipt or digest before use."""

from __future__ import annotations

from pathlib import Path

from evercast.errors import IntegrityError, RunFailed
from evercast.plan import FILE_PREFIX, IMAGE_PREFIX, Unit
from evercast.plan.files import local_digest
from evercast.plan.recipes import IMAGE_INPUT
from evercast.runtime.image_store import known_sha256
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import check_files, finished_receipt

__all__ = ["input_paths", "resolve_inputs"]


def input_paths(frozen: FrozenPlan, unit: Unit) -> tuple[Path, ...]:
    """Return where the inputs of a unit are, or will be, unchecked."""
    paths = []
    for reference in unit.inputs.values():
        if reference.startswith(FILE_PREFIX):
            paths.append(frozen.document_folder / reference.removeprefix(FILE_PREFIX))
        elif not reference.startswith(IMAGE_PREFIX):
            identity, _, inside = reference.partition(":")
            paths.append(frozen.folder.unit(frozen.unit(identity)) / inside)
    return tuple(path.resolve() for path in paths)


def resolve_inputs(frozen: FrozenPlan, unit: Unit) -> dict[str, Path]:
    """Return name -> path for the inputs of a unit; an image by name is none of them.

    Raises:
        RunFailed: ``run.input-missing``: a unit that it needs has not been run.
        IntegrityError: a file is missing or is not what its receipt or the plan says.
    """
    wanted: dict[str, list[str] | None] = {}
    paths = {}
    for name, reference in unit.inputs.items():
        if reference.startswith(IMAGE_PREFIX):
            continue
        if reference.startswith(FILE_PREFIX):
            file = reference.removeprefix(FILE_PREFIX)
            paths[name] = _local_file(frozen, file, is_image=name == IMAGE_INPUT)
            continue
        identity, _, inside = reference.partition(":")
        paths[name] = frozen.folder.unit(frozen.unit(identity)) / inside
        if not inside:
            wanted[identity] = None
        elif (files := wanted.setdefault(identity, [])) is not None:
            files.append(inside)
    for identity, only in wanted.items():
        _check_unit(frozen, frozen.unit(identity), needed_by=unit, only=only)
    return {name: path.resolve() for name, path in paths.items()}


def _check_unit(frozen: FrozenPlan, needed: Unit, *, needed_by: Unit, only: list[str] | None) -> None:
    file = frozen.folder.receipt(needed)
    receipt = finished_receipt(needed, receipt_file=file)
    if receipt is None:
        raise RunFailed(
            f"it needs unit {needed.id} of stage {needed.stage}, which has no receipt",
            code="run.input-missing",
            where=needed_by.id,
            hint="run the whole analysis: evercast run DOCUMENT",
        )
    absent = [path for path in only or () if not _holds(receipt.files, path)]
    if absent:
        raise IntegrityError(
            f"unit {needed.id} has no file {absent[0]}; it has {', '.join(receipt.files)}",
            code="unit.file-missing",
            where=needed_by.id,
        )
    check_files(receipt, folder=file.parent, only=only)


def _holds(files: object, path: str) -> bool:
    names = files if isinstance(files, dict) else {}
    return path in names or any(name.startswith(f"{path}/") for name in names)


def _local_file(frozen: FrozenPlan, path: str, *, is_image: bool) -> Path:
    """Return a file beside the document, after a look at its content; an image is read again only where it changed.

    Raises:
        IntegrityError: ``plan.file-changed``; of an image that is not there, ``artifact.missing``.
        InvalidInput: ``plan.file-missing``.
    """
    expected = frozen.plan.files[path]
    file = frozen.document_folder / path
    found = known_sha256(file) if is_image else local_digest(path, folder=frozen.document_folder)
    if found != expected:
        raise IntegrityError(
            f"its sha256 is {found}; expected {expected}",
            code="plan.file-changed",
            where=str(file),
            hint="correct the digest in the document, or run again: a new plan takes the new content",
        )
    return file
