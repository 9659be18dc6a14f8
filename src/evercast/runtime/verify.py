"""Compares what is finished with its receipts, byte for byte, and with the lock of the run: images and versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from evercast.artifacts.files import sha256_file
from evercast.errors import IntegrityError
from evercast.plan import Plan, Unit
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.receipts import FileDigest, Receipt, read_receipt
from evercast.runtime.settings import RunSettings

__all__ = ["Finding", "finished_units", "verify_unit", "verify_units"]

_NOT_COMPUTING: Final = frozenset({"snakemake"})
"""Packages of a receipt whose version says nothing about what was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a finished unit, or about what was published, that is not as it must be.

    Args:
        unit: None for a published file.
        kind: a file was changed, is missing or is none of the unit's; the receipt cannot be read; the unit was made
            with another image or other versions than the run declares.
        path: the file; of image and versions, the receipt.
        found: what is there.
        expected: what must be there.
    """

    unit: Unit | None
    kind: Literal["changed", "missing", "extra", "receipt", "image", "versions"]
    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        if self.kind == "receipt":
            return f"{self.path}: {self.found}"
        return f"{self.path}: {self.kind}: {self.found}; expected {self.expected}"


def finished_units(plan: Plan, *, folder: RunFolder) -> tuple[Unit, ...]:
    """Return the units that have a folder under their final name, also one whose receipt is gone or damaged."""
    return tuple(unit for unit in plan.units if folder.unit(unit).exists())


def verify_units(
    plan: Plan, *, folder: RunFolder, settings: RunSettings
) -> Iterator[tuple[Unit, tuple[Finding, ...]]]:  # fmt: skip
    """Read every file of every finished unit; give each with all that is not as it must be.

    Args:
        plan: whose units are looked at.
        folder: of the run.
        settings: which images and versions the run declares.
    """
    for unit in finished_units(plan, folder=folder):
        yield unit, tuple(verify_unit(unit, folder=folder, settings=settings))


def verify_unit(unit: Unit, *, folder: RunFolder, settings: RunSettings) -> Iterator[Finding]:
    """Give all that is not as it must be with one unit that has a folder."""
    place = folder.receipt(unit)
    try:
        receipt = read_receipt(place)
    except IntegrityError as err:
        yield Finding(unit=unit, kind="receipt", path=str(place), found=err.message, expected="a receipt")
        return
    if (receipt.key, receipt.stage) != (unit.key, unit.stage):
        found = f"it is the receipt of unit {receipt.unit} of stage {receipt.stage}"
        yield Finding(unit=unit, kind="receipt", path=str(place), found=found, expected=f"that of {unit.id}")
        return
    yield from _files(unit, receipt, folder=folder)
    yield from _origin(unit, receipt, path=str(place), settings=settings)


def _files(unit: Unit, receipt: Receipt, *, folder: RunFolder) -> Iterator[Finding]:
    root = folder.unit(unit)
    for name, expected in receipt.files.items():
        path = root / name
        if not path.is_file() or path.is_symlink():
            yield Finding(unit=unit, kind="missing", path=str(path), found="no file", expected=_text(expected))
            continue
        found = FileDigest(sha256=sha256_file(path), size=path.stat().st_size)
        if found != expected:
            yield Finding(unit=unit, kind="changed", path=str(path), found=_text(found), expected=_text(expected))
    known = {root / name for name in receipt.files} | {root / RECEIPT}
    for path in sorted(root.rglob("*")):
        if path not in known and (path.is_symlink() or not path.is_dir()):
            yield Finding(unit=unit, kind="extra", path=str(path), found="a file", expected="none in the receipt")


def _origin(unit: Unit, receipt: Receipt, *, path: str, settings: RunSettings) -> Iterator[Finding]:
    """Compare the image of a unit, or the versions where it was made without, with what the run has declared."""
    if receipt.container is not None:
        used, locked = receipt.container, settings.images.get(receipt.container.image)
        if locked is not None and locked.sha256 != used.sha256:
            yield Finding(
                unit=unit, kind="image", path=path, found=f"{used.image} sha256 {used.sha256}",
                expected=f"sha256 {locked.sha256}",
            )  # fmt: skip
        return
    other = sorted(
        name
        for name, version in receipt.versions.items()
        if name not in _NOT_COMPUTING and settings.versions.get(name, version) != version
    )
    if other:
        yield Finding(
            unit=unit, kind="versions", path=path,
            found=", ".join(f"{name} {receipt.versions[name]}" for name in other),
            expected=", ".join(f"{name} {settings.versions[name]}" for name in other),
        )  # fmt: skip


def _text(digest: FileDigest) -> str:
    return f"sha256 {digest.sha256}, {digest.size} bytes"
