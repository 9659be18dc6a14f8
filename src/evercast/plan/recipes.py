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
    NormalisationSystematic,
    Parameter,
    Process,
    PseudoData,
    Publish,
    Sample,
    Selection,
    Source,
)

__all__ = [
    "IMAGE_INPUT",
    "CommandRecipe",
    "EvaluationRecipe",
    "FetchRecipe",
    "FitRecipe",
    "GenerationRecipe",
    "Recipe",
    "ReportRecipe",
    "SelectionRecipe",
    "SerializationRecipe",
    "StageName",
    "Task",
    "TrainingRecipe",
]

R = TypeVar("R")

IMAGE_INPUT: Final = "container.image"
"""Input of an extra stage that is its container, where that is a file; no input of a document has a dot in its name."""

StageName = Literal[
    "fetch", "generation", "command", "selection", "training", "evaluation", "serialization", "fit", "report"
]


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
        container: reference of an image in a registry, with its digest. An image that is a file is the input
            ``container.image`` instead, and enters the key by its content.
    """

    name: str
    run: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    point: Mapping[str, str | int | float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRecipe:
    """Select the events of one sample.

    Inputs: ``file_0``, ``file_1``... for the files of the sample in order, the file itself or, of a generator, the
    folder of the unit (several parts are ``file_0_0``, ``file_0_1``...), and ``histogram_0``... for the terms
    of its normalisation histogram, ``shape_0``... for those of the histogram whose shape it takes.
    Output: ``events.zarr``, ``summary.json``.

    Args:
        pseudo: with role data: events are drawn from the selected simulation instead (inputs ``process_NAME``); with
            role simulation: histogram normalisation is replaced by the yield that it declares for the sample (with seed
            0 and no other yields, so that neither reaches the networks).
        processes: process -> sample, needed with `pseudo`; with role simulation those of the sample.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Train the members `members`, all folds, of one process against the reference.

    Inputs: ``sample_NAME`` for the process sample and each sample of the reference (selection units).
    Output: ``weights.safetensors`` (leading axes member, fold), ``training.json`` (history, seeds, effective sample
    sizes).

    Args:
        ensemble: as this block sees it: `processes` and `members` count those of the block, `combine`, `normalise` and
            `calibration` have their defaults, so that more members or processes leave the trained ones alone.
        members: numbers of the members to train, among all of the ensemble.
    """

    analysis: str
    name: str
    ensemble: Ensemble
    process: str
    sample: str
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecipe:
    """Evaluate all networks of an ensemble on the events of every sample in its region.

    Inputs: ``sample_NAME`` for each of `samples`, ``block_PROCESS_K`` for the training units.
    Output: ``SAMPLE.zarr`` for each, ``diagnostics.json``.

    Args:
        process_samples: process -> sample.
        roles: sample -> simulation | data.
    """

    name: str
    ensemble: Ensemble
    process_samples: Mapping[str, str]
    samples: tuple[str, ...]
    roles: Mapping[str, Literal["simulation", "data"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializationRecipe:
    """Build the likelihoods and write them as they are published.

    Inputs: ``sample_NAME`` (selection units), ``evaluation_NAME`` (evaluation units), ``block.ENSEMBLE.PROCESS.K``
    (training units; names hold no dots), ``source_NAME`` (fetched files of template histograms). Output:
    ``likelihood/`` as it appears in the run folder.
    """

    analysis: str
    title: str
    metadata: Metadata
    selection: Selection
    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Process]
    systematics: Mapping[str, NormalisationSystematic]
    ensembles: Mapping[str, Ensemble]
    histograms: Mapping[str, Histogram]
    likelihoods: Mapping[str, LikelihoodSpec]
    publish: Publish
    data_sample: str
    pseudo: PseudoData | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecipe:
    """Fit one likelihood. Inputs: ``likelihood`` (the serialization unit). Output: ``result.json``."""

    likelihood: str
    inference: Inference


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
    """

    recipe: R
    inputs: Mapping[str, Path]
    output: Path
    checkpoint: Path
    threads: int = 1
