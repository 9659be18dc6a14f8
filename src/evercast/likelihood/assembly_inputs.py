"""What a likelihood is put together from: parameters and processes of a document, templates, events, their changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evercast.likelihood.model import AnchorMorph, EventSet, PolynomialMorph
from evercast.spec.model import Parameter, Process, Systematic
from evercast.spec.systematics import acts_in, effect_of, processes_of

__all__ = [
    "BinnedInput",
    "Physics",
    "Template",
    "UnbinnedInput",
    "VariedTemplate",
    "VariedYield",
    "acting",
    "acts_on",
    "changes_yield",
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
        up, down: (bins,), expected events at coefficient 1; a two-point systematic has no `down` of its own.
    """

    up: Float[np.ndarray, " bins"]
    down: Float[np.ndarray, " bins"] | None = None


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
    """

    name: str
    yields: Mapping[str, float]
    observed: EventSet
    simulation: EventSet | None = None
    anchors: tuple[AnchorMorph, ...] = ()
    polynomials: tuple[PolynomialMorph, ...] = ()
    reference: EventSet | None = None
    varied: Mapping[tuple[str, str], VariedYield] = field(default_factory=dict)
    blind: bool = False


def acts_on(systematic: Systematic, *, process: str, channel: str) -> bool:
    """Return whether a systematic changes a process in a channel."""
    return process in processes_of(systematic) and acts_in(systematic, (channel,))


def acting(physics: Physics, process: str, channel: str) -> Iterator[tuple[str, Systematic]]:
    """Yield the systematics that change a process in a channel, with their names."""
    for key, systematic in physics.systematics.items():
        if acts_on(systematic, process=process, channel=channel):
            yield key, systematic


def changes_yield(systematic: Systematic) -> bool:
    """Return whether a systematic changes expected events."""
    return effect_of(systematic) != "shape"
