"""Publishes the results of a finished plan at the top of the run folder: complete, atomic, only where they differ.

The index of the likelihoods is the one file that is not copied as it is: it gets what the checks of the run say of its
publication, which nobody knew when the likelihoods were written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from evercast.artifacts.files import (
    atomic_write_bytes,
    atomic_write_json,
    disk_errors,
    flush_to_disk,
    read_json,
    sha256_file,
)
from evercast.errors import IntegrityError, RunFailed
from evercast.plan import Plan, Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt, check_files, finished_receipt, read_receipt

__all__ = ["Completion", "export_results", "published_units", "require_all"]

_STAGES = ("serialization", "diagnostics", "report")
_INDEX = "likelihood/index.json"
_CHECKS = "diagnostics.json"


Completion = Callable[[bytes], bytes]
"""Makes the file that is published from the one that a unit wrote."""


def export_results(frozen: FrozenPlan, *, completed: Mapping[str, Completion] | None = None) -> tuple[Path, ...]:
    """Copy what serialization, diagnostics and report made to the run folder; return what was written.

    Files whose digests agree are left alone, so that a second call writes nothing.

    Args:
        frozen: the plan that was run.
        completed: names of files that are published with something that is known only now.

    Raises:
        RunFailed: ``run.incomplete``: a unit of the plan has no receipt.
        IntegrityError: a receipt is damaged, or a file to be published is not what its receipt says.
        EnvironmentUnfit: the disk refuses; what was published before is untouched.
    """
    require_all(frozen)
    publication = _publication(frozen)
    written: list[Path] = []
    for unit in published_units(frozen.plan):
        written += _export_unit(frozen, unit, publication=publication, completed=completed or {})
    return tuple(written)


def published_units(plan: Plan) -> tuple[Unit, ...]:
    """Return the units whose files are published."""
    return tuple(unit for unit in plan.units if unit.stage in _STAGES)


def _publication(frozen: FrozenPlan) -> object:
    """Return what the checks say of the publication; None where the plan has no checks."""
    for unit in frozen.plan.of_stage("diagnostics"):
        body = read_json(frozen.folder.unit(unit) / _CHECKS)
        return body.get("publication") if isinstance(body, Mapping) else None
    return None


def require_all(frozen: FrozenPlan) -> None:
    """Refuse to go on while a unit of the plan has no receipt: what was not run is no success.

    Raises:
        RunFailed: ``run.incomplete``.
        IntegrityError: ``unit.receipt-damaged``.
    """
    folder = frozen.folder
    missing = [unit for unit in frozen.plan.units if finished_receipt(unit, receipt_file=folder.receipt(unit)) is None]
    if missing:
        raise RunFailed(
            f"{len(missing)} of {len(frozen.plan.units)} units have not been run, first {missing[0].id} of stage "
            f"{missing[0].stage}",
            code="run.incomplete",
            where=str(frozen.folder.root),
            hint="evercast run DOCUMENT runs what is missing",
        )


def _export_unit(
    frozen: FrozenPlan, unit: Unit, *, publication: object, completed: Mapping[str, Completion]
) -> list[Path]:
    source = frozen.folder.unit(unit)
    receipt = read_receipt(frozen.folder.receipt(unit))
    check_files(receipt, folder=source)
    index = _index(source, receipt, publication=publication)
    written = []
    for top in dict.fromkeys(name.split("/", 1)[0] for name in receipt.files):
        target = frozen.folder.root / top
        if top in completed:
            content = completed[top]((source / top).read_bytes())
            if target.is_symlink() or not target.is_file() or target.read_bytes() != content:
                atomic_write_bytes(target, content)
                written.append(target)
            continue
        if _agrees(target, top, receipt, index=index):
            continue
        if (source / top).is_dir():
            _replace_folder(frozen, source / top, target, index=index if top == "likelihood" else None)
        else:
            atomic_write_bytes(target, (source / top).read_bytes())
        written.append(target)
    return written


def _index(source: Path, receipt: Receipt, *, publication: object) -> Mapping[str, object] | None:
    """Return the index as it is published; None where this is not the unit that made it."""
    if _INDEX not in receipt.files or publication is None:
        return None
    body = read_json(source / _INDEX)
    return {**body, "publication": publication} if isinstance(body, Mapping) else None


def _agrees(target: Path, top: str, receipt: Receipt, *, index: Mapping[str, object] | None) -> bool:
    """Return whether exactly the files of `receipt` under `top` stand at `target`, and the index that is published."""
    present = list(target.rglob("*")) if target.is_dir() else [target]
    if any(path.is_symlink() for path in (target, *present)):
        return False
    expected = {name: file.sha256 for name, file in receipt.files.items() if name.split("/", 1)[0] == top}
    found = {(Path(top) / path.relative_to(target)).as_posix(): sha256_file(path) for path in present if path.is_file()}
    if index is not None and _INDEX in expected and _INDEX in found:
        del expected[_INDEX], found[_INDEX]
        return found == expected and _holds(target / Path(_INDEX).name, index)
    return found == expected


def _holds(path: Path, body: Mapping[str, object]) -> bool:
    try:
        return read_json(path) == body
    except IntegrityError:
        return False


def _replace_folder(frozen: FrozenPlan, source: Path, target: Path, *, index: Mapping[str, object] | None) -> None:
    new, old = frozen.folder.attempt(target.name), frozen.folder.attempt(target.name)
    try:
        with disk_errors(target):
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, new)
            if index is not None:
                atomic_write_json(new / Path(_INDEX).name, index)
            for path in (*new.rglob("*"), new):
                flush_to_disk(path)
            if os.path.lexists(target):
                target.rename(old)
            new.rename(target)
            flush_to_disk(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
