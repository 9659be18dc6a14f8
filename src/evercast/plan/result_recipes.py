"""Recipes of what is made from events and networks: likelihoods, fits, toys, checks; see `evercast.plan.recipes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evercast.spec.model import (
    Analysis,
    Ensemble,
    Histogram,
    Inference,
    LikelihoodSpec,
    Metadata,
    MorphingBasis,
    Parameter,
    Process,
    PseudoData,
    Publish,
    Selection,
    Systematic,
    ToyStudy,
)

__all__ = [
    "DiagnosticsRecipe",
    "FitRecipe",
    "ReportRecipe",
    "SerializationRecipe",
    "StudyRecipe",
    "ToysRecipe",
    "TrainingStatisticsRecipe",
]


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
