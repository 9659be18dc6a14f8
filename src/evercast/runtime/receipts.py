"""Receipts: what a finished unit consists of, digest by digest, and where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evercast.artifacts.files import atomic_write_json, disk_errors, flush_to_disk, read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput, RunFailed
from evercast.plan import Unit
from evercast.runtime.folders import RECEIPT
from evercast.spec.codec import from_json, to_json

__all__ = [
    "ContainerRecord",
    "FileDigest",
    "Receipt",
    "check_files",
    "digest_files",
    "finished_receipt",
    "is_finished",
    "read_receipt",
    "write_receipt",
]

FORMAT = "receipt/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """One file: its digest and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """The container that a unit was computed in.

    Args:
        image: what the document or the run calls it.
        sha256: digest of the image file; of a registry reference, the digest in it.
        apptainer: version of the runtime.
        flags: of the isolation, as given to the runtime.
        network_attempts: how often something inside wanted to reach an address outside, which it could not; None where
            that is not known.
    """

    image: str
    sha256: str
    apptainer: str
    flags: tuple[str, ...] = ()
    network_attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The record of a finished unit, written last.

    Args:
        versions: of evercast, Python and the packages that computed.
        seeds: path in the recipe -> seed.
        started: UTC, ISO 8601; `ended` likewise.
        seconds: wall-clock time, s.
        max_rss_mb: largest resident memory of the process that computed it or of one of its children, MB.
        max_rss_of: whether that is of the ``unit``, or of all that the process did for units of its ``job``.
        files: relative path -> digest and size.
        inputs: name -> key of the unit it came from, or digest of the file.
        made_from: id of each unit that it needed -> digest of the names and digests of that one's files.
        container: None where the unit was computed in the environment of the host.
        host: name of the machine.
        device: what computed, e.g. ``platform: cpu``; empty for a stage without arrays.
        slurm_job: id of the SLURM job; None where there was none.
        slurm_cluster: name of the cluster of that job.
    """

    stage: str
    unit: str
    key: str
    versions: Mapping[str, str]
    seeds: Mapping[str, int]
    started: str
    ended: str
    seconds: float
    max_rss_mb: float
    files: Mapping[str, FileDigest]
    inputs: Mapping[str, str] = field(default_factory=dict)
    made_from: Mapping[str, str] = field(default_factory=dict)
    container: ContainerRecord | None = None
    host: str = ""
    device: Mapping[str, str] = field(default_factory=dict)
    max_rss_of: str = "job"
    slurm_job: str | None = None
    slurm_cluster: str | None = None
    format: str = FORMAT


def digest_files(folder: Path) -> dict[str, FileDigest]:
    """Return relative path -> digest of every file under `folder`, flushed to the disk.

    Raises:
        RunFailed: ``stage.output-link``: a link, which may lead to what the unit could not see when it was computed.
        EnvironmentUnfit: the disk refuses.
    """
    paths = sorted(folder.rglob("*"))
    link = next((path for path in paths if path.is_symlink()), None)
    if link is not None:
        raise RunFailed(
            f"the stage left a link, {link.relative_to(folder)} -> {link.readlink()}; write the file itself",
            code="stage.output-link",
        )
    files = [path for path in paths if path.is_file()]
    with disk_errors(folder):
        for path in (*files, *(path for path in paths if path.is_dir()), folder):
            flush_to_disk(path)
    return {
        path.relative_to(folder).as_posix(): FileDigest(sha256=sha256_file(path), size=path.stat().st_size)
        for path in files
        if path != folder / RECEIPT
    }


def write_receipt(receipt: Receipt, *, folder: Path) -> None:
    """Write the receipt of the unit whose files are in `folder`.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    atomic_write_json(folder / RECEIPT, to_json(receipt))


def read_receipt(path: Path) -> Receipt:
    """Return the receipt in `path`.

    Raises:
        IntegrityError: ``artifact.missing``, or ``unit.receipt-damaged`` where it is damaged or of another format.
    """
    try:
        body = read_json(path)
    except IntegrityError as err:
        if err.code == "artifact.missing":
            raise
        raise _damaged(path, f"it {err.message.removeprefix(f'{path} ')}") from err
    try:
        receipt = from_json(Receipt, body)
    except InvalidInput as err:
        raise _damaged(path, str(err)) from err
    if receipt.format != FORMAT:
        raise _damaged(path, f"its format is {receipt.format!r}; expected {FORMAT!r}")
    return receipt


def finished_receipt(unit: Unit, *, receipt_file: Path) -> Receipt | None:
    """Return the receipt of a unit; None where it has none, so that it is not finished. The files are not read.

    Raises:
        IntegrityError: ``unit.receipt-damaged``: there is one, and it cannot be read or is that of another unit.
    """
    if not receipt_file.exists():
        return None
    receipt = read_receipt(receipt_file)
    if (receipt.key, receipt.stage) != (unit.key, unit.stage):
        raise _damaged(receipt_file, f"it is that of unit {receipt.unit} of stage {receipt.stage}")
    return receipt


def is_finished(unit: Unit, *, receipt_file: Path) -> bool:
    """Return whether the unit has a receipt and it is that of this unit; the files are not read."""
    try:
        receipt = read_receipt(receipt_file)
    except IntegrityError:
        return False
    return receipt.key == unit.key and receipt.stage == unit.stage


def check_files(receipt: Receipt, *, folder: Path, only: Iterable[str] | None = None) -> None:
    """Compare the files in `folder` with a receipt, digest by digest.

    Args:
        receipt: of the unit in `folder`.
        folder: the folder of the unit.
        only: relative paths of files or folders; None compares all.

    Raises:
        IntegrityError: ``unit.file-missing`` or ``unit.file-changed``, naming the first such file.
    """
    wanted = None if only is None else tuple(only)
    for name, expected in receipt.files.items():
        if wanted is not None and not any(name == path or name.startswith(f"{path}/") for path in wanted):
            continue
        path = folder / name
        if not path.is_file():
            raise _changed(path, receipt, "unit.file-missing", "is missing")
        found = FileDigest(sha256=sha256_file(path), size=path.stat().st_size)
        if found != expected:
            reason = f"has changed: sha256 {found.sha256}, {found.size} bytes; expected {expected.sha256}, "
            raise _changed(path, receipt, "unit.file-changed", f"{reason}{expected.size} bytes")


def _changed(path: Path, receipt: Receipt, code: str, reason: str) -> IntegrityError:
    return IntegrityError(
        f"a file of unit {receipt.unit} {reason}",
        code=code,
        where=str(path),
        hint="put it aside and make it anew: evercast run DOCUMENT --repair",
    )


def _damaged(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the receipt is damaged: {reason}",
        code="unit.receipt-damaged",
        where=str(path),
        hint="put it aside and make it anew: evercast run DOCUMENT --repair",
    )
