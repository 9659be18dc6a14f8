"""Stage study: what follows from the pseudo-experiments of a study."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from evercast.artifacts.arrays import read_arrays
from evercast.artifacts.files import atomic_write_json, read_json
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.errors import IntegrityError, InvalidInput, NumericalFailure
from evercast.inference.studies import StudyData, sample_of, study_data
from evercast.inference.study_results import (
    coverage_study,
    goodness_study,
    injection_study,
    limit_study,
    neyman_study,
)
from evercast.inference.toy_statistics import ToySample
from evercast.plan.recipes import StudyRecipe, Task

__all__ = ["run"]

_log = logging.getLogger(__name__)

_LIMIT_LEVEL = 0.95
"""Of limits, where the document asks for none of another level."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Toys:
    """All pseudo-experiments at one value."""

    value: float | None
    arrays: dict[str, np.ndarray]
    reasons: tuple[str, ...]
    channels: tuple[str, ...]
    simulation: dict[str, _Drawn]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Of an unbinned channel: how many events are expected, and how many independent ones they are drawn from."""

    expected_events: float
    effective_sample_size: float


def run(task: Task[StudyRecipe]) -> None:
    """Write ``result.json`` (keys in `evercast.inference.study_results`).

    Where a fit of the data, or more than 2 % of the pseudo-experiments failed, the result has the status ``failed``
    with the reason, so that the rest of a run and its report are not held up.

    Raises:
        IntegrityError: an input is missing or damaged.
        InvalidInput: too few values or pseudo-experiments.
    """
    recipe = task.recipe
    data = study_data(
        open_likelihood(task.inputs["likelihood"] / "likelihood", recipe.likelihood), unblind=recipe.inference.unblind
    )
    toys = _gathered(task)
    body: dict[str, object] = {
        "format": "study/1.0.0", "study": recipe.study, "purpose": recipe.spec.purpose,
        "likelihood": recipe.likelihood, "poi": data.poi, "seed": recipe.spec.seed, "nuisance": recipe.spec.nuisance,
        "blinded": list(data.blinded), "data": data.likelihood.model.asimov or "observed",
        "toys": sum(_count(entry)[0] for entry in toys), "failed": sum(_count(entry)[1] for entry in toys),
        "reasons": list(dict.fromkeys(reason for entry in toys for reason in entry.reasons)),
        "simulation": {name: asdict(drawn) for name, drawn in _scarcest(toys).items()},
    }  # fmt: skip
    found: dict[str, object]
    try:
        found = {"status": "ok", "reason": None, **_results(task, data, toys)}
    except NumericalFailure as failure:
        _log.error("the study '%s' failed: %s", recipe.study, failure.message)
        found = {"status": "failed", "reason": failure.message}
    atomic_write_json(task.output / "result.json", {**body, **found})


def _results(task: Task[StudyRecipe], data: StudyData, toys: list[_Toys]) -> dict[str, object]:
    recipe = task.recipe
    spec = recipe.spec
    if spec.purpose == "goodness_of_fit":
        entry = toys[0]
        channels = {name: entry.arrays[f"channel_{number}"] for number, name in enumerate(entry.channels)}
        return goodness_study(data, spec, entry.arrays["statistic"], channels)
    samples = _samples(toys, "")
    if spec.purpose == "neyman":
        return neyman_study(data, spec, samples)
    if spec.purpose == "injection":
        index = data.likelihood.index(data.poi)
        bounds = (float(data.likelihood.lower[index]), float(data.likelihood.upper[index]))
        return injection_study(spec, samples, bounds)
    if spec.purpose == "coverage":
        return coverage_study(spec, samples)
    level = recipe.inference.limit or _LIMIT_LEVEL
    return limit_study(data, samples, _samples(toys, "background_"), confidence_level=level)


def _samples(toys: list[_Toys], prefix: str) -> dict[float, ToySample]:
    return {
        entry.value: sample_of(entry.arrays, prefix=prefix, reasons=entry.reasons)
        for entry in toys
        if entry.value is not None
    }


def _count(entry: _Toys) -> tuple[int, int]:
    """Return how many pseudo-experiments there are, and how many failed."""
    statistics = [entry.arrays[name] for name in ("t", "background_t", "statistic") if name in entry.arrays]
    return sum(len(values) for values in statistics), sum(int(np.isnan(values).sum()) for values in statistics)


def _scarcest(toys: list[_Toys]) -> dict[str, _Drawn]:
    """Return of each channel the value with the fewest independent events per expected one."""
    found: dict[str, _Drawn] = {}
    for entry in toys:
        for name, drawn in entry.simulation.items():
            known = found.get(name, drawn)
            ours = drawn.effective_sample_size * known.expected_events
            found[name] = drawn if ours < known.effective_sample_size * drawn.expected_events else known
    return found


def _gathered(task: Task[StudyRecipe]) -> list[_Toys]:
    """Return the pseudo-experiments of all jobs, value by value, in the order of their numbers."""
    units = sorted((name for name in task.inputs if name.startswith("toys_")), key=lambda name: int(name[5:]))
    if not units:
        raise InvalidInput("the study has no pseudo-experiments", code="toys.none")
    found: dict[float | None, _Toys] = {}
    for unit in units:
        value, part = _read(task.inputs[unit])
        known = found.get(value)
        if known is not None:
            arrays = {name: np.concatenate([known.arrays[name], part.arrays[name]]) for name in known.arrays}
            reasons = tuple(dict.fromkeys((*known.reasons, *part.reasons)))
            part = replace(known, arrays=arrays, reasons=reasons)
        found[value] = part
    return list(found.values())


def _read(folder: Path) -> tuple[float | None, _Toys]:
    summary = read_json(folder / "summary.json")
    if not isinstance(summary, dict) or summary.get("format") != "toys/1.0.0":
        raise IntegrityError("the summary of pseudo-experiments is damaged", code="toys.summary", where=str(folder))
    value = summary["value"]
    arrays = {name: np.asarray(array) for name, array in read_arrays(folder / "toys.zarr").arrays.items()}
    place = None if value is None else float(value)
    sizes, expected = summary["effective_sample_size"], summary["expected_events"]
    simulation = {
        name: _Drawn(expected_events=expected[name], effective_sample_size=size) for name, size in sizes.items()
    }
    return place, _Toys(
        value=place, arrays=arrays, reasons=tuple(summary["reasons"]), channels=tuple(summary["channels"]),
        simulation=simulation,
    )  # fmt: skip
