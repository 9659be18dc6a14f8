"""Recipes of what makes events: fetching, generating, extra stages, selecting; see `evercast.plan.recipes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from evercast.spec.model import Generator, Histogram, PseudoData, Sample, Selection, Source

__all__ = ["IMAGE_INPUT", "CommandRecipe", "EventVariation", "FetchRecipe", "GenerationRecipe", "SelectionRecipe"]

IMAGE_INPUT: Final = "container.image"
"""Input of an extra stage that is its container, where that is a file or has a name.

No input of a document has a dot in its name."""


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
