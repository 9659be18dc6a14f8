"""Publishes the results of a finished plan at the top of the run folder: complete, atomic, only where they differ."""

from __future__ import annotations

import shutil
from pathlib import Path

from evercast.artifacts.files import atomic_write_bytes, disk_errors, flush_to_disk, sha256_file
from evercast.errors import RunFailed
from evercast.plan import Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt, check_files, is_finished, read_receipt

__all__ = ["export_results", "require_all"]

_PUBLISHED = ("serialization", "diagnostics", "report")


def export_results(frozen: FrozenPlan) -> tuple[Path, ...]:
    """Copy what serialization, diagnostics and report made to the run folder; return what was written.

    Files whose digests agree are left alone, so that a second call writes nothing.

    Raises:
        RunFailed: ``run.incomplete``: a unit of the plan has no receipt.
        IntegrityError: a file to be published is not what its receipt says.
        EnvironmentUnfit: the disk refuses; what was published before is untouched.
    """
    require_all(frozen)
    written: list[Path] = []
    for unit in frozen.plan.units:
        if unit.stage in _PUBLISHED:
            written += _export_unit(frozen, unit)
    return tuple(written)


def require_all(frozen: FrozenPlan) -> None:
    """Refuse to go on while a unit of the plan has no receipt: what was not run is no success.

    Raises:
        RunFailed: ``run.incomplete``.
    """
    missing = [unit for unit in frozen.plan.units if not is_finished(unit, receipt_file=frozen.folder.receipt(unit))]
    if missing:
        raise RunFailed(
            f"{len(missing)} of {len(frozen.plan.units)} units have not been run, first {missing[0].id} of stage "
            f"{missing[0].stage}",
            code="run.incomplete",
            where=str(frozen.folder.root),
            hint="evercast run DOCUMENT runs what is missing",
        )


def _export_unit(frozen: FrozenPlan, unit: Unit) -> list[Path]:
    source = frozen.folder.unit(unit)
    receipt = read_receipt(frozen.folder.receipt(unit))
    check_files(receipt, folder=source)
    written = []
    for top in dict.fromkeys(name.split("/", 1)[0] for name in receipt.files):
        target = frozen.folder.root / top
        if _agrees(target, top, receipt):
            continue
        if (source / top).is_dir():
            _replace_folder(frozen, source / top, target)
        else:
            atomic_write_bytes(target, (source / top).read_bytes())
        written.append(target)
    return written


def _agrees(target: Path, top: str, receipt: Receipt) -> bool:
    """Return whether exactly the files of `receipt` under `top` stand at `target`."""
    expected = {name: file.sha256 for name, file in receipt.files.items() if name.split("/", 1)[0] == top}
    present = [path for path in target.rglob("*") if path.is_file()] if target.is_dir() else [target]
    found = {(Path(top) / path.relative_to(target)).as_posix(): sha256_file(path) for path in present if path.is_file()}
    return found == expected


def _replace_folder(frozen: FrozenPlan, source: Path, target: Path) -> None:
    new, old = frozen.folder.attempt(target.name), frozen.folder.attempt(target.name)
    try:
        with disk_errors(target):
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, new)
            for path in new.rglob("*"):
                flush_to_disk(path)
            if target.exists():
                target.rename(old)
            new.rename(target)
            flush_to_disk(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
