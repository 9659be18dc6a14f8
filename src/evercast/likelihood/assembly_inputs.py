"""What a likelihood is put together from: parameters and processes of a document, templates, events, their changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evercast.likelihood.model import AnchorMorph, EventSet, PolynomialMorph
from evercast.spec.model import (
    KinematicSystematic,
    NormalisationSystematic,
    Parameter,
    Process,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
    WeightSystematic,
)

__all__ = [
    "BinnedInput",
    "Physics",
    "Template",
    "UnbinnedInput",
    "VariedTemplate",
    "VariedYield",
    "acts_on",
    "parameter_of",
    "processes_of",
    "shapes",
    "yields",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """What all channels share: the parameters, the processes with their coefficients, the systematics.

    Args:
        coefficients: process -> formula, where it follows from a morphing basis and not from the process.
    """

    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Process]
    systematics: Mapping[str, Systematic]
    coefficients: Mapping[str, str] = field(default_factory=dict)

    def coefficient(self, process: str) -> str:
        """Return the formula that multiplies the yield of a process."""
        return self.coefficients.get(process, self.processes[process].coefficient)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VariedTemplate:
    """A template at +1 and at -1 of a systematic, with the varied yields, before what `effect` leaves out is taken out.

    Args:
        up, down: (bins,), expected events at coefficient 1.
    """

    up: Float[np.ndarray, " bins"]
    down: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """Expected events of a process in bins, at coefficient 1.

    Args:
        variance: sum of squared weights per bin; None: taken as exact.
        varied: systematic -> its varied templates; needed for all that act on the process but ``normalisation``.
    """

    process: str
    nominal: Float[np.ndarray, " bins"]
    variance: Float[np.ndarray, " bins"] | None = None
    varied: Mapping[str, VariedTemplate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedInput:
    """A binned channel: templates and counts."""

    name: str
    templates: tuple[Template, ...]
    observed: Float[np.ndarray, " bins"]
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariedYield:
    """Expected events of a process in an unbinned channel at +1 and at -1 over the nominal ones.

    Args:
        identical: the events of up and down are the same, with the same weights.
    """

    up: float
    down: float
    identical: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnbinnedInput:
    """An unbinned channel: yields at coefficient 1 and events, columns in the order of `yields`.

    Args:
        anchors, polynomials, reference: as in `UnbinnedChannelModel`.
        varied: (systematic, process) -> change of its yield; needed for all that act on it but ``normalisation``.
        modes: parameters of the training statistics, each with a column for every process among the anchors.
    """

    name: str
    yields: Mapping[str, float]
    observed: EventSet
    simulation: EventSet | None = None
    anchors: tuple[AnchorMorph, ...] = ()
    polynomials: tuple[PolynomialMorph, ...] = ()
    reference: EventSet | None = None
    varied: Mapping[tuple[str, str], VariedYield] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    blind: bool = False


def parameter_of(key: str, systematic: Systematic) -> str:
    """Return the nuisance parameter of the systematic `key`."""
    return systematic.parameter or key


def processes_of(systematic: Systematic) -> tuple[str, ...]:
    """Return the processes that a systematic changes."""
    match systematic:
        case SampleSystematic() | TwoPointSystematic():
            return tuple(systematic.samples)
        case NormalisationSystematic() | KinematicSystematic() | WeightSystematic():
            return systematic.processes


def acts_on(systematic: Systematic, *, process: str, channel: str) -> bool:
    """Return whether a systematic changes a process in a channel."""
    return process in processes_of(systematic) and (not systematic.channels or channel in systematic.channels)


def shapes(systematic: Systematic) -> bool:
    """Return whether a systematic changes densities."""
    match systematic:
        case NormalisationSystematic():
            return False
        case SampleSystematic():
            return True
        case KinematicSystematic() | WeightSystematic() | TwoPointSystematic():
            return systematic.effect != "normalisation"


def yields(systematic: Systematic) -> bool:
    """Return whether a systematic changes expected events."""
    match systematic:
        case NormalisationSystematic():
            return True
        case SampleSystematic():
            return systematic.kind == "normalisation+shape"
        case KinematicSystematic() | WeightSystematic() | TwoPointSystematic():
            return systematic.effect != "shape"
