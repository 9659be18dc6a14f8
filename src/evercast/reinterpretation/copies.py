"""What a replay copies out of an archive: document, inputs and finished units, each by the digest that was verified."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import atomic_write_bytes, disk_errors, make_folder, sha256_file
from evercast.errors import EnvironmentUnfit, IntegrityError
from evercast.events.sources import search_path_from_environment
from evercast.plan import Unit
from evercast.plan.recipes import FetchRecipe, StageName
from evercast.reinterpretation.archived import ArchivedRun
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import is_finished
from evercast.spec.reader import read_document

__all__ = ["ancestors", "import_unit", "import_units", "lay_out", "merge_patch"]

_BLOCK: Final = 1 << 20


def lay_out(output: Path, archived: ArchivedRun, *, change: Path | None) -> Path:
    """Copy document and inputs out of the archive, and return the document to run, changed where that was asked."""
    bag = archived.version.bag
    for name in bag.under("data/document"):
        _copy(bag.root / name, output / "document" / name.removeprefix("data/document/"), expected=bag.files[name])
    for entry in archived.version.record.inputs:
        if entry.url is not None and entry.file is not None:
            _copy(bag.root / entry.file, output / "cache" / "sha256" / entry.sha256, expected=entry.sha256)
    _bring_others(output, archived)
    document = output / "document" / Path(archived.version.record.document).relative_to("data/document")
    if change is None:
        return document
    body = merge_patch(read_document(document).value, read_document(change).value)
    changed = document.with_name(f"{document.stem}-changed.yaml")
    atomic_write_bytes(changed, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    return changed


def import_units(
    frozen: FrozenPlan, wanted: Sequence[Unit], archived: ArchivedRun, *, stage: StageName | None
) -> tuple[Unit, ...]:
    """Copy the finished units that the wanted ones rest on out of the archive, those with the same key; return them."""
    if stage is None:
        return ()
    chosen = ancestors(frozen, wanted) - {unit.id for unit in wanted}
    before = (unit for unit in frozen.plan.units if unit.id in chosen)
    return tuple(unit for unit in before if import_unit(unit, frozen.folder, archived))


def ancestors(frozen: FrozenPlan, wanted: Sequence[Unit]) -> set[str]:
    """Return the ids of all units that some units rest on."""
    units, seen = frozen.plan.by_id(), set[str]()
    pending = [item for unit in wanted for item in unit.needs()]
    while pending:
        identity = pending.pop()
        if identity not in seen:
            seen.add(identity)
            pending += units[identity].needs()
    return seen


def merge_patch(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with changes merged in, as RFC 7396 says: what is null goes, mappings are merged.

    Example:
        >>> merge_patch({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": None}})
        {'a': {'b': 3}}
    """
    result = dict(body)
    for key, change in changes.items():
        before = result.get(key)
        if change is None:
            result.pop(key, None)
        elif isinstance(change, Mapping):
            result[key] = merge_patch(before if isinstance(before, Mapping) else {}, change)
        else:
            result[key] = change
    return result


def _bring_others(output: Path, archived: ArchivedRun) -> None:
    """Take input files that the archive names but does not hold from the cache of this user, where they are there."""
    known = search_path_from_environment(os.environ)
    for entry in archived.version.record.inputs:
        cached = known.cache / "sha256" / entry.sha256
        if entry.url is not None and entry.file is None and cached.is_file():
            _copy(cached, output / "cache" / "sha256" / entry.sha256, expected=entry.sha256)


def import_unit(unit: Unit, folder: RunFolder, archived: ArchivedRun) -> bool:
    """Copy one unit out of the archive; return whether it is there, under this key, and whole."""
    source = archived.side.folder(unit)
    if not is_finished(unit, receipt_file=source / RECEIPT):
        return False
    if is_finished(unit, receipt_file=folder.receipt(unit)):
        return True
    target, attempt = folder.unit(unit), folder.attempt(unit.id)
    place = f"data/units/{unit.stage}/{unit.id}/"
    for name, digest in archived.version.bag.files.items():
        if name.startswith(place):
            _copy(archived.folder / name, attempt / name.removeprefix(place), expected=digest)
    for name, file in _fetched(unit, archived).items():
        _copy(file, attempt / name, expected=file.name)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        attempt.rename(target)
    return True


def _fetched(unit: Unit, archived: ArchivedRun) -> Mapping[str, Path]:
    """Return the files of a fetch, which an archive holds among its inputs."""
    receipt = archived.side.receipt(unit) if isinstance(unit.recipe, FetchRecipe) else None
    if receipt is None:
        return {}
    inputs = archived.folder / "data" / "inputs" / "sha256"
    files = {name: inputs / digest.sha256 for name, digest in receipt.files.items()}
    missing = next((file for file in files.values() if not file.is_file()), None)
    if missing is not None:
        raise EnvironmentUnfit(
            f"the archive names the input {unit.name} (sha256 {missing.name}) and does not hold it",
            code="replay.input-missing",
            hint="give it in a folder named by EVERCAST_DATA and replay without --stage",
        )
    return files


def _copy(source: Path, target: Path, *, expected: str) -> None:
    """Copy a file, unless it is there with the content it must have; the copy appears whole, and has this content.

    Raises:
        IntegrityError: ``replay.changed``: the file has changed since it was verified.
    """
    if target.is_file() and not target.is_symlink() and sha256_file(target) == expected:
        return
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.copy")
    digest = hashlib.sha256()
    with disk_errors(target):
        with source.open("rb") as reader, temporary.open("wb") as writer:
            while block := reader.read(_BLOCK):
                digest.update(block)
                writer.write(block)
        if digest.hexdigest() != expected:
            temporary.unlink()
            raise IntegrityError(
                f"it has another content than when it was verified: sha256 {digest.hexdigest()}, expected {expected}",
                code="replay.changed", where=str(source), hint="nothing may write into an archive; verify it again",
            )  # fmt: skip
        temporary.replace(target)
