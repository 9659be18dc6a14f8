"""The files of a finished unit against those of the same unit in another run, each by what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.files import read_json
from evercast.artifacts.weights import read_tensors
from evercast.errors import EvercastError
from evercast.reinterpretation.numbers import Deviation, compare_arrays, compare_json, merged
from evercast.runtime.receipts import Receipt
from evercast.spec.model import NumericTolerance

__all__ = ["FileComparison", "compare_contents"]

RECORDS: Final = frozenset({"report.html", "provenance.json", "README.md"})
"""Files that tell of a run, with its times and versions; what they show is compared where it is computed."""

_SAID: Final[Mapping[str, re.Pattern[str]]] = {
    "diagnostics.json": re.compile(r"\$\.checks\[\d+\]\.message"),
    "result.json": re.compile(r"\$\.(?:(?:observed|expected)\.)?guard\.evaluations"),
    "training.json": re.compile(r"\$\.device(?:\..+)?"),
    "index.json": re.compile(r"\$\.run_id"),
    "manifest.json": re.compile(r"\$\.(?:run_id|versions(?:\..+)?)"),
}
"""File -> places in it that say how it was made, or say in words what it has as numbers."""

_DIGESTS: Final[Mapping[str, re.Pattern[str]]] = {
    "index.json": re.compile(r"\$\.likelihoods\..+\.sha256"),
    "manifest.json": re.compile(r"\$\.(?:files\..+|workspace_sha256)"),
}
"""File -> places in it of digests of files of the same unit, which are compared themselves."""

_STORE: Final = ".zarr"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileComparison:
    """One file, or one folder of arrays, of a unit.

    Args:
        path: relative to the folder of the unit.
        kind: ``same``: equal digests; ``numbers``: compared as numbers; ``bytes``: of no known form, so that other
            bytes are another content; ``record``: not compared; ``gone`` and ``new``: on one side only.
        deviation: of the numbers.
        size: bytes of the archived one.
    """

    path: str
    kind: Literal["same", "numbers", "bytes", "record", "gone", "new"]
    deviation: Deviation = field(default_factory=Deviation)
    size: int = 0

    @property
    def close(self) -> bool:
        """Whether both hold the same within the tolerance."""
        return self.kind in ("same", "record") or (self.kind == "numbers" and self.deviation.close)


def compare_contents(
    old: tuple[Path, Receipt], new: tuple[Path, Receipt], tolerance: NumericTolerance
) -> tuple[FileComparison, ...]:
    """Return the comparison of every file of a unit; what has equal digests is not read.

    Args:
        old: folder and receipt of the archived unit.
        new: of the one that was made anew.
        tolerance: for numbers with a fraction.
    """
    return tuple(_compare(old, new, tolerance))


def _compare(
    old: tuple[Path, Receipt], new: tuple[Path, Receipt], tolerance: NumericTolerance
) -> Iterator[FileComparison]:
    before, after = _things(old[1]), _things(new[1])
    for name in sorted(before.keys() | after.keys()):
        size = sum(old[1].files[file].size for file in before.get(name, {}))
        if name not in after or name not in before:
            yield FileComparison(path=name, kind="new" if name in after else "gone", size=size)
        elif before[name] == after[name]:
            yield FileComparison(path=name, kind="same", size=size)
        elif Path(name).name in RECORDS:
            yield FileComparison(path=name, kind="record", size=size)
        else:
            deviation = _deviation(old[0] / name, new[0] / name, tolerance)
            kind: Literal["bytes", "numbers"] = "bytes" if deviation is None else "numbers"
            yield FileComparison(path=name, kind=kind, deviation=deviation or Deviation(), size=size)


def _things(receipt: Receipt) -> dict[str, dict[str, str]]:
    """Return what a unit holds: file -> its digest, where all files of a folder of arrays are one thing."""
    things: dict[str, dict[str, str]] = {}
    for name, digest in receipt.files.items():
        head, store, _ = name.partition(f"{_STORE}/")
        things.setdefault(f"{head}{_STORE}" if store else name, {})[name] = digest.sha256
    return things


def _deviation(old: Path, new: Path, tolerance: NumericTolerance) -> Deviation | None:
    """Return how far two files lie apart; None where their form is not known, or one cannot be read."""
    try:
        if old.suffix == _STORE:
            return _stores(old, new, tolerance)
        if old.suffix == ".json":
            return compare_json(
                read_json(old), read_json(new), tolerance, records=_SAID.get(old.name), digests=_DIGESTS.get(old.name)
            )
        if old.suffix == ".safetensors":
            before, after = read_tensors(old), read_tensors(new)
            parts = (
                compare_arrays(before.arrays, after.arrays, tolerance),
                compare_json(before.metadata, after.metadata, tolerance),
            )
            return merged(parts)
        if old.suffix == ".parquet":
            return compare_arrays(_parquet(old), _parquet(new), tolerance)
    except EvercastError as err:
        return Deviation(other=(f"cannot be read: {err.message}",))
    return None


def _stores(old: Path, new: Path, tolerance: NumericTolerance) -> Deviation:
    before, after = read_arrays(old), read_arrays(new)
    numbers = compare_arrays(before.arrays, after.arrays, tolerance)
    return merged((numbers, compare_json(before.attributes, after.attributes, tolerance)))


def _parquet(path: Path) -> Mapping[str, NDArray[np.generic]]:
    """Return the columns of a table, those of lists one value after the other with their lengths."""
    import pyarrow.compute as pc  # noqa: PLC0415 - only generated events are tables
    import pyarrow.parquet as pq  # noqa: PLC0415 - likewise

    arrays: dict[str, NDArray[np.generic]] = {}
    for name, column in zip((table := pq.read_table(path)).column_names, table.columns, strict=True):
        values = column.combine_chunks()
        while hasattr(values, "offsets"):
            arrays[f"{name}.lengths{len(arrays)}"] = pc.list_value_length(values).to_numpy(zero_copy_only=False)
            values = values.flatten()
        arrays[name] = values.to_numpy(zero_copy_only=False)
    return arrays
