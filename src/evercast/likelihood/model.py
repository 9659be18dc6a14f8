"""A likelihood as frozen objects: parameters, channels of both kinds, observed data. Pure numpy.

Every constraint is attached to a parameter, with its global observable explicit, so that toys and Asimov data replace
global observables as they replace counts and events. Channels share parameters by name.
`evercast.likelihood.evaluate` compiles it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

__all__ = [
    "BinFactor",
    "BinnedChannelModel",
    "BinnedSample",
    "ChannelModel",
    "Component",
    "EventSet",
    "HistoSys",
    "LikelihoodModel",
    "Modifier",
    "NormFactor",
    "NormSys",
    "ParameterModel",
    "UnbinnedChannelModel",
    "YieldModifier",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterModel:
    """One parameter and its constraint term.

    Args:
        name: unique in the likelihood; the same name in two channels is the same parameter.
        initial: value where fits start, and the nominal value of Asimov data.
        bounds: (low, high), either may be infinite.
        poi: this is the parameter of interest; at most one.
        fixed: held at `initial` in every fit.
        constraint: ``normal``: Normal(global_observable | parameter, width); ``poisson``:
            Poisson(global_observable | factor x parameter); ``none``: free.
        global_observable: the measured auxiliary datum (counts for ``poisson``).
        width: standard deviation of a normal constraint.
        factor: expected auxiliary counts at parameter 1, for ``poisson``.
    """

    name: str
    initial: float = 0.0
    bounds: tuple[float, float] = (-math.inf, math.inf)
    poi: bool = False
    fixed: bool = False
    constraint: Literal["none", "normal", "poisson"] = "none"
    global_observable: float = 0.0
    width: float = 1.0
    factor: float = 1.0
    unit: str = "1"
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormFactor:
    """The yield is multiplied by the parameter (HistFactory ``normfactor`` and ``lumi``)."""

    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NormSys:
    """The yield is multiplied by `up` at +1 and `down` at -1; `code` 4 (default), 1 or 0 interpolates."""

    parameter: str
    up: float
    down: float
    code: Literal["0", "1", "4"] = "4"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HistoSys:
    """The template becomes `up` at +1 and `down` at -1, additively; `code` 4p (default), 2 or 0 interpolates.

    Args:
        up, down: (bins,), expected events.
    """

    parameter: str
    up: Float[np.ndarray, " bins"]
    down: Float[np.ndarray, " bins"]
    code: Literal["0", "2", "4p"] = "4p"


@dataclass(frozen=True, slots=True, kw_only=True)
class BinFactor:
    """Bin b is multiplied by parameter b (HistFactory ``staterror``, ``shapesys``, ``shapefactor``).

    Args:
        parameters: one name per bin; None leaves the bin as it is.
    """

    parameters: tuple[str | None, ...]


YieldModifier = NormFactor | NormSys
Modifier = NormFactor | NormSys | HistoSys | BinFactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A process in an unbinned channel: expected events = coefficient(parameters) x yield_events x modifiers.

    Args:
        coefficient: formula of the parameters, e.g. ``mu - sqrt(mu)``; may be negative.
        yield_events: expected events at coefficient 1.
    """

    process: str
    yield_events: float
    coefficient: str = "1"
    modifiers: tuple[YieldModifier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventSet:
    """Weighted events of an unbinned channel.

    Args:
        log_ratio: (events, components) natural log of p_component(x) / p_reference(x); float32 as stored, or float64.
        weight: (events,) 1 for data; expected events for simulation.
    """

    log_ratio: Float[np.ndarray, "events components"]
    weight: Float[np.ndarray, " events"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnbinnedChannelModel:
    """An extended unbinned term: -2 ln L = 2 [nu - sum_i w_i ln sum_j nu_j r_ij] (arXiv:2412.01600).

    Args:
        components: the columns of `log_ratio`, in order.
        log_ratio: (events, components) natural log of p_component(x) / p_reference(x), of the data.
        weight: (events,) 1 for data, expected events for Asimov data.
        simulation: events weighted to the model at the initial values of its parameters; Asimov data at other values
            are made of them. None: no expected results can be computed.
    """

    name: str
    components: tuple[Component, ...]
    log_ratio: Float[np.ndarray, "events components"]
    weight: Float[np.ndarray, " events"]
    simulation: EventSet | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedSample:
    """A template: coefficient x (nominal + sum of histosys) x product of the other modifiers.

    Args:
        nominal: (bins,), expected events at coefficient 1.
    """

    name: str
    nominal: Float[np.ndarray, " bins"]
    modifiers: tuple[Modifier, ...] = ()
    coefficient: str = "1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedChannelModel:
    """Poisson counts in bins: -2 ln L = 2 sum_b [nu_b - n_b ln nu_b + ln Gamma(n_b + 1)].

    Args:
        observed: (bins,), counts; not necessarily whole numbers (Asimov data).
    """

    name: str
    samples: tuple[BinnedSample, ...]
    observed: Float[np.ndarray, " bins"]


ChannelModel = UnbinnedChannelModel | BinnedChannelModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LikelihoodModel:
    """All channels and the parameters they share.

    Args:
        parameters: in the order of every parameter vector; names unique.
        channels: names unique.
        asimov: None for observed data; else how the data were made: ``binned``, ``simulation`` or ``mixed``.
    """

    name: str
    parameters: tuple[ParameterModel, ...]
    channels: tuple[ChannelModel, ...]
    title: str | None = None
    asimov: str | None = field(default=None)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names in the order of parameter vectors."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def poi(self) -> ParameterModel | None:
        """The parameter of interest, if one is declared."""
        return next((parameter for parameter in self.parameters if parameter.poi), None)
