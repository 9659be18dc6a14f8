"""What an evaluation unit holds, read back: log ratios of the samples, and all that turns observables to log ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import read_json
from evercast.artifacts.neural_bundle import RatioNetworks
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import IntegrityError, InvalidInput
from evercast.networks.architecture import concatenate_members
from evercast.networks.calibration import HistogramCalibration
from evercast.spec.codec import from_json

__all__ = ["read_log_ratios", "read_ratio_networks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CalibrationEntry:
    kind: str
    edges: tuple[float, ...]
    values: tuple[float, ...]


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
        IntegrityError: ``ratios.events``, the rows are not those of `table`; ``ratios.processes``; or damaged arrays.
    """
    path = evaluation / f"{sample}.zarr"
    found = read_arrays(path)
    there = found.attributes.get("processes")
    names = there if isinstance(there, list) else []
    missing = [process for process in processes if process not in names]
    if missing:
        raise IntegrityError(
            f"there are no log ratios of process {missing[0]!r}; there are those of {', '.join(map(str, names))}",
            code="ratios.processes",
            where=str(path),
        )
    if not np.array_equal(found["event"], table.event):
        raise IntegrityError(
            f"the log ratios are of {len(found['event'])} events, the selected events are {len(table)} others",
            code="ratios.events",
            where=str(path),
            hint="evaluate these events again",
        )
    log_ratio = found["log_ratio"].astype(np.float32, copy=False)
    return np.ascontiguousarray(log_ratio[:, [names.index(process) for process in processes]])


def read_ratio_networks(
    evaluation: Path, *, ensemble: str, members: int, blocks: Mapping[str, Sequence[Path]]
) -> dict[str, RatioNetworks]:
    """Return, for each process, its networks of all blocks with calibration and normalisation.

    Args:
        evaluation: folder of the evaluation unit, for ``diagnostics.json``.
        ensemble: whose networks they are, as the labels of the weights must say.
        members: how many members there are, 0 to members - 1, each in one block.
        blocks: process -> weight files of its training blocks, in the order of the members.

    Raises:
        IntegrityError: a file is missing or damaged; ``ratios.diagnostics``, no normalisation is known;
            ``ratios.blocks``, the blocks are of another ensemble or process, or members are missing or double.
    """
    path = evaluation / "diagnostics.json"
    body = read_json(path)
    _check_ensemble(body, ensemble, where=path)
    processes = body.get("processes") if isinstance(body, dict) else None
    ratios: dict[str, RatioNetworks] = {}
    for process, files in blocks.items():
        entry = processes.get(process) if isinstance(processes, dict) else None
        log_norm = _number(entry, "normalisation", "log_norm")
        if log_norm is None or not files:
            raise IntegrityError(
                f"process {process!r} has {len(files)} blocks of weights and the normalisation {log_norm!r}",
                code="ratios.diagnostics",
                where=str(path),
                hint="evaluate again",
            )
        ratios[process] = RatioNetworks(
            networks=_merged(files, expected={"ensemble": ensemble, "process": process}, members=members),
            log_norm=log_norm,
            calibration=_calibration(entry, where=path),
        )
    return ratios


def _check_ensemble(body: object, ensemble: str, *, where: Path) -> None:
    found = body.get("ensemble") if isinstance(body, dict) else None
    if found != ensemble:
        raise IntegrityError(
            f"the evaluation is that of ensemble {found!r}; expected {ensemble!r}",
            code="ratios.diagnostics",
            where=str(where),
            hint="evaluate again",
        )


def _merged(files: Sequence[Path], *, expected: Mapping[str, str], members: int) -> EnsembleWeights:
    """Return the members of all blocks, after a check that the blocks are those of one process of the ensemble."""
    blocks = [read_weights(file) for file in files]
    first = blocks[0]
    for file, block in zip(files, blocks, strict=True):
        labels = {name: block.labels.get(name) for name in expected}
        same = (block.architecture, block.folds, block.labels) == (first.architecture, first.folds, first.labels)
        if labels != expected or not same:
            problem = (
                f"found {labels}, expected {dict(expected)}" if labels != expected else "it differs from the first"
            )
            raise IntegrityError(
                f"the weights are a block of other networks: {problem}",
                code="ratios.blocks",
                where=str(file),
                hint="train the blocks of this ensemble again",
            )
    there = tuple(member for block in blocks for member in block.members)
    if there != tuple(range(members)):
        raise IntegrityError(
            f"the blocks of process {expected['process']!r} of ensemble {expected['ensemble']!r} hold the members "
            f"{list(there)}; expected 0 to {members - 1}, each once and in order",
            code="ratios.blocks",
            where=str(files[0]),
            hint="train the blocks of this ensemble again",
        )
    return EnsembleWeights(
        architecture=first.architecture,
        members=there,
        folds=first.folds,
        weights=concatenate_members([block.weights for block in blocks]),
        labels=first.labels,
    )


def _number(entry: object, *keys: str) -> float | None:
    for key in keys:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return float(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else None


def _calibration(entry: object, *, where: Path) -> HistogramCalibration | None:
    section = entry.get("calibration") if isinstance(entry, dict) else None
    body = section.get("map") if isinstance(section, dict) else None
    if body is None:
        return None
    try:
        found = from_json(_CalibrationEntry, body)
    except InvalidInput as err:
        raise IntegrityError(
            f"the calibration cannot be read: {err.message}", code="ratios.diagnostics", where=str(where)
        ) from err
    return HistogramCalibration(edges=found.edges, values=found.values)
