"""A likelihood as frozen objects: parameters, channels of both kinds, observed data. Pure numpy.

Every constraint is attached to a parameter, with its global observable explicit, so that toys and Asimov data replace
global observables as they replace counts and events. Channels share parameters by name.
`evercast.likelihood.evaluate` compiles it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

__all__ = [
    "AnchorMorph",
    "BinFactor",
    "BinnedChannelModel",
    "BinnedSample",
    "ChannelModel",
    "Component",
    "EventSet",
    "HistoSys",
    "LikelihoodModel",
    "Modifier",
    "ModifierKinds",
    "NormFactor",
    "NormSys",
    "ParameterModel",
    "PolynomialMorph",
    "Store",
    "Stored",
    "UnbinnedChannelModel",
    "YieldModifier",
    "modifier_kinds",
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

    def measured(self, global_observable: float) -> ParameterModel:
        """Return the parameter with another global observable; a third of the time of `dataclasses.replace`."""
        return ParameterModel(
            name=self.name, initial=self.initial, bounds=self.bounds, poi=self.poi, fixed=self.fixed,
            constraint=self.constraint, global_observable=global_observable, width=self.width, factor=self.factor,
            unit=self.unit, label=self.label,
        )  # fmt: skip


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorMorph:
    """The density of a component follows a parameter through g = p(x | +-1) / p(x | 0), learned at +1 and -1.

    Args:
        process: the component.
        parameter: in units of its width.
        interpolation: per event: ``code4`` (HistFactory code 4), or ``log_linear`` (u^alpha above 0, d^-alpha below).
    """

    process: str
    parameter: str
    interpolation: Literal["code4", "log_linear"] = "code4"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialMorph:
    """The density of a component follows parameters through ln g(x | alpha) = sum_A delta_A(x) prod_k alpha_k^n_Ak.

    Args:
        process: the component.
        terms: per A the powers, as pairs (parameter, n); there is no constant term.
    """

    process: str
    terms: tuple[tuple[tuple[str, int], ...], ...]


@runtime_checkable
class Store(Protocol):
    """An array that need not be in memory (a zarr array): its rows are read block by block."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """float32 or float64."""
        ...

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Return rows, in memory."""
        ...


if TYPE_CHECKING:
    from typing import Never as Stored  # what reads event sets whole is written for arrays; stores stand in for them
else:
    Stored = Store


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventSet:
    """Weighted events of an unbinned channel, in float32 as stored or float64; arrays in memory or `Store`s.

    Args:
        log_ratio: (events, components) natural log of p_component(x) / p_reference(x).
        weight: (events,) 1 for data; expected events for simulation; any positive sum for the reference.
        log_up, log_down: (events, anchors) natural log of p(x | +1) / p(x | 0) and p(x | -1) / p(x | 0), one column per
            `AnchorMorph` of the channel; None where there are none.
        coefficients: (events, terms) delta_A(x) of all terms of all `PolynomialMorph`, one after the other; None where
            there are none.
    """

    log_ratio: Float[np.ndarray, "events components"] | Stored
    weight: Float[np.ndarray, " events"]
    log_up: Float[np.ndarray, "events anchors"] | Stored | None = None
    log_down: Float[np.ndarray, "events anchors"] | Stored | None = None
    coefficients: Float[np.ndarray, "events terms"] | Stored | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnbinnedChannelModel:
    """An extended unbinned term: -2 ln L = 2 [nu - sum_i w_i ln sum_j nu_j r_ij g_ij / Z_j] (arXiv:2412.01600).

    Z_j(alpha) = E_ref[r_j g_j(alpha)] for each component that has a morph, at every alpha: a product of morphs has no
    unit integral by itself.

    Args:
        components: the columns of `log_ratio`, in order.
        events: the data, or Asimov data.
        simulation: events weighted to the model at the initial values of its parameters; Asimov data at other values
            are made of them. None: no expected results can be computed.
        anchors, polynomials: what follows nuisance parameters; a component may have both.
        reference: events of the reference sample, over which Z_j is the mean; needed where there is a morph.
        normalise_morphs: False leaves Z_j = 1 (for comparisons with tools that do so; fits may run away).
        blind: observed results are computed only where that is asked for.
    """

    name: str
    components: tuple[Component, ...]
    events: EventSet
    simulation: EventSet | None = None
    anchors: tuple[AnchorMorph, ...] = ()
    polynomials: tuple[PolynomialMorph, ...] = ()
    reference: EventSet | None = None
    normalise_morphs: bool = True
    blind: bool = False


class ModifierKinds(NamedTuple):
    """Modifiers sorted by kind, each in their order.

    Args:
        of_rows: parameters that act on the yield or the template.
        of_bins: parameters of single bins.
    """

    norm_factors: tuple[NormFactor, ...]
    norm_systems: tuple[NormSys, ...]
    shifts: tuple[HistoSys, ...]
    bin_factors: tuple[BinFactor, ...]
    of_rows: frozenset[str]
    of_bins: frozenset[str]


def modifier_kinds(modifiers: Iterable[Modifier]) -> ModifierKinds:
    """Return modifiers sorted by kind."""
    found: dict[type[Modifier], list[Modifier]] = {NormFactor: [], NormSys: [], HistoSys: [], BinFactor: []}
    for modifier in modifiers:
        found[type(modifier)].append(modifier)
    factors, systems, shifts, bins = (tuple(entries) for entries in found.values())
    of_rows = frozenset(m.parameter for entries in (factors, systems, shifts) for m in entries)  # type: ignore[union-attr]
    of_bins = frozenset(name for m in bins for name in m.parameters if name is not None)  # type: ignore[union-attr]
    return ModifierKinds(factors, systems, shifts, bins, of_rows, of_bins)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, eq=False)
class BinnedSample:
    """A template: coefficient x (nominal + sum of histosys) x product of the other modifiers.

    Args:
        nominal: (bins,), expected events at coefficient 1.
    """

    name: str
    nominal: Float[np.ndarray, " bins"]
    modifiers: tuple[Modifier, ...] = ()
    coefficient: str = "1"

    @cached_property
    def kinds(self) -> ModifierKinds:
        """The modifiers by kind: sorted once, since patched workspaces share most of their samples."""
        return modifier_kinds(self.modifiers)

    @cached_property
    def sides(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Parameters whose effects at +1 and -1 differ, and those that have an effect, the same on both sides."""
        told, same = {m.parameter for m in self.kinds.norm_factors}, dict[str, None]()
        for system in self.kinds.norm_systems:
            if system.up != system.down:
                told.add(system.parameter)
            elif system.up != 1.0:
                same[system.parameter] = None
        for shift in self.kinds.shifts:
            if shift.parameter in told:
                continue
            if not _same(shift.up, shift.down):
                told.add(shift.parameter)
            elif not _same(shift.up, self.nominal):
                same[shift.parameter] = None
        return frozenset(told), tuple(same)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.tobytes() == other.tobytes() or np.array_equal(one, other)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinnedChannelModel:
    """Poisson counts in bins: -2 ln L = 2 sum_b [nu_b - n_b ln nu_b + ln Gamma(n_b + 1)].

    Args:
        observed: (bins,), counts; not necessarily whole numbers (Asimov data).
        blind: observed results are computed only where that is asked for.
    """

    name: str
    samples: tuple[BinnedSample, ...]
    observed: Float[np.ndarray, " bins"]
    blind: bool = False


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
