"""What evaluation units hold, read back: log ratios, their variations, polynomials and replicas, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from evercast.artifacts.arrays import Arrays, read_arrays
from evercast.artifacts.event_table import EventTable
from evercast.errors import IntegrityError

__all__ = ["PolynomialColumn", "read_coefficients", "read_log_ratios", "read_replicas", "read_variations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialColumn:
    """What a column of coefficients stands for: a process and the powers of the nuisance parameters."""

    process: str
    powers: tuple[tuple[str, int], ...]


def read_log_ratios(
    evaluation: Path, sample: str, *, table: EventTable, processes: Sequence[str]
) -> Float32[np.ndarray, "events processes"]:
    """Return the log ratios of the events of `table`, columns in the order of `processes`.

    Args:
        evaluation: folder of the evaluation unit.
        sample: whose events.
        table: the events in the region of the ensemble.
        processes: which columns.

    Raises:
        IntegrityError: ``ratios.events``, the rows are not those of `table`; ``ratios.processes``;
            ``ratios.not-finite``; or damaged arrays.
    """
    path, found = _opened(evaluation, sample, table)
    return _columns(found, "log_ratio", path, processes)


def read_variations(
    evaluation: Path, sample: str, *, table: EventTable, processes: Sequence[str]
) -> tuple[Float32[np.ndarray, "events processes"], Float32[np.ndarray, "events processes"]]:
    """Return ln p(x | +1) / p(x | 0) and ln p(x | -1) / p(x | 0); arguments and errors as `read_log_ratios`."""
    path, found = _opened(evaluation, sample, table)
    return _columns(found, "log_up", path, processes), _columns(found, "log_down", path, processes)


def read_replicas(
    evaluation: Path, sample: str, *, table: EventTable, processes: Sequence[str]
) -> Float32[np.ndarray, "events processes replicas"]:
    """Return the log ratios of every bootstrap replica; arguments and errors as `read_log_ratios`."""
    path, found = _opened(evaluation, sample, table)
    return _columns(found, "log_ratio", path, processes)


def read_coefficients(
    evaluation: Path, sample: str, *, table: EventTable
) -> tuple[tuple[PolynomialColumn, ...], Float32[np.ndarray, "events terms"]]:
    """Return the coefficients delta_A(x) of ln g and what each column is; errors as `read_log_ratios`."""
    path, found = _opened(evaluation, sample, table)
    declared = found.attributes.get("terms")
    columns = tuple(_column(entry, path) for entry in declared) if isinstance(declared, list) else ()
    coefficients = _finite(found, "coefficients", path)
    if not columns or coefficients.shape != (len(table), len(columns)):
        raise IntegrityError(
            f"coefficients of shape {coefficients.shape} for {len(columns)} terms and {len(table)} events",
            code="ratios.processes",
            where=str(path),
            hint="evaluate again",
        )
    return columns, coefficients


def _column(entry: object, path: Path) -> PolynomialColumn:
    process = entry.get("process") if isinstance(entry, dict) else None
    powers = entry.get("powers") if isinstance(entry, dict) else None
    pairs = powers if isinstance(powers, list) else []
    if not isinstance(process, str) or not pairs or not all(_is_power(pair) for pair in pairs):
        raise IntegrityError(f"{entry!r} is no term of a polynomial", code="ratios.processes", where=str(path))
    return PolynomialColumn(process=process, powers=tuple((name, power) for name, power in pairs))


def _is_power(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int


def _opened(evaluation: Path, sample: str, table: EventTable) -> tuple[Path, Arrays]:
    path = evaluation / f"{sample}.zarr"
    found = read_arrays(path)
    if not np.array_equal(found["event"], table.event):
        raise IntegrityError(
            f"the log ratios are of {len(found['event'])} events, the selected events are {len(table)} others",
            code="ratios.events",
            where=str(path),
            hint="evaluate these events again",
        )
    return path, found


def _columns(found: Arrays, name: str, path: Path, processes: Sequence[str]) -> Float32[np.ndarray, "events ..."]:
    there = found.attributes.get("processes")
    names = there if isinstance(there, list) else []
    missing = [process for process in processes if process not in names]
    if missing:
        raise IntegrityError(
            f"there are no log ratios of process {missing[0]!r}; there are those of {', '.join(map(str, names))}",
            code="ratios.processes",
            where=str(path),
        )
    values = _finite(found, name, path)
    return np.ascontiguousarray(values[:, [names.index(process) for process in processes]])


def _finite(found: Arrays, name: str, path: Path) -> Float32[np.ndarray, "events ..."]:
    values = found[name].astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise IntegrityError(
            f"{name!r} holds {int((~np.isfinite(values)).sum())} numbers that are NaN or infinite",
            code="ratios.not-finite",
            where=str(path),
            hint="evaluate these events again",
        )
    return values
