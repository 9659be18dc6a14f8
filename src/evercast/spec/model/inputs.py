"""What the analysis starts from: public files, generated events, samples, published histograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Calibration",
    "EventFile",
    "Generator",
    "Histogram",
    "HistogramTerm",
    "Normalisation",
    "PseudoData",
    "Sample",
    "SlhaFile",
    "Source",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A public file named by URL and sha256; fetched through cache and search path."""

    url: str
    sha256: str
    size_bytes: int
    license: str
    filename: str | None = None
    doi: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlhaFile:
    """A file beside the document, and the digest that its content must have; the content enters the key of the unit."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """Events made by a seeded generator, in `jobs` independent parts of `events / jobs` each.

    The output has the collection ``particles`` (pdg, px, py, pz, energy; GeV; final state) and ``weight``.

    Args:
        slha: masses, mixings and decays (SUSY Les Houches Accord).
        truth: the output also has ``heavy_flavour`` (b and c hadrons before they decay weakly, hadronic taus) and
            ``prompt`` (electrons, muons and photons that come from no hadron).
        output: ``parquet``, or the whole event record as ``hepmc3`` text.
    """

    program: Literal["pythia8"]
    settings: tuple[str, ...]
    events: int
    seed: int
    jobs: int = 1
    keep_pdg: tuple[int, ...] = ()
    slha: SlhaFile | None = field(default=None, metadata={"key": "never"})
    truth: bool = field(default=False, metadata={"key": "unless default"})
    output: Literal["parquet", "hepmc3"] = field(default="parquet", metadata={"key": "unless default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFile:
    """One input of a sample: exactly one of `path`, `source`, `generator`, `stage` is given.

    Args:
        path: file relative to the document.
        source: name in ``sources``.
        generator: name in ``generators``.
        stage: output of an extra stage, ``stage.output``; with a matrix ``stage[axis=value,...].output``.
        sha256: digest of a `path` (optional there; never with the others).
        format: ``auto`` looks at the content.
        tree: name of the TTree or RNTuple in a ROOT file.
        events: about how many events it holds; only the estimates of the plan use it.
        collections: flat columns grouped to a collection: {collection: {property: [column of item 1, item 2, ...]}}.
    """

    path: str | None = None
    source: str | None = None
    generator: str | None = None
    stage: str | None = None
    sha256: str | None = None
    format: Literal["auto", "root", "parquet", "csv", "hepmc", "lhe", "zarr"] = "auto"
    tree: str | None = None
    events: int | None = None
    collections: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Weights multiplied so that `observable` follows a histogram bin by bin (bins merged to `edges`).

    Args:
        shape_of: the histogram whose shape is taken, scaled to the yield of the normalisation; None means the histogram
            of the normalisation itself. For a process whose own simulation has too few events to show a shape.
    """

    observable: str
    edges: tuple[float, ...]
    shape_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """How the weights of a simulated sample become expected events: exactly one of the first three is given.

    Args:
        cross_section_pb: events = cross-section x luminosity x (selected / generated sum of weights).
        yield_events: expected events after the selection, in `region`.
        histogram: name of a histogram; its integral is the yield in `region`.
        region: region in which `yield_events` or `histogram` counts.
        calibration: with `histogram`: its shape is taken too.
        generated_sum_of_weights: overrides the sum read from the files (a skimmed file).
        k_factor: multiplies `cross_section_pb`.
    """

    cross_section_pb: float | None = None
    yield_events: float | None = None
    histogram: str | None = None
    region: str | None = None
    calibration: Calibration | None = None
    generated_sum_of_weights: float | None = None
    k_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Events of one origin. `weight` names the weight column or expression; None means 1 for each event.

    With `may_be_empty` few or no events may pass the selection; else that is an error.
    """

    files: tuple[EventFile, ...]
    role: Literal["simulation", "data"] = "simulation"
    weight: str | None = None
    normalisation: Normalisation | None = None
    title: str | None = None
    may_be_empty: bool = field(default=False, metadata={"key": "unless default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramTerm:
    """One published histogram times luminosity x cross-section x factor / generated."""

    source: str
    object: str
    luminosity_fb: float
    cross_section_pb: float
    generated_events: int
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A published binned distribution: the sum of its terms. Variance = sum of scale^2 x entries."""

    observable: str
    terms: tuple[HistogramTerm, ...]
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoData:
    """Used only when public sources cannot be had and the run allows it: observed events and templates from simulation.

    Args:
        yields: process -> expected events in `region`.
    """

    region: str
    yields: Mapping[str, float]
    seed: int
