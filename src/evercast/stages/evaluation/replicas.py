"""Ratios of the processes to the reference, once for each bootstrap replica of the simulation."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.ratios import read_log_ratios
from evercast.errors import IntegrityError
from evercast.networks.bootstrap import poisson_weights
from evercast.plan.recipes import EvaluationRecipe, Task
from evercast.plan.seeds import derive_seed
from evercast.stages.evaluation.checks import normalisation_json, saturated_networks
from evercast.stages.evaluation.inputs import FORMAT, networks, read_tables, write_sample
from evercast.stages.evaluation.ratios import evaluate_process

__all__ = ["evaluate_replicas"]

_log = logging.getLogger(__name__)


def evaluate_replicas(task: Task[EvaluationRecipe]) -> None:
    """Write log_ratio (events, processes, replicas) of every sample, and the checks; errors as the stage.

    Members are combined inside a replica only. Calibration and normalisation are made with the weights of the replica.
    Processes that are not trained again have their nominal log ratios in every replica.
    """
    recipe, ensemble = task.recipe, task.recipe.ensemble
    if ensemble.bootstrap is None:
        raise IntegrityError(f"ensemble {recipe.name!r} declares no bootstrap", code="evaluation.recipe")
    tables = read_tables(task)
    shape = (len(ensemble.processes), ensemble.bootstrap.replicas)
    chosen = ensemble.bootstrap.processes or ensemble.processes
    arrays = {sample: _nominal(task, sample, table, shape) for sample, table in tables.items()}
    norms: dict[str, list[dict[str, float]]] = {process: [] for process in chosen}
    saturated: dict[str, list[dict[str, object]]] = {process: [] for process in chosen}
    for replica in range(ensemble.bootstrap.replicas):
        seed = derive_seed("bootstrap", ensemble.seed, replica)
        factors = {sample: poisson_weights(table.event, seed=seed) for sample, table in tables.items()}
        for process in chosen:
            column = ensemble.processes.index(process)
            trained = networks(
                task,
                f"block.{replica}.{process}.",
                labels={"process": process, "replica": str(replica)},
                members=ensemble.bootstrap.members,
            )
            done = evaluate_process(task, process, tables, trained, factors=factors)
            for sample, combined in done.samples.items():
                arrays[sample][:, column, replica] = combined.log_ratio
            norms[process].append(normalisation_json(done.normalisation, done.log_norm))
            worst = saturated_networks(done.samples, what=f"process {process!r}, replica {replica}")
            saturated[process] += [{"replica": replica, **one} for one in worst]
        _log.info("evaluated replica %d of %d", replica + 1, ensemble.bootstrap.replicas)
    for sample, table in tables.items():
        write_sample(task, sample, table, {"log_ratio": arrays[sample]}, processes=list(ensemble.processes))
    body = {
        process: {
            "normalisation": norms[process],
            "spread": _spread(recipe, arrays, ensemble.processes.index(process)),
            "saturated_networks": saturated[process],
        }
        for process in chosen
    }
    described = {"format": FORMAT, "ensemble": recipe.name, "learned": "replicas"}
    atomic_write_json(task.output / "diagnostics.json", {**described, "processes": body})


def _nominal(
    task: Task[EvaluationRecipe], sample: str, table: EventTable, shape: tuple[int, int]
) -> Float32[np.ndarray, "_events _processes _replicas"]:
    """Return room for the log ratios of all replicas; the nominal ones where not all processes are trained again."""
    found = np.empty((len(table), *shape), dtype=np.float32)
    if "nominal" in task.inputs:
        processes = task.recipe.ensemble.processes
        nominal = read_log_ratios(task.inputs["nominal"], sample, table=table, processes=processes)
        found[:] = nominal[:, :, None]
    return found


def _spread(
    recipe: EvaluationRecipe,
    arrays: Mapping[str, Float32[np.ndarray, "_events processes replicas"]],
    column: int,
) -> dict[str, float]:
    """Return quantiles over the reference events of the standard deviation of the log ratio over replicas."""
    spread = np.concatenate(
        [np.std(arrays[name][:, column].astype(np.float64), axis=1, ddof=1) for name in recipe.ensemble.reference]
    )
    median, ninety, largest = np.quantile(spread, [0.5, 0.9, 1.0])
    return {"median": float(median), "quantile_90": float(ninety), "largest": float(largest)}
