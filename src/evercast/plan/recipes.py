"""Recipes: exactly what a stage may know of the document, and the task it is handed.

A unit of work gets its recipe and its inputs, nothing else of the document. The recipe and the keys of the inputs are
hashed to the key of the unit, so a change reruns what depends on it and only that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from evercast.plan.event_recipes import (
    IMAGE_INPUT,
    CommandRecipe,
    EventVariation,
    FetchRecipe,
    GenerationRecipe,
    SelectionRecipe,
)
from evercast.plan.result_recipes import (
    DiagnosticsRecipe,
    FitRecipe,
    ReportRecipe,
    SerializationRecipe,
    StudyRecipe,
    ToysRecipe,
    TrainingStatisticsRecipe,
)
from evercast.spec.model import Ensemble

__all__ = [
    "IMAGE_INPUT",
    "CommandRecipe",
    "DiagnosticsRecipe",
    "Direction",
    "EvaluationRecipe",
    "EventVariation",
    "FetchRecipe",
    "FitRecipe",
    "GenerationRecipe",
    "LearnedVariation",
    "Recipe",
    "ReportRecipe",
    "SelectionRecipe",
    "SerializationRecipe",
    "StageName",
    "StudyRecipe",
    "Task",
    "ToysRecipe",
    "TrainingRecipe",
    "TrainingStatisticsRecipe",
]

R = TypeVar("R")

StageName = Literal[
    "fetch",
    "generation",
    "command",
    "selection",
    "training",
    "evaluation",
    "serialization",
    "fit",
    "toys",
    "study",
    "training_statistics",
    "diagnostics",
    "report",
]

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedVariation:
    """A nuisance parameter at +1 (up) or -1 (down)."""

    parameter: str
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Train the members `members`, all folds, of one process: against the reference, or varied against nominal.

    Inputs: ``sample_NAME`` for the process sample and each sample of the reference (selection units); with `variation`
    ``varied`` (label 1) and ``sample_NAME`` of the process (label 0); with `points` ``varied.PARAMETER.DIRECTION`` for
    each and ``sample_NAME`` of the process.
    Output: ``weights.safetensors`` (leading axes member, fold), ``training.json`` (history, seeds, effective sample
    sizes).

    Args:
        ensemble: as this block sees it: `processes` and `members` count those of the block, `combine`, `normalise`,
            `calibration`, `bootstrap` and (but for `points`) `morphing` have their defaults, so that more members or
            processes leave the trained ones alone.
            With `variation` or `points`, `reference` is the sample of the process alone.
        members: numbers of the members to train, among all of the ensemble.
        variation: learn ln p(x | +-1) / p(x | 0) of the process instead of its ratio to the reference.
        points: learn the polynomial ln g(x | alpha) of the process from these variations (`Morphing`, parametric).
        replica: number of the bootstrap replica whose Poisson(1) weights multiply the event weights; the weight of an
            event is drawn by its identity, so all processes of a replica see one replica of the simulation.
    """

    analysis: str
    name: str
    ensemble: Ensemble
    process: str
    sample: str
    members: tuple[int, ...]
    variation: LearnedVariation | None = None
    points: tuple[LearnedVariation, ...] = ()
    replica: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecipe:
    """Evaluate networks of an ensemble on the events of every sample in its region, one unit for each kind.

    Inputs: ``sample_NAME`` for each of `samples`. Output: ``SAMPLE.zarr`` for each and ``diagnostics.json``. By
    `learned`:

    =============== ======================= ============================== ===========================================
    learned         unit                    training units                 arrays of ``SAMPLE.zarr`` (float32)
    =============== ======================= ============================== ===========================================
    ``ratio``       ``ENSEMBLE``            ``block_PROCESS_K``            log_ratio, member_spread (events, processes)
    ``variation``   ``ENSEMBLE-PARAMETER``  ``block.PROCESS.DIRECTION.K``  log_up, log_down (events, processes)
    ``polynomial``  ``ENSEMBLE-polynomial`` ``block.PROCESS.K``            coefficients (events, terms)
    ``replicas``    ``ENSEMBLE-replicas``   ``block.REPLICA.PROCESS.K``    log_ratio (events, processes, replicas)
    =============== ======================= ============================== ===========================================

    For ``replicas`` of some processes alone also ``nominal`` (evaluation unit), from which the others are taken.
    For ``variation`` also ``varied.PROCESS.DIRECTION`` (selection units). A two-point systematic has events and
    networks at ``up`` only.

    Args:
        parameter: with ``variation``: the nuisance parameter.
        processes: with ``variation`` and ``polynomial``: the processes concerned; else those of the ensemble.
        points: with ``polynomial``: process -> the variations it was learned from.
        process_samples: process -> sample.
        roles: sample -> simulation | data.
    """

    name: str
    ensemble: Ensemble
    process_samples: Mapping[str, str]
    samples: tuple[str, ...]
    roles: Mapping[str, Literal["simulation", "data"]]
    learned: Literal["ratio", "variation", "polynomial", "replicas"] = "ratio"
    parameter: str | None = None
    processes: tuple[str, ...] = ()
    points: Mapping[str, tuple[LearnedVariation, ...]] = field(default_factory=dict)


Recipe = (
    FetchRecipe
    | GenerationRecipe
    | CommandRecipe
    | SelectionRecipe
    | TrainingRecipe
    | EvaluationRecipe
    | SerializationRecipe
    | FitRecipe
    | ToysRecipe
    | StudyRecipe
    | TrainingStatisticsRecipe
    | DiagnosticsRecipe
    | ReportRecipe
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[R]):
    """What a stage function is called with.

    Args:
        recipe: what to do.
        inputs: name -> path (a unit's folder, or a file).
        output: an empty folder to write in; it becomes the unit's folder when the stage returns.
        checkpoint: a folder that survives a kill; emptied after success.
        threads: cores the job may use.
        gpus: GPUs that the job was given; 0 means that it computes on the CPU.
        compiled: folder for compiled functions; None takes the one that all units of a run share.
    """

    recipe: R
    inputs: Mapping[str, Path]
    output: Path
    checkpoint: Path
    threads: int = 1
    gpus: int = 0
    compiled: Path | None = None

    def compiled_functions(self) -> Path:
        """Return the folder in which compiled functions are kept."""
        return self.compiled or self.checkpoint.parents[1] / ".compiled"
