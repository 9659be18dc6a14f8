"""Recipes: exactly what a stage may know of the document, and the task it is handed.

A unit of work gets its recipe and its inputs, nothing else of the document. The recipe and the keys of the inputs are
hashed to the key of the unit, so a change reruns what depends on it and only that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from evercast.spec.model import (
    Analysis,
    Ensemble,
    Generator,
    Histogram,
    Inference,
    LikelihoodSpec,
    Metadata,
    MorphingBasis,
    Parameter,
    Process,
    PseudoData,
    Publish,
    Sample,
    Selection,
    Source,
    Systematic,
    ToyStudy,
)

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

IMAGE_INPUT: Final = "container.image"
"""Input of an extra stage that is its container, where that is a file or has a name.

No input of a document has a dot in its name."""

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
class FetchRecipe:
    """Bring one public file; output: the file under its own name. Digest and name of the file alone enter the key."""

    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecipe:
    """Make part `part` of `generator.jobs`; output: ``events.parquet`` and ``summary.json``."""

    name: str
    generator: Generator
    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecipe:
    """Run one point of the matrix of an extra stage, or its reduce step.

    Inputs: those of `inputs` by name; for a reduce step also ``all.OUTPUT.K`` for output OUTPUT of job K of the matrix.

    Args:
        files: name of an input -> sha256 of the file beside the document (its content enters the key).
        point: axis -> value; empty for the reduce step.
        container: reference of an image in a registry, with its digest. An image that is a file or has a name is the
            input ``container.image`` instead, and enters the key by its content.
    """

    name: str
    run: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    point: Mapping[str, str | int | float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventVariation:
    """What a varied selection changes.

    Args:
        transform: ``collection.property`` -> a factor or an expression of the item.
        weight: expression of columns and observables; None leaves the weights as they are.
        meaning: whether `weight` multiplies the nominal weight or replaces it.
        name: the systematic and its direction, for messages and the cut flow: ``jes up``.
    """

    transform: Mapping[str, str | float] = field(default_factory=dict)
    weight: str | None = None
    meaning: Literal["factor", "weight"] = "factor"
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRecipe:
    """Select the events of one sample, or select them again with a variation (unit ``SAMPLE-SYSTEMATIC-DIRECTION``).

    Inputs: ``file_0``, ``file_1``... for the files of the sample in order, the file itself or, of a generator, the
    folder of the unit (several parts are ``file_0_0``, ``file_0_1``...), and ``histogram_0``... for the terms
    of its normalisation histogram, ``shape_0``... for those of the histogram whose shape it takes; with `variation`
    also ``nominal``, the unit of the unvaried selection: a varied sample is normalised by the factors of the nominal
    one, so that a change of the yield remains visible.
    Output: ``events.zarr``, ``summary.json``.

    Args:
        pseudo: with role data: events are drawn from the selected simulation instead (inputs ``process_NAME``); with
            role simulation: histogram normalisation is replaced by the yield that it declares for the sample (with seed
            0 and no other yields, so that neither reaches the networks).
        processes: process -> sample, needed with `pseudo`; with role simulation those of the sample.
        variation: None for the nominal selection.
    """

    name: str
    sample: Sample
    selection: Selection
    luminosity_fb: float
    sqrt_s_tev: tuple[float, ...]
    histogram: Histogram | None = None
    shape: Histogram | None = None
    pseudo: PseudoData | None = None
    processes: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    variation: EventVariation | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializationRecipe:
    """Build the likelihoods and write them as they are published.

    Inputs: ``sample_NAME`` (selection units), ``evaluation_NAME`` (evaluation units), ``block.ENSEMBLE.PROCESS.K``
    (training units; names hold no dots), ``source_NAME`` (fetched files of template histograms);
    ``varied.SYSTEMATIC.PROCESS.DIRECTION`` (selection units of every systematic but ``normalisation``; for
    ``two_point`` only ``up``), ``variation.ENSEMBLE.PARAMETER``, ``polynomial.ENSEMBLE``, ``replicas.ENSEMBLE``
    (evaluation units; replicas where a channel takes nuisance parameters from them),
    ``variation_block.ENSEMBLE.PARAMETER.PROCESS.DIRECTION.K``, ``polynomial_block.ENSEMBLE.PROCESS.K`` (training
    units). Output: ``likelihood/`` as it appears in the run folder. Unless ``unblind``, the exported workspace holds
    expected counts in blind channels.
    """

    analysis: str
    title: str
    metadata: Metadata
    selection: Selection
    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Process]
    morphing_bases: Mapping[str, MorphingBasis]
    systematics: Mapping[str, Systematic]
    ensembles: Mapping[str, Ensemble]
    histograms: Mapping[str, Histogram]
    likelihoods: Mapping[str, LikelihoodSpec]
    publish: Publish
    data_sample: str
    pseudo: PseudoData | None = None
    unblind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecipe:
    """Fit one likelihood. Inputs: ``likelihood`` (the serialization unit). Output: ``result.json``."""

    likelihood: str
    inference: Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class ToysRecipe:
    """Throw and fit some pseudo-experiments of one likelihood at one value of the parameter of interest.

    Inputs: ``likelihood`` (serialization). Output: ``toys.zarr``, ``summary.json``.

    Args:
        study: name of the study.
        spec: as this job sees it: one value, one likelihood and as many pseudo-experiments as the job has, so that more
            of them leave those alone that are there already.
        value: true value of the parameter of interest; None for ``goodness_of_fit``.
        first, count: numbers of the pseudo-experiments; the seed of one derives from study, value and its number.
    """

    likelihood: str
    study: str
    spec: ToyStudy
    inference: Inference
    value: float | None
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecipe:
    """Put the pseudo-experiments of a study together.

    Inputs: ``likelihood``, ``toys_0``, ``toys_1``... in the order of values and numbers. Output:
    ``result.json``.
    """

    likelihood: str
    study: str
    spec: ToyStudy
    inference: Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatisticsRecipe:
    """Uncertainty of one likelihood from the finite training samples, all estimators that its ensembles allow.

    Inputs: ``likelihood``, and for each ensemble ``evaluation_NAME``, ``replicas.NAME`` (where it has a
    bootstrap), ``block.NAME.PROCESS.K``, ``sample_NAME`` (selection units). Output: ``result.json``.
    """

    likelihood: str
    spec: LikelihoodSpec
    ensembles: Mapping[str, Ensemble]
    process_samples: Mapping[str, str]
    data_sample: str
    inference: Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsRecipe:
    """All checks of a run. Inputs: every unit but the report, under ``STAGE/UNIT-NAME``.

    Output: ``diagnostics.json``.
    """

    analysis: Analysis


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRecipe:
    """Write the report.

    Inputs: every unit, under ``STAGE/UNIT-NAME``. Output: ``report.html``, ``fit.json``, ``provenance.json``.
    """

    analysis: Analysis
    pseudo: bool = False


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
