"""What was published, digest by digest, and whether it is still there as it was.

Most published files are copies of what units made, so their receipts tell what they must be. The report, the index of
the likelihoods and the accounting get something that only the end of the run knows; for them the record that is written
after publishing says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.plan import Plan
from evercast.runtime.export import published_units
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import FileDigest, finished_receipt
from evercast.runtime.verify import Finding
from evercast.spec.codec import from_json, to_json

__all__ = ["Published", "read_published", "record_published", "verify_published"]

_FORMAT: Final = "published/1.0.0"
_COMPLETED: Final = frozenset({"report.html", "likelihood/index.json", "accounting.json"})
"""What differs from the file of a unit, or is of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The record of what was published, written last.

    Args:
        plan: digest of the plan whose results they are.
        files: path in the run folder -> digest and size.
    """

    plan: str
    files: Mapping[str, FileDigest]
    format: str = _FORMAT


def record_published(frozen: FrozenPlan) -> Published:
    """Write down what now stands published, and return it; an equal record is left alone.

    Raises:
        IntegrityError: a receipt is damaged, or a file is gone again.
        EnvironmentUnfit: the disk refuses.
    """
    root = frozen.folder.root
    files = _of_units(frozen.plan, folder=frozen.folder)
    if (root / "accounting.json").exists():
        files["accounting.json"] = _digest(root / "accounting.json")
    for name in _COMPLETED & files.keys():
        files[name] = _digest(root / name)
    record = Published(plan=frozen.plan.digest, files=dict(sorted(files.items())))
    if _read(frozen.folder.published) != record:
        atomic_write_json(frozen.folder.published, to_json(record))
    return record


def read_published(folder: RunFolder) -> Published | None:
    """Return the record of what was published in a run folder; None where there is none, or a damaged one."""
    return _read(folder.published)


def verify_published(plan: Plan, *, folder: RunFolder) -> tuple[int, tuple[Finding, ...]]:
    """Compare what was published last with its digests; return the number of files, and what is not as it must be.

    Args:
        plan: of the document; where what was published is of another one, its record alone is compared with.
        folder: of the run.
    """
    if not folder.published.exists():
        return 0, ()
    record = _read(folder.published)
    if record is None:
        found = "the record of what was published is damaged"
        return 0, (Finding(unit=None, kind="receipt", path=str(folder.published), found=found, expected="a record"),)
    expected = dict(record.files)
    if record.plan == plan.digest:
        made = _of_units(plan, folder=folder)
        expected |= {name: digest for name, digest in made.items() if name not in _COMPLETED}
    return len(expected), tuple(_findings(expected, root=folder.root))


def _findings(expected: Mapping[str, FileDigest], *, root: Path) -> Iterator[Finding]:
    for name, digest in sorted(expected.items()):
        path, wanted = root / name, _text(digest)
        link = next((place for place in (path, *path.parents) if place != root and place.is_symlink()), None)
        if link is not None and link.is_relative_to(root):
            yield Finding(unit=None, kind="changed", path=str(link), found="a link", expected=wanted)
        elif not path.is_file():
            yield Finding(unit=None, kind="missing", path=str(path), found="no file", expected=wanted)
        elif (found := _digest(path)) != digest:
            yield Finding(unit=None, kind="changed", path=str(path), found=_text(found), expected=wanted)
    for top in sorted({name.split("/", 1)[0] for name in expected if "/" in name}):
        for path in sorted((root / top).rglob("*")):
            is_file = path.is_symlink() or not path.is_dir()
            if is_file and path.relative_to(root).as_posix() not in expected:
                yield Finding(unit=None, kind="extra", path=str(path), found="a file", expected="none")


def _of_units(plan: Plan, *, folder: RunFolder) -> dict[str, FileDigest]:
    """Return path -> digest of what the units that are published have made, as far as their receipts can be read."""
    files: dict[str, FileDigest] = {}
    for unit in published_units(plan):
        try:
            receipt = finished_receipt(unit, receipt_file=folder.receipt(unit))
        except IntegrityError:  # said of the unit itself
            continue
        files |= {} if receipt is None else receipt.files
    return files


def _digest(path: Path) -> FileDigest:
    return FileDigest(sha256=sha256_file(path), size=path.stat().st_size)


def _read(path: Path) -> Published | None:
    try:
        record = from_json(Published, read_json(path))
    except (IntegrityError, InvalidInput):
        return None
    return record if record.format == _FORMAT else None


def _text(digest: FileDigest) -> str:
    return f"sha256 {digest.sha256}, {digest.size} bytes"
