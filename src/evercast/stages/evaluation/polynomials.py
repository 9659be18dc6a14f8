"""Coefficients of the polynomials ln g(x | alpha) of the processes in the nuisance parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights
from evercast.errors import NumericalFailure
from evercast.networks.architecture import Term
from evercast.networks.calibration import normalisation
from evercast.networks.device import network_devices, network_strategy
from evercast.networks.diagnostics import Sides
from evercast.networks.evaluation import ensemble_coefficients
from evercast.networks.polynomial import Point, log_morph, term_powers
from evercast.plan.recipes import EvaluationRecipe, LearnedVariation, Task
from evercast.stages.evaluation.checks import closures, side_checks
from evercast.stages.evaluation.inputs import FORMAT, folds_of, networks, read_table, read_tables, write_sample

__all__ = ["evaluate_polynomials"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Polynomial:
    """delta_A of one process on all samples, and its checks."""

    terms: tuple[Term, ...]
    samples: Mapping[str, Float64[np.ndarray, "_events _terms"]]
    checks: Mapping[str, object]


def evaluate_polynomials(task: Task[EvaluationRecipe]) -> None:
    """Write coefficients (events, terms of all processes) of every sample, and the checks; errors as the stage.

    The attribute ``terms`` names process and powers of each column, [[parameter, power], ...].
    """
    recipe = task.recipe
    tables = read_tables(task)
    learned = {process: _polynomial(task, process, tables) for process in recipe.processes}
    columns = [
        {"process": process, "powers": [[name, power] for name, power in term]}
        for process, found in learned.items()
        for term in found.terms
    ]
    for sample, table in tables.items():
        joined = np.concatenate([found.samples[sample] for found in learned.values()], axis=1)
        write_sample(task, sample, table, {"coefficients": joined}, processes=list(recipe.processes), terms=columns)
    body = {process: dict(found.checks) for process, found in learned.items()}
    described = {"format": FORMAT, "ensemble": recipe.name, "learned": "polynomial"}
    atomic_write_json(task.output / "diagnostics.json", {**described, "processes": body})


def _polynomial(task: Task[EvaluationRecipe], process: str, tables: Mapping[str, EventTable]) -> _Polynomial:
    recipe, ensemble = task.recipe, task.recipe.ensemble
    points = recipe.points[process]
    labels = {"process": process, "points": " ".join(f"{point.parameter}:{point.direction}" for point in points)}
    trained = networks(task, f"block.{process}.", labels=labels, members=ensemble.morphing.members or ensemble.members)
    found = {sample: _coefficients(task, trained, table, process) for sample, table in tables.items()}
    _log.info("evaluated %d networks of process %s", len(trained.members) * trained.folds, process)
    terms = trained.architecture.terms
    nominal = tables[recipe.process_samples[process]]
    own = found[nominal.sample]
    constants, means = _constants(own, nominal, terms, points, process=process)
    shifted = {sample: values - constants for sample, values in found.items()}
    checks: dict[str, object] = {
        "terms": [[[name, power] for name, power in term] for term in terms],
        "constants": constants.tolist(),
        "points": {
            f"{point.parameter}.{point.direction}": {
                "normalisation": mean,
                **_point_checks(task, trained, process, point, nominal, constants, shifted[nominal.sample]),
            }
            for point, mean in zip(points, means, strict=True)
        },
    }
    return _Polynomial(terms=terms, samples=shifted, checks=checks)


def _coefficients(
    task: Task[EvaluationRecipe], trained: EnsembleWeights, table: EventTable, process: str
) -> Float64[np.ndarray, "events terms"]:
    try:
        return ensemble_coefficients(
            trained.architecture,
            trained.weights,
            table.columns(task.recipe.ensemble.observables),
            folds_of(trained, table),
            strategy=network_strategy(),
            devices=network_devices(),
        )
    except NumericalFailure as err:
        message = f"polynomial of process {process!r}, sample {table.sample!r}: {err.message}"
        raise NumericalFailure(message, code=err.code, hint=err.hint) from err


def _alpha(point: LearnedVariation) -> Point:
    return {point.parameter: 1.0 if point.direction == "up" else -1.0}


def _constants(
    coefficients: Float64[np.ndarray, "events terms"],
    nominal: EventTable,
    terms: Sequence[Term],
    points: Sequence[LearnedVariation],
    *,
    process: str,
) -> tuple[Float64[np.ndarray, " terms"], list[dict[str, float]]]:
    """Return constants of the coefficients that make E_nominal[g] = 1 at the base points, and E before.

    They are the least-squares solution where there are more base points than terms.
    """
    norms = [normalisation(log_morph(coefficients, terms, _alpha(point)), nominal.weight) for point in points]
    for point, norm in zip(points, norms, strict=True):
        if not norm.mean > 0.0:
            raise NumericalFailure(
                f"process {process!r}, {point.parameter!r} {point.direction}: the mean of the varied over the nominal "
                f"density is {norm.mean:.6g} over the nominal events; expected about 1",
                code="evaluation.normalisation",
                hint="the negative weights outweigh the others where the variation is large; use more events",
            )
    logs = np.log([norm.mean for norm in norms])
    powers = term_powers(terms, [_alpha(point) for point in points])
    constants = np.linalg.lstsq(powers, logs, rcond=None)[0]
    removed = powers @ constants
    means = [
        {"mean": norm.mean, "error": norm.error, "log_norm": float(taken)}
        for norm, taken in zip(norms, removed, strict=True)
    ]
    return constants, means


def _point_checks(
    task: Task[EvaluationRecipe],
    trained: EnsembleWeights,
    process: str,
    point: LearnedVariation,
    nominal: EventTable,
    constants: Float64[np.ndarray, " terms"],
    own: Float64[np.ndarray, "events terms"],
) -> dict[str, object]:
    """Return the checks at a base point that need the varied events; nothing where they are no input."""
    key = f"varied.{process}.{point.parameter}.{point.direction}"
    if key not in task.inputs:
        return {}
    what = f"process {process!r}, varied by {point.parameter!r} {point.direction}"
    varied = read_table(task, key, what=what)
    moved = _coefficients(task, trained, varied, process) - constants
    terms = trained.architecture.terms
    sides = Sides(
        process=log_morph(moved, terms, _alpha(point)),
        process_weight=varied.weight,
        reference=log_morph(own, terms, _alpha(point)),
        reference_weight=nominal.weight,
    )
    return {**side_checks(sides), "closure": closures(sides, varied, [nominal])}
