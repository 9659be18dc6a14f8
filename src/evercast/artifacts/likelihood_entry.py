"""The JSON form of a likelihood: entries that mirror `evercast.likelihood.model` key by key.

Events are not in it: an unbinned channel says how many there are, and `evercast.artifacts.likelihood_file` keeps them.
The annotations are real ones (no ``from __future__``): entries are told apart by the literals in them.
"""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "FORMAT",
    "AnchorEntry",
    "BinFactorEntry",
    "BinnedEntry",
    "ComponentEntry",
    "HistoSysEntry",
    "LikelihoodEntry",
    "ModifierEntry",
    "NormFactorEntry",
    "NormSysEntry",
    "ParameterEntry",
    "PolynomialEntry",
    "SampleEntry",
    "UnbinnedEntry",
    "YieldModifierEntry",
]

FORMAT: Final = "likelihood/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEntry:
    """A parameter with its constraint; None is an infinite bound."""

    name: str
    initial: float
    bounds: tuple[float | None, float | None]
    poi: bool
    fixed: bool
    constraint: Literal["none", "normal", "poisson"]
    global_observable: float
    width: float
    factor: float
    unit: str
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormFactorEntry:
    """The yield times a parameter."""

    kind: Literal["normfactor"]
    parameter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NormSysEntry:
    """The yield times `up` at +1 and `down` at -1."""

    kind: Literal["normsys"]
    parameter: str
    up: float
    down: float
    code: Literal["0", "1", "4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoSysEntry:
    """The template is `up` at +1 and `down` at -1."""

    kind: Literal["histosys"]
    parameter: str
    up: tuple[float, ...]
    down: tuple[float, ...]
    code: Literal["0", "2", "4p"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BinFactorEntry:
    """Each bin times a parameter of its own."""

    kind: Literal["bin_factor"]
    parameters: tuple[str | None, ...]


YieldModifierEntry = NormFactorEntry | NormSysEntry
ModifierEntry = NormFactorEntry | NormSysEntry | HistoSysEntry | BinFactorEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentEntry:
    """A process in an unbinned channel."""

    process: str
    coefficient: str
    yield_events: float
    modifiers: tuple[YieldModifierEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorEntry:
    """How the density of a component follows a parameter; a column of the tensors ``log_up`` and ``log_down``."""

    process: str
    parameter: str
    interpolation: Literal["code4", "log_linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialEntry:
    """Terms, each with pairs (parameter, power), of ln g of a component: columns of the tensor ``coefficients``."""

    process: str
    terms: tuple[tuple[tuple[str, int], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEntry:
    """A template."""

    name: str
    coefficient: str
    nominal: tuple[float, ...]
    modifiers: tuple[ModifierEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbinnedEntry:
    """An unbinned channel; its events are tensors."""

    kind: Literal["unbinned"]
    name: str
    components: tuple[ComponentEntry, ...]
    anchors: tuple[AnchorEntry, ...]
    polynomials: tuple[PolynomialEntry, ...]
    normalise_morphs: bool
    observed_events: int
    asimov_events: int | None
    reference_events: int | None
    blind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedEntry:
    """A binned channel."""

    kind: Literal["binned"]
    name: str
    samples: tuple[SampleEntry, ...]
    observed: tuple[float, ...]
    blind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodEntry:
    """Everything of a likelihood but its events."""

    schema: Literal["likelihood/1.0.0"]
    name: str
    title: str | None
    parameters: tuple[ParameterEntry, ...]
    channels: tuple[UnbinnedEntry | BinnedEntry, ...]
