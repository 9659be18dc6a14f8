"""The answer to a request against an archived run, as frozen data: what `write_neural_response` renders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = [
    "Closure", "ClsAt", "DomainShare", "Fitted", "Injected", "Limits", "ModelPointAnswer", "NeuralAnswers",
    "NeymanUpper", "ObservableClosure", "ObservableShare", "Origin", "ParametrisationAnswer", "ProcessAnswer",
    "TrainingStatistics", "UnitUse",
]  # fmt: skip

Origin = Literal["archive", "present", "computed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitUse:
    """A unit of the derived run: equal keys mean equal results.

    Args:
        origin: ``archive``, copied out of it by its digests; ``present``, made for an earlier point or submission;
            ``computed``, made now.
    """

    id: str
    stage: str
    name: str
    key: str
    origin: Origin
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableShare:
    """The weighted share of a signal beyond the range of an observable in the reference sample."""

    name: str
    unit: str
    low: float
    high: float
    below: float
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainShare:
    """How much of a signal lies where the networks of an ensemble were not trained; shares are weighted, 0 to 1.

    Args:
        events: of the signal in the region of the ensemble; `effective_events` (sum w)^2 / sum w^2.
        outside: beyond the range of an observable, or far from all reference events (outside the support).
        outside_range, outside_support: either of the two alone.
        expected_rate: share of held-out reference events outside the support: what `outside_support` is of events that
            belong there; None where it is not known.
        largest: share above which the request is refused.
        source: where the domain was taken from.
    """

    ensemble: str
    region: str
    events: int
    effective_events: float
    outside: float
    outside_range: float
    outside_support: float
    expected_rate: float | None
    largest: float
    observables: tuple[ObservableShare, ...]
    source: Literal["units", "bundle"] = "units"

    @property
    def refused(self) -> bool:
        """Whether too much of the signal is outside."""
        return self.outside > self.largest

    @property
    def flagged(self) -> bool:
        """Whether a part of the signal is outside beyond what the test says of the training itself."""
        return self.outside > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fit: best value, interval at 68.27 % (as the run declares it), and all parameters.

    Args:
        data: ``observed``, or how the data were made.
        parameter: of interest.
        interval: (low, high) of each part.
        significance: of the absence of the signal, standard deviations.
        parameters: name -> (value, uncertainty or None).
        problems: what a reader must know.
    """

    data: str
    parameter: str
    status: str
    value: float
    uncertainty: float | None
    interval: tuple[tuple[float, float], ...] = ()
    confidence_level: float | None = None
    significance: float | None = None
    parameters: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper limit on the parameter by CLs, asymptotic (q-tilde); `expected` without signal, at -2 to +2 sigma."""

    confidence_level: float
    observed: float | None
    expected: tuple[float, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClsAt:
    """CLs of one value, asymptotic; `observed` is None where the data were not looked at."""

    value: float
    observed: float | None
    expected: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeymanUpper:
    """Interval by the Neyman construction with t_mu; with the parameter bounded at 0 its upper end is a limit.

    Args:
        low, high: ends; `open_low` where the lowest value is accepted, `open_high` where the largest one is.
        asymptotic_high: the upper end with the quantile of chi2 instead.
        toys: at each of `values`.
    """

    confidence_level: float
    low: float | None
    high: float | None
    open_low: bool
    open_high: bool
    asymptotic_high: float | None
    values: tuple[float, ...]
    toys: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """Pseudo-experiments with the simulated signal put in, and what the fit recovers.

    The events are those of the generators of all samples: no learned ratio weights them.

    Args:
        value: that was put in.
        mean: of the recovered values, with its `error`; `spread` their standard deviation; `median`.
        at_bound: share of recovered values at a bound of the parameter.
        coverage: (confidence level, share of intervals that hold the value, binomial error).
    """

    value: float
    toys: int
    failed: int
    mean: float
    error: float
    spread: float
    median: float
    at_bound: float
    coverage: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableClosure:
    """The reference reweighted by the learned ratio against the new sample, in bins of one observable."""

    name: str
    chi2: float
    bins: int
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Checks of the new density ratio of one ensemble.

    Args:
        mean: E_ref[r] before normalisation, with its `error`; 1 where the ratio is one of two densities.
        auc: area under the curve of the score.
        effective_reference: effective number of reference events after reweighting to the new process.
        observables: reweighting closure.
        saturated_networks: number of networks whose score is 0 or 1 at too many events.
    """

    ensemble: str
    mean: float
    error: float
    auc: float | None
    effective_reference: float | None
    observables: tuple[ObservableClosure, ...]
    saturated_networks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatistics:
    """Uncertainty of the best value from the finite samples that the networks learned from, by one estimator.

    Args:
        data: ``observed``, or ``expected``: Asimov data of the nominal signal. At a bound only the latter means much.
        estimator: ``bootstrap``, ``ensemble_noise`` or ``weighted_members``; `label` in words.
        sigma: None where it could not be measured, with the `reason`.
        covers: processes whose networks were trained again.
    """

    estimator: str
    label: str
    data: str
    sigma: float | None
    error: float | None
    total_sigma: float | None
    reason: str | None = None
    covers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessAnswer:
    """A sample that is a new process.

    Args:
        status: ``ok``; ``at-bound``; ``no-events``, nothing is selected; ``refused``, too much outside the domain;
            ``failed``, with the `reason`.
        likelihood: of the archive.
        process: name of the new one; `parameter` its own; `coefficient` the formula.
        expected_events: channel -> at coefficient 1.
        events: channel -> number of simulated events there.
        generated_events: that the files hold.
        inside: limits where events outside of the domain are left out of the signal; None where none is outside or
            they were not computed.
        nominal: value of the parameter at which `expected` is.
        selection: folder of the unit with the selected signal (``summary.json``, ``events.zarr``).
        run: folder of the derived run; `document` the derived document; `plan` the frozen plan.
    """

    name: str
    kind: Literal["process"] = "process"
    status: str
    reason: str | None = None
    likelihood: str
    process: str
    parameter: str
    coefficient: str
    expected_events: Mapping[str, float]
    events: Mapping[str, int]
    generated_events: int | None
    domain: tuple[DomainShare, ...]
    nominal: float = 1.0
    observed: Fitted | None = None
    expected: Fitted | None = None
    limits: Limits | None = None
    inside: Limits | None = None
    cls: ClsAt | None = None
    neyman: NeymanUpper | None = None
    injection: tuple[Injected, ...] = ()
    closure: tuple[Closure, ...] = ()
    training_statistics: tuple[TrainingStatistics, ...] = ()
    units: tuple[UnitUse, ...] = ()
    seconds: float = 0.0
    selection: Path | None = None
    run: Path | None = None
    document: Path | None = None
    plan: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPointAnswer:
    """A sample of the archived model at other values of its parameters.

    Args:
        declared: parameter -> value, of every parameter.
        closure: the fit to the sample itself: it should give `declared` back.
        pulls: parameter -> (fitted - declared) / uncertainty of the closure, of the parameters that were declared.
        twice_nll_ratio: -2 ln lambda of the observed data at the declared values; `p_value` asymptotic, with as many
            degrees of freedom as parameters were declared.
        model_events: channel -> expected by the model at the declared values; `expected_events` by the sample.
    """

    name: str
    kind: Literal["model_point"] = "model_point"
    status: str
    reason: str | None = None
    likelihood: str
    declared: Mapping[str, float]
    expected_events: Mapping[str, float]
    model_events: Mapping[str, float]
    events: Mapping[str, int]
    generated_events: int | None
    domain: tuple[DomainShare, ...]
    closure: Fitted | None = None
    pulls: Mapping[str, float] = field(default_factory=dict)
    observed: Fitted | None = None
    twice_nll_ratio: float | None = None
    p_value: float | None = None
    cls: ClsAt | None = None
    units: tuple[UnitUse, ...] = ()
    seconds: float = 0.0
    selection: Path | None = None
    run: Path | None = None
    document: Path | None = None
    plan: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametrisationAnswer:
    """Results in other parameters; nothing is trained, selected or evaluated."""

    name: str = "parametrisation"
    kind: Literal["parametrisation"] = "parametrisation"
    status: str
    reason: str | None = None
    likelihood: str
    parameters: tuple[str, ...]
    parameter: str
    observed: Fitted | None = None
    expected: Fitted | None = None
    limits: Limits | None = None
    units: tuple[UnitUse, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralAnswers:
    """All answers to a request, in its order.

    Args:
        archive: id of the version; `signed_by` in words.
        analysis: name of the archived analysis; `title` its title.
    """

    archive: str
    analysis: str
    title: str
    signed_by: str
    points: tuple[ProcessAnswer | ModelPointAnswer | ParametrisationAnswer, ...]

    @property
    def computed(self) -> int:
        """For how many something was computed."""
        return sum(any(unit.origin == "computed" for unit in point.units) for point in self.points)

    @property
    def failed(self) -> int:
        """How many have no number."""
        return sum(point.status in {"failed", "refused"} for point in self.points)
