"""The checked analysis document as frozen objects.

`analysis.schema.json` is the truth; these dataclasses mirror it key by key and a test holds the two together.
Optional keys carry the same default here and in the schema. Mappings keep the order of the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Analysis",
    "BinnedChannel",
    "BinnedPublication",
    "Calibration",
    "Candidates",
    "CommandStage",
    "Ensemble",
    "Environment",
    "EventFile",
    "Expected",
    "Generator",
    "Histogram",
    "HistogramTerm",
    "Inference",
    "LikelihoodSpec",
    "Metadata",
    "Mlp",
    "Normalisation",
    "NormalisationSystematic",
    "Objects",
    "Observable",
    "Parameter",
    "Process",
    "PseudoData",
    "Publish",
    "Reduce",
    "Reference",
    "Region",
    "Resources",
    "Sample",
    "Selection",
    "Source",
    "Training",
    "UnbinnedChannel",
    "UnbinnedPublication",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A work to cite: title and any of doi, arxiv, url."""

    title: str
    doi: str | None = None
    arxiv: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Who measured what, and under which licence the result may be used."""

    experiment: str
    sqrt_s_tev: tuple[float, ...]
    luminosity_fb: float
    license: str
    description: str | None = None
    contacts: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where stages run; `container` None means the Python environment of evercast itself."""

    container: str | None = None


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
class Generator:
    """Events made by a seeded generator, in `jobs` independent parts of `events / jobs` each.

    The output has the collection ``particles`` (pdg, px, py, pz, energy; GeV; final state) and ``weight``.
    """

    program: Literal["pythia8"]
    settings: tuple[str, ...]
    events: int
    seed: int
    jobs: int = 1
    keep_pdg: tuple[int, ...] = ()


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
        collections: flat columns grouped to a collection: {collection: {property: [column of item 1, item 2, ...]}}.
    """

    path: str | None = None
    source: str | None = None
    generator: str | None = None
    stage: str | None = None
    sha256: str | None = None
    format: Literal["auto", "root", "parquet", "csv", "hepmc", "lhe", "zarr"] = "auto"
    tree: str | None = None
    collections: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Weights multiplied so that `observable` follows the histogram bin by bin (bins merged to `edges`)."""

    observable: str
    edges: tuple[float, ...]


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
    """Events of one origin. `weight` names the weight column or expression; None means 1 for each event."""

    files: tuple[EventFile, ...]
    role: Literal["simulation", "data"] = "simulation"
    weight: str | None = None
    normalisation: Normalisation | None = None
    title: str | None = None


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
class Objects:
    """A collection built from another one.

    Args:
        collection: the collection it is taken from, e.g. ``particles``.
        pdg: kept PDG identities, absolute values; empty keeps all.
        pt_resolution: relative resolution as an expression of ``pt``, ``eta``, ``energy``, ``pdg`` of the item;
            simulation is smeared with it, data is not.
        cut: expression of the item (after smearing) that must be true.
        sort_by: ``pt`` orders the items with the largest first.
    """

    collection: str
    pdg: tuple[int, ...] = ()
    pt_resolution: str | None = None
    cut: str | None = None
    sort_by: Literal["pt", "none"] = "pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Disjoint pairs of same-flavour opposite-charge items, nearest to `mass_target_gev` first.

    A candidates entry NAME gives three aligned collections: NAME (four-vector sums), NAME_negative and NAME_positive
    (the items). The first pair is the one of all pairs nearest to the target; the next is, of the pairs disjoint from
    it, the one with the largest scalar sum of pt. Events with fewer pairs than `count` have fewer entries.
    """

    pairs_of: str
    mass_target_gev: float
    count: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Observable:
    """A column per event. `label` is for plots (may hold LaTeX), `unit` is 1 for a pure number."""

    expression: str
    unit: str
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Events for which `cut` holds; `label` is for plots."""

    cut: str
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Objects, then candidates, then definitions, then steps of the cut flow, then observables, then regions.

    Args:
        preselection: named cuts in order; each is a line of the cut flow. An event that fails is gone, so that later
            expressions may index without care (``leptons[3]`` after ``count(leptons) == 4``). Cuts may use objects,
            candidates and columns, not observables.
        columns: flat columns of the input files that cuts, observables and regions may use beside objects.
    """

    objects: Mapping[str, Objects] = field(default_factory=dict)
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    preselection: Mapping[str, str] = field(default_factory=dict)
    observables: Mapping[str, Observable]
    regions: Mapping[str, Region]
    columns: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the model. `constraint` normal means unit Gaussian around global observable 0."""

    initial: float = 0.0
    bounds: tuple[float, float] | None = None
    poi: bool = False
    constraint: Literal["none", "normal"] = "none"
    unit: str = "1"
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A component of the model: expected density = coefficient(parameters) x yield x density of `sample`."""

    sample: str
    coefficient: str = "1"
    title: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisationSystematic:
    """Yield of `processes` times up or down at +-1; HistFactory interpolation code 4."""

    kind: Literal["normalisation"]
    processes: tuple[str, ...]
    up: float
    down: float
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """Multi-layer perceptron: `depth` hidden layers of `width`."""

    kind: Literal["mlp"]
    width: int = 64
    depth: int = 3
    activation: Literal["silu", "relu", "tanh", "gelu"] = "silu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How one network is trained; early stopping keeps the weights of the best validation loss."""

    epochs: int = 50
    batch: int = 1024
    optimiser: Literal["adamw", "nadam", "adam"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["cosine", "step", "exponential", "constant"] = "cosine"
    patience: int | None = 10
    validation_fraction: float = 0.15
    max_events: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Networks that learn the density ratio of each process to the reference mixture, in one region.

    Args:
        region: the region whose events are used.
        processes: processes with a network each.
        reference: sample -> weight; p_ref is the weighted mean of their normalised densities.
        observables: network inputs, in order.
        members: networks per process and fold, from different seeds.
        folds: K of the cross-fitting; an event of fold k is evaluated by networks that did not train on fold k.
        members_per_block: members trained by one job; None lets the plan choose.
        combine: members are combined as the mean of log ratios or as the log of the mean ratio.
        normalise: divide each ratio by its mean over the reference, so that E_ref[r] = 1 holds exactly.
        calibration: histogram calibration of the score of each process, or none.
    """

    region: str
    processes: tuple[str, ...]
    reference: Mapping[str, float]
    observables: tuple[str, ...]
    model: Mlp
    training: Training
    seed: int
    members: int = 4
    folds: int = 4
    members_per_block: int | None = None
    combine: Literal["mean_log_ratio", "mean_ratio"] = "mean_log_ratio"
    normalise: bool = True
    calibration: Literal["none", "histogram"] = "none"
    negative_weights: Literal["signed", "reject"] = "signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedChannel:
    """Poisson counts in bins of an observable.

    Args:
        templates: process -> histogram; a process not named is filled from the selected events of its sample.
        mc_statistics: one constrained factor per bin for the statistics of the templates (HistFactory staterror).
    """

    kind: Literal["binned"]
    region: str
    observable: str
    edges: tuple[float, ...]
    processes: tuple[str, ...]
    templates: Mapping[str, str] = field(default_factory=dict)
    mc_statistics: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedChannel:
    """Extended unbinned term with the density ratios of an ensemble, in its region and for its processes."""

    kind: Literal["unbinned"]
    ensemble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodSpec:
    """One likelihood: channels of both kinds that share parameters. A region may stand in one channel only."""

    channels: Mapping[str, BinnedChannel | UnbinnedChannel]
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What is computed from each likelihood."""

    scan_points: int = 41
    scan_range: tuple[float, float]
    confidence_level: float = 0.6827


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Requested per job; the plan estimates what is not given."""

    cores: int = 1
    memory_mb: int = 1000
    runtime_min: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """Runs once after all jobs of the matrix; ``{all.NAME}`` is the list of the outputs NAME of every job."""

    run: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStage:
    """An extra stage: any program. ``{inputs.x}``, ``{outputs.y}``, ``{matrix.z}`` are replaced, quoted for the shell.

    Args:
        inputs: name -> file: ``path/relative/to/document``, ``source:NAME``, ``stage:STAGE.OUTPUT``.
        outputs: name -> file name inside the output folder of the job.
        matrix: axis -> values; one job for each point of the cartesian product.
    """

    run: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str]
    matrix: Mapping[str, tuple[str | int | float, ...]] = field(default_factory=dict)
    reduce: Reduce | None = None
    resources: Resources = field(default_factory=Resources)
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedPublication:
    """Write this likelihood as ``likelihood/workspace.json``; it must be expressible as HistFactory."""

    likelihood: str
    measurement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedPublication:
    """Write this likelihood as ``likelihood/neural``; disclosure says how much of the events is given away."""

    likelihood: str
    disclosure: Literal["events", "ratios", "networks"] = "networks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """What comes out of a run."""

    pyhf: BinnedPublication | None = None
    neural_likelihood: UnbinnedPublication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoData:
    """Used only when public sources cannot be had and the run allows it: observed events and templates from simulation.

    Args:
        yields: process -> expected events in `region`.
    """

    region: str
    yields: Mapping[str, float]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A number that a replay must give, within `abs` or `rel`; keys are ``likelihood.quantity``: ``binned.mu_hat``."""

    value: float
    abs: float | None = None
    rel: float | None = None


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
    systematics: Mapping[str, NormalisationSystematic] = field(default_factory=dict)
    ensembles: Mapping[str, Ensemble] = field(default_factory=dict)
    likelihoods: Mapping[str, LikelihoodSpec]
    inference: Inference
    publish: Publish = field(default_factory=Publish)
    pseudo_data: PseudoData | None = None
    expected: Mapping[str, Expected] = field(default_factory=dict)
