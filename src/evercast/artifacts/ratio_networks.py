"""The networks of an evaluation, put together from their training blocks with what the evaluation found out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evercast.artifacts.bundle_networks import PolynomialNetworks, RatioNetworks
from evercast.artifacts.files import read_json
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import IntegrityError, InvalidInput
from evercast.networks.architecture import concatenate_members
from evercast.networks.calibration import HistogramCalibration
from evercast.spec.codec import from_json

__all__ = ["read_polynomial_networks", "read_ratio_networks", "read_variation_networks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CalibrationEntry:
    kind: str
    edges: tuple[float, ...]
    values: tuple[float, ...]


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
    path, entries = _entries(evaluation, ensemble)
    ratios: dict[str, RatioNetworks] = {}
    for process, files in blocks.items():
        entry = entries.get(process)
        log_norm = _log_norm(entry, files, what=f"process {process!r}", where=path)
        ratios[process] = RatioNetworks(
            networks=_merged(files, expected={"ensemble": ensemble, "process": process}, members=members),
            log_norm=log_norm,
            calibration=_calibration(entry, where=path),
        )
    return ratios


def read_variation_networks(
    evaluation: Path,
    *,
    ensemble: str,
    parameter: str,
    members: int,
    blocks: Mapping[str, Mapping[str, Sequence[Path]]],
) -> dict[str, dict[str, RatioNetworks]]:
    """Return process -> direction -> the networks of its varied to its nominal density, with their normalisation.

    Args:
        evaluation: folder of the unit of this nuisance parameter.
        ensemble: whose networks they are.
        parameter: the nuisance parameter.
        members: how many there are of each process and direction.
        blocks: process -> direction -> weight files.

    Raises:
        IntegrityError: as `read_ratio_networks`.
    """
    path, entries = _entries(evaluation, ensemble)
    found: dict[str, dict[str, RatioNetworks]] = {}
    for process, sides in blocks.items():
        entry = entries.get(process)
        for direction, files in sides.items():
            what = f"process {process!r}, {parameter!r} {direction}"
            log_norm = _log_norm(_inside(entry, direction), files, what=what, where=path)
            expected = {"ensemble": ensemble, "process": process, "parameter": parameter, "direction": direction}
            networks = _merged(files, expected=expected, members=members)
            found.setdefault(process, {})[direction] = RatioNetworks(networks=networks, log_norm=log_norm)
    return found


def read_polynomial_networks(
    evaluation: Path, *, ensemble: str, members: int, blocks: Mapping[str, Sequence[Path]]
) -> dict[str, PolynomialNetworks]:
    """Return process -> the networks of its polynomial in nuisance parameters, with the constants of its terms.

    Args:
        evaluation: folder of the unit of the polynomials.
        ensemble: whose networks they are.
        members: how many there are of each process.
        blocks: process -> weight files.

    Raises:
        IntegrityError: as `read_ratio_networks`.
    """
    path, entries = _entries(evaluation, ensemble)
    found: dict[str, PolynomialNetworks] = {}
    for process, files in blocks.items():
        constants = _inside(entries.get(process), "constants")
        numbers = constants if isinstance(constants, list) else []
        if not files or not numbers or not all(isinstance(number, int | float) for number in numbers):
            raise IntegrityError(
                f"process {process!r} has {len(files)} blocks of weights and the constants {constants!r}",
                code="ratios.diagnostics",
                where=str(path),
                hint="evaluate again",
            )
        networks = _merged(files, expected={"ensemble": ensemble, "process": process}, members=members)
        if len(networks.architecture.terms) != len(numbers):
            raise IntegrityError(
                f"the networks of process {process!r} have {len(networks.architecture.terms)} terms, the evaluation "
                f"has {len(numbers)}",
                code="ratios.blocks",
                where=str(path),
                hint="train the blocks of this ensemble again",
            )
        found[process] = PolynomialNetworks(networks=networks, constants=np.asarray(numbers, dtype=np.float64))
    return found


def _entries(evaluation: Path, ensemble: str) -> tuple[Path, Mapping[str, object]]:
    """Return where the diagnostics of an evaluation are, and process -> what they say."""
    path = evaluation / "diagnostics.json"
    body = read_json(path)
    _check_ensemble(body, ensemble, where=path)
    processes = _inside(body, "processes")
    return path, processes if isinstance(processes, dict) else {}


def _inside(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def _log_norm(entry: object, files: Sequence[Path], *, what: str, where: Path) -> float:
    log_norm = _number(entry, "normalisation", "log_norm")
    if log_norm is None or not files:
        raise IntegrityError(
            f"{what} has {len(files)} blocks of weights and the normalisation {log_norm!r}",
            code="ratios.diagnostics",
            where=str(where),
            hint="evaluate again",
        )
    return log_norm


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
