"""Stage toys: throw and fit some pseudo-experiments of one likelihood at one value of the parameter of interest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evercast.artifacts.arrays import read_arrays, write_arrays
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.likelihood_folder import open_likelihood, open_origins
from evercast.errors import IntegrityError
from evercast.inference.studies import StudyData, ToyBlock, study_block, study_data
from evercast.inference.toy_statistics import STATUS_CODES
from evercast.plan.recipes import Task, ToysRecipe

__all__ = ["run"]

_log = logging.getLogger(__name__)

_FACTS = ("theta", "sources", "effective_sample_size", "expected_events", "remarks", "channels")
_BLOCK = 128
"""Pseudo-experiments between two checkpoints."""


def run(task: Task[ToysRecipe]) -> None:
    """Write ``toys.zarr`` and ``summary.json``; finished blocks in the checkpoint folder are not done again.

    ``toys.zarr`` holds ``t``, ``poi_hat``, ``status`` (0 fine, 1 a parameter at its bound, 2 failed), ``seed``; for
    limits also the same with ``background_`` before, for goodness of fit ``statistic``, ``channel_0``...
    ``summary.json``: likelihood, study, purpose, value, first, count, failed, reasons, theta (true values), sources,
    effective_sample_size, expected_events, remarks, channels, blinded.

    Raises:
        NumericalFailure: the fit of the data failed, or events cannot be drawn.
        IntegrityError: the likelihood is missing or damaged.
        InvalidInput: it has no such likelihood, no parameter of interest, or no simulated events.
    """
    recipe = task.recipe
    model = open_likelihood(task.inputs["likelihood"] / "likelihood", recipe.likelihood)
    data = study_data(model, unblind=recipe.inference.unblind)
    last = recipe.first + recipe.count
    blocks = [
        _block(task, data, first=first, count=min(_BLOCK, last - first)) for first in range(recipe.first, last, _BLOCK)
    ]
    arrays = {name: np.concatenate([np.asarray(block[name]) for block, _ in blocks]) for name in blocks[0][0]}
    facts = [facts for _, facts in blocks]
    write_arrays(task.output / "toys.zarr", arrays, {"format": "toys/1.0.0", "status_codes": STATUS_CODES})
    failed = np.isnan(arrays.get("t", arrays.get("statistic", np.zeros(0))))
    atomic_write_json(
        task.output / "summary.json",
        {
            "format": "toys/1.0.0", "likelihood": recipe.likelihood, "study": recipe.study,
            "purpose": recipe.spec.purpose, "value": recipe.value, "first": recipe.first, "count": recipe.count,
            "failed": int(failed.sum()), "reasons": _reasons(facts), "blinded": list(data.blinded),
            **{name: facts[0][name] for name in _FACTS},
        },
    )  # fmt: skip


def _reasons(facts: Sequence[Mapping[str, object]]) -> list[str]:
    reasons: dict[str, None] = {}
    for entry in facts:
        found = entry["reasons"]
        reasons.update(dict.fromkeys(str(reason) for reason in (found if isinstance(found, list) else [])))
    return list(reasons)


def _block(
    task: Task[ToysRecipe], data: StudyData, *, first: int, count: int
) -> tuple[Mapping[str, np.ndarray], Mapping[str, object]]:
    """Return a block from the checkpoint, or throw it and keep it there."""
    path = task.checkpoint / f"block-{first}-{count}.zarr"
    if path.exists():
        kept = _kept(path)
        if kept is not None:
            _log.info("pseudo-experiments %d to %d were done before", first, first + count - 1)
            return kept
    recipe = task.recipe
    injects = recipe.spec.purpose == "injection"
    block = study_block(
        data, recipe.spec, study=recipe.study, name=recipe.likelihood, value=recipe.value, first=first, count=count,
        origins=open_origins(task.inputs["likelihood"] / "likelihood", recipe.likelihood) if injects else None,
    )  # fmt: skip
    facts = _facts(block)
    if not path.exists():
        write_arrays(path, block.arrays, facts)
    _log.info("pseudo-experiments %d to %d are done", first, first + count - 1)
    return block.arrays, facts


def _kept(path: Path) -> tuple[Mapping[str, np.ndarray], Mapping[str, object]] | None:
    """Return a block of a checkpoint; None where it is damaged: it is then thrown again."""
    try:
        stored = read_arrays(path)
    except IntegrityError as err:
        _log.warning("%s is not used: %s", path.name, err.message)
        return None
    return dict(stored.arrays), stored.attributes


def _facts(block: ToyBlock) -> dict[str, object]:
    return {
        "reasons": list(block.reasons), "theta": dict(block.theta), "sources": dict(block.sources),
        "effective_sample_size": dict(block.effective_sample_size), "expected_events": dict(block.expected),
        "remarks": list(block.remarks), "channels": list(block.channels),
    }  # fmt: skip
