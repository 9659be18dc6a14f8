"""The whole document and who made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evercast.spec.model.events import Selection
from evercast.spec.model.inputs import Generator, Histogram, PseudoData, Sample, Source
from evercast.spec.model.learning import Ensemble
from evercast.spec.model.replay import Expected, Tolerances
from evercast.spec.model.statistics import (
    Inference,
    LikelihoodSpec,
    MorphingBasis,
    Parameter,
    Process,
    Systematic,
)
from evercast.spec.model.work import CommandStage, Environment, Publish

__all__ = ["Analysis", "Author", "Metadata", "Reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made an analysis: a person (``Family name, Given names``), a group or a collaboration."""

    name: str
    affiliation: str | None = None
    orcid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A work to cite: title and any of doi, arxiv, url."""

    title: str
    doi: str | None = None
    arxiv: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Whose data, who analysed them, and under which licence the result may be used."""

    experiment: str
    sqrt_s_tev: tuple[float, ...]
    luminosity_fb: float
    license: str
    description: str | None = None
    authors: tuple[Author, ...] = field(default=(), metadata={"key": "unless default"})
    contacts: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The whole document."""

    schema: Literal["analysis/1.0.0"]
    name: str
    title: str
    metadata: Metadata
    environments: Mapping[str, Environment] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    generators: Mapping[str, Generator] = field(default_factory=dict)
    stages: Mapping[str, CommandStage] = field(default_factory=dict)
    samples: Mapping[str, Sample]
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    selection: Selection
    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Process]
    morphing_bases: Mapping[str, MorphingBasis] = field(default_factory=dict)
    systematics: Mapping[str, Systematic] = field(default_factory=dict)
    ensembles: Mapping[str, Ensemble] = field(default_factory=dict)
    likelihoods: Mapping[str, LikelihoodSpec]
    inference: Inference
    publish: Publish = field(default_factory=Publish)
    pseudo_data: PseudoData | None = None
    expected: Mapping[str, Expected] = field(default_factory=dict)
    tolerances: Tolerances = field(default_factory=Tolerances, metadata={"key": "never"})
