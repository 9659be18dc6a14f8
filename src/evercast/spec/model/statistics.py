"""The statistical model: parameters, processes, systematics, channels, and what is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BinnedChannel",
    "Effect",
    "Inference",
    "KinematicSystematic",
    "LikelihoodSpec",
    "MorphingBasis",
    "NormalisationSystematic",
    "Parameter",
    "Process",
    "SampleSystematic",
    "Systematic",
    "ToyStudy",
    "TwoPointSystematic",
    "UnbinnedChannel",
    "VariedSamples",
    "WeightSystematic",
]


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
    """A component of the model: expected density = coefficient(parameters) x yield x density of `sample`.

    Args:
        coefficient: formula of the parameters; left at its default where a morphing basis has the process as a point.
    """

    sample: str
    coefficient: str = "1"
    title: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphingBasis:
    """Coefficients by linear algebra: f(theta) = phi(theta)^T Phi^-1 with Phi_bk = phi_k(theta_b).

    Args:
        features: formulas phi_k of the parameters, as many as there are points: ``["1", "sqrt(mu)", "mu"]``.
        points: process -> values of the parameters at which its sample was made (the basis points theta_b).
    """

    features: tuple[str, ...]
    points: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisationSystematic:
    """Yield of `processes` times up or down at +-1.

    Args:
        code: HistFactory interpolation code: 4 (polynomial inside, exponential outside) or 1 (exponential).
        parameter: its nuisance parameter; None takes the name of the systematic. Systematics with one parameter are
            fully correlated.
        channels: where it acts; empty: in all channels.
    """

    kind: Literal["normalisation"]
    processes: tuple[str, ...]
    up: float
    down: float
    code: Literal[1, 4] = 4
    parameter: str | None = None
    channels: tuple[str, ...] = ()
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariedSamples:
    """The samples that stand for a process at +1 and at -1."""

    up: str
    down: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSystematic:
    """Varied samples, simulated anew. Kind ``shape`` takes their densities only, ``normalisation+shape`` yields too.

    Args:
        samples: process -> its varied samples, normalised as the document says of each.
    """

    kind: Literal["shape", "normalisation+shape"]
    samples: Mapping[str, VariedSamples]
    parameter: str | None = None
    channels: tuple[str, ...] = ()
    title: str | None = None


Effect = Literal["shape", "normalisation", "normalisation+shape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KinematicSystematic:
    """Objects are changed and the selection is run again, so that events migrate between regions.

    Args:
        up, down: ``collection.property`` -> a factor, or an expression of the item (``pt * 1.01 + 0.2``); collections
            are those of `selection.objects` or of the input; changed before their cuts.
    """

    kind: Literal["kinematic"]
    processes: tuple[str, ...]
    up: Mapping[str, str | float]
    down: Mapping[str, str | float]
    effect: Effect = "normalisation+shape"
    parameter: str | None = None
    channels: tuple[str, ...] = ()
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSystematic:
    """Events keep their place and change their weight.

    Args:
        up, down: expressions of flat columns and observables.
        meaning: ``factor``: the expression multiplies the nominal weight; ``weight``: it replaces it.
    """

    kind: Literal["weight"]
    processes: tuple[str, ...]
    up: str
    down: str
    meaning: Literal["factor", "weight"] = "factor"
    effect: Effect = "normalisation+shape"
    parameter: str | None = None
    channels: tuple[str, ...] = ()
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPointSystematic:
    """One alternative sample per process, reached at +1 (two generators, two shower models).

    Args:
        samples: process -> alternative sample.
        symmetrise: -1 is the mirror image: 2 nominal - alternative in bins, 1 / factor for yields and densities.
            Otherwise nothing changes below 0.
    """

    kind: Literal["two_point"]
    samples: Mapping[str, str]
    symmetrise: bool = False
    effect: Effect = "normalisation+shape"
    parameter: str | None = None
    channels: tuple[str, ...] = ()
    title: str | None = None


Systematic = NormalisationSystematic | SampleSystematic | KinematicSystematic | WeightSystematic | TwoPointSystematic


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedChannel:
    """Poisson counts in bins of an observable.

    Args:
        templates: process -> histogram; a process not named is filled from the selected events of its sample.
        mc_statistics: one constrained factor per bin for the statistics of the templates (HistFactory staterror).
        blind: results that use the observed events of this channel are computed only where that is asked for.
    """

    kind: Literal["binned"]
    region: str
    observable: str
    edges: tuple[float, ...]
    processes: tuple[str, ...]
    templates: Mapping[str, str] = field(default_factory=dict)
    mc_statistics: bool = True
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedChannel:
    """Extended unbinned term with the density ratios of an ensemble, in its region and for its processes.

    Args:
        interpolation: of shape variations per event: ``code4``, or ``log_linear`` (u^alpha above 0, d^-alpha below:
            a different model, faster to evaluate).
        training_statistics: modes of the spread of the log ratios over bootstrap replicas that become nuisance
            parameters of their own; 0: none. The ensemble needs `bootstrap`.
        blind: as in binned channels.
    """

    kind: Literal["unbinned"]
    ensemble: str
    interpolation: Literal["code4", "log_linear"] = "code4"
    training_statistics: int = 0
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodSpec:
    """One likelihood: channels of both kinds that share parameters. A region may stand in one channel only."""

    channels: Mapping[str, BinnedChannel | UnbinnedChannel]
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyStudy:
    """Pseudo-experiments of some likelihoods, in jobs of `toys_per_job`.

    Args:
        purpose: ``neyman``: acceptance intervals of t_mu at `values` and the interval that follows; ``coverage``: how
            often intervals at `confidence_levels` hold the true value; ``injection``: the same, and what is recovered,
            with events weighted by their own generators alone; ``limit``: CLs from toys of q-tilde at `values`;
            ``goodness_of_fit``: the distribution of the test statistic of the fit.
        likelihoods: names; empty: all.
        values: of the parameter of interest; not used by ``goodness_of_fit``.
        toys: pseudo-experiments at each value.
        nuisance: true values of the others: ``profiled`` to the observed data (expected ones where a channel is blind)
            or ``nominal``. Global observables are thrown in either case.
    """

    purpose: Literal["neyman", "coverage", "injection", "limit", "goodness_of_fit"]
    seed: int
    toys: int = 1000
    toys_per_job: int = 250
    values: tuple[float, ...] = ()
    likelihoods: tuple[str, ...] = ()
    confidence_levels: tuple[float, ...] = (0.6827, 0.9545)
    nuisance: Literal["profiled", "nominal"] = "profiled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What is computed from each likelihood.

    Args:
        limit: confidence level of a CLs upper limit (q-tilde, asymptotic); None: no limit is computed.
        impacts: refits with shifted global observables, for every constrained parameter.
        contours: pairs of parameters.
        unblind: observed results of blind channels are computed too.
    """

    scan_points: int = 41
    scan_range: tuple[float, float]
    confidence_level: float = 0.6827
    limit: float | None = None
    impacts: bool = True
    contours: tuple[tuple[str, str], ...] = ()
    toys: Mapping[str, ToyStudy] = field(default_factory=dict)
    unblind: bool = False
