"""The statistical model: parameters, processes, systematics, channels, and what is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BinnedChannel",
    "Expected",
    "Inference",
    "LikelihoodSpec",
    "NormalisationSystematic",
    "Parameter",
    "Process",
    "UnbinnedChannel",
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
class Expected:
    """A number that a replay must give, within `abs` or `rel`; keys are ``likelihood.quantity``: ``binned.mu_hat``."""

    value: float
    abs: float | None = None
    rel: float | None = None
