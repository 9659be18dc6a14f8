"""The log ratios of an ensemble in the units it is made of: single members, bootstrap replicas, their combinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.ratio_networks import read_ratio_networks
from evercast.artifacts.ratios import read_log_ratios, read_replicas
from evercast.inference.weighted_members import HeldOut, WeightedMembers, fit_weighted_members
from evercast.networks.calibration import HistogramCalibration, normalisation
from evercast.networks.combination import combine_logits
from evercast.networks.device import network_devices, network_strategy
from evercast.networks.evaluation import member_log_ratios
from evercast.networks.folds import CrossFitting
from evercast.plan.recipes import Task, TrainingStatisticsRecipe
from evercast.spec.model import Ensemble

__all__ = ["EnsembleRatios", "SampleRatios", "read_ensemble"]

SampleRatios = Mapping[str, Float[np.ndarray, "_events processes"]]
"""Sample -> log ratios of its events in the region of an ensemble."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleRatios:
    """Log ratios of an ensemble on all its samples.

    Args:
        spec: its declaration.
        process_samples: process -> sample, in the order of the processes.
        tables: sample -> events in its region.
        nominal: as the likelihood has them.
        members: sample -> (processes, members, events), out of fold, before combination, calibration, normalisation.
        replicas: sample -> (events, processes, replicas); None without a bootstrap.
        calibrations: of each process, as in the nominal ratios.
    """

    spec: Ensemble
    process_samples: Mapping[str, str]
    tables: Mapping[str, EventTable]
    nominal: SampleRatios
    members: Mapping[str, Float32[np.ndarray, "processes members _events"]]
    replicas: Mapping[str, Float32[np.ndarray, "_events processes replicas"]] | None
    calibrations: tuple[HistogramCalibration | None, ...]

    def replica(self, number: int) -> SampleRatios:
        """Return the log ratios of one bootstrap replica; the nominal ones where there is no bootstrap."""
        if self.replicas is None:
            return self.nominal
        return {sample: ratios[:, :, number] for sample, ratios in self.replicas.items()}

    def drawn(self, members: Int64[np.ndarray, "processes members"]) -> SampleRatios:
        """Return the log ratios of ensembles of these members, made as the nominal ones are."""
        columns = [self._combined(process, drawn) for process, drawn in enumerate(members)]
        return {sample: np.stack([column[sample] for column in columns], axis=1) for sample in self.tables}

    def _combined(
        self, process: int, drawn: Int64[np.ndarray, " members"]
    ) -> dict[str, Float64[np.ndarray, " _events"]]:
        logs = {
            sample: combine_logits(found[process, drawn][:, None], self.spec.combine)[0]
            for sample, found in self.members.items()
        }
        calibration = self.calibrations[process]
        if calibration is not None:
            logs = {sample: calibration(log) for sample, log in logs.items()}
        if not self.spec.normalise:
            return logs
        log_norm = np.log(
            normalisation(
                np.concatenate([logs[sample] for sample in self.spec.reference]),
                np.concatenate([self._share(sample) for sample in self.spec.reference]),
            ).mean
        )
        return {sample: log - log_norm for sample, log in logs.items()}

    def _share(self, sample: str) -> Float64[np.ndarray, " events"]:
        weight = self.tables[sample].weight
        return np.asarray(self.spec.reference[sample] * weight / np.sum(weight))

    def weighted_members(self) -> WeightedMembers:
        """Return the combination of the members with weights fitted on the simulation, out of fold."""
        total = sum(self.spec.reference.values())
        used = dict.fromkeys((*self.spec.reference, *self.process_samples.values()))
        samples = [
            HeldOut(
                features=np.swapaxes(self.members[sample], 1, 2),
                weight=self.tables[sample].weight,
                share=self.spec.reference.get(sample, 0.0) / total,
                processes=tuple(
                    position for position, own in enumerate(self.process_samples.values()) if own == sample
                ),
            )
            for sample in used
        ]
        return fit_weighted_members(samples, processes=len(self.process_samples))

    def of_weights(self, weighted: WeightedMembers) -> SampleRatios:
        """Return the log ratios of weighted members."""
        return {
            sample: np.stack(
                [weighted.log_ratio(process, found[process].T) for process in range(len(self.process_samples))], axis=1
            )
            for sample, found in self.members.items()
        }


def read_ensemble(task: Task[TrainingStatisticsRecipe], name: str) -> EnsembleRatios:
    """Return the ratios of the ensemble `name`.

    Raises:
        IntegrityError: an input is missing or damaged, or blocks do not make up the ensemble.
        NumericalFailure: ``evaluation.not-finite``.
    """
    recipe, spec = task.recipe, task.recipe.ensembles[name]
    process_samples = {process: recipe.process_samples[process] for process in spec.processes}
    samples = dict.fromkeys((*spec.reference, *process_samples.values(), recipe.data_sample))
    tables = {
        sample: read_event_table(task.inputs[f"sample_{sample}"] / "events.zarr").in_region(spec.region)
        for sample in samples
    }
    evaluation = task.inputs[f"evaluation_{name}"]
    members, calibrations = _members(task, name, evaluation, tables)
    replicas = task.inputs.get(f"replicas.{name}")
    return EnsembleRatios(
        spec=spec,
        process_samples=process_samples,
        tables=tables,
        nominal=_each(
            tables, lambda sample, table: read_log_ratios(evaluation, sample, table=table, processes=spec.processes)
        ),
        members=members,
        replicas=None
        if replicas is None
        else _each(
            tables, lambda sample, table: read_replicas(replicas, sample, table=table, processes=spec.processes)
        ),
        calibrations=calibrations,
    )


def _each(
    tables: Mapping[str, EventTable], read: Callable[[str, EventTable], Float32[np.ndarray, "*shape"]]
) -> dict[str, Float32[np.ndarray, "*shape"]]:
    return {sample: read(sample, table) for sample, table in tables.items()}


def _members(
    task: Task[TrainingStatisticsRecipe], name: str, evaluation: Path, tables: Mapping[str, EventTable]
) -> tuple[dict[str, Float32[np.ndarray, "processes members _events"]], tuple[HistogramCalibration | None, ...]]:
    """Return the log ratios of single members, sample by sample, and the calibrations."""
    spec = task.recipe.ensembles[name]
    blocks = {process: _blocks(task.inputs, f"block.{name}.{process}") for process in spec.processes}
    ratios = read_ratio_networks(evaluation, ensemble=name, members=spec.members, blocks=blocks)
    found: dict[str, Float32[np.ndarray, "processes members _events"]] = {}
    for sample, table in tables.items():
        values = table.columns(spec.observables)
        each = np.empty((len(spec.processes), spec.members, len(table)), dtype=np.float32)
        for position, process in enumerate(spec.processes):
            trained = ratios[process].networks
            folds = CrossFitting(folds=trained.folds, seed=int(trained.labels["fold_seed"]))
            seen = table.role == "simulation" or table.drawn
            each[position] = member_log_ratios(
                trained.architecture,
                trained.weights,
                values,
                folds.fold_of(table.event) if seen else None,
                strategy=network_strategy(),
                devices=network_devices(),
            )
        found[sample] = each
    return found, tuple(ratios[process].calibration for process in spec.processes)


def _blocks(inputs: Mapping[str, Path], prefix: str) -> list[Path]:
    """Return the weights of the inputs ``PREFIX.0``, ``PREFIX.1``, ... as far as there are any."""
    found: list[Path] = []
    while (key := f"{prefix}.{len(found)}") in inputs:
        found.append(inputs[key] / "weights.safetensors")
    return found
