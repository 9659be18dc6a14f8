"""How events are selected: objects, candidates, cuts, observables, regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Candidates",
    "Clustering",
    "Flavour",
    "MissingMomentum",
    "Objects",
    "Observable",
    "Overlap",
    "PairChoice",
    "Region",
    "Selection",
]

PairChoice = Literal["largest_delta_r", "smallest_delta_r", "largest_pt"]
"""How a pair of items is chosen: by the distance of its items, or by the pt of its sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """Jets made of the items of a collection by a sequential recombination algorithm (fastjet, E scheme).

    Args:
        algorithm: ``anti_kt`` (arXiv:0802.1189), ``kt`` or ``cambridge_aachen``.
        radius: the parameter R.
        pt_min_gev: jets below it are not made, GeV.
        counts: name -> condition of a constituent; a jet gets a property of that name, the number of its constituents
            for which the condition holds.
    """

    radius: float
    algorithm: Literal["anti_kt", "kt", "cambridge_aachen"] = "anti_kt"
    pt_min_gev: float = 5.0
    counts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """The property ``flavour`` of items: 5 with a b hadron, else 4 with a c hadron, else 15 with a tau, else 0.

    Args:
        method: ``delta_r``, a heavy hadron or tau belongs to the nearest item within `radius`; ``ghost``, it is
            clustered with a momentum too small to matter (arXiv:0707.1378) and belongs to the jet that it ends in.
        radius: largest distance, for ``delta_r``.
        pt_min_gev: heavy hadrons and taus below it are not looked at, GeV.
        collection: of heavy hadrons and taus.
    """

    method: Literal["delta_r", "ghost"] = "delta_r"
    radius: float = 0.3
    pt_min_gev: float = 5.0
    collection: str = "heavy_flavour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Items that are near to an item of another collection are removed.

    Args:
        collection: the other collection.
        delta_r: largest distance of an item that is removed, an expression of that item.
        when: condition of an item that may be removed; None means each.
    """

    collection: str
    delta_r: str
    when: str | None = None


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
        exclude_pdg: PDG identities that are not kept, absolute values.
        cluster: jets are made of the items that the collection has with `pdg` and `exclude_pdg`.
        flavour: gives the items the property ``flavour``.
        tags: name -> probability, an expression of the item; the item gets a property of that name, 1 or 0 at random.
        efficiency: probability to keep an item, an expression of it; not for data.
        remove_near: overlap removal, in order, before the cut.

    The order is: pdg and exclude_pdg, cluster, flavour, pt_resolution, transforms of a variation, efficiency, tags,
    remove_near, cut, sort_by. Random decisions are functions of seed, event and item, as smearing is.
    """

    collection: str
    pdg: tuple[int, ...] = ()
    pt_resolution: str | None = None
    cut: str | None = None
    sort_by: Literal["pt", "none"] = "pt"
    exclude_pdg: tuple[int, ...] = field(default=(), metadata={"key": "unless default"})
    cluster: Clustering | None = field(default=None, metadata={"key": "unless default"})
    flavour: Flavour | None = field(default=None, metadata={"key": "unless default"})
    tags: Mapping[str, str] | None = field(default=None, metadata={"key": "unless default"})
    efficiency: str | None = field(default=None, metadata={"key": "unless default"})
    remove_near: tuple[Overlap, ...] = field(default=(), metadata={"key": "unless default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingMomentum:
    """One item per event: the transverse part of the sum of some collections minus that of others, without mass.

    Args:
        plus: collections that are added: what is invisible, or what smearing took away.
        minus: collections that are subtracted: what was measured.
        resolution: Gaussian width of each component in GeV, an expression of ``pt`` (of the sum) and ``sum_pt`` (the
            scalar sum of the pt of all items of `minus`); not for data.
    """

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    resolution: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Disjoint pairs of items: chosen by mass, or one after the other by `choose`.

    With `mass_target_gev`: disjoint pairs of same-flavour opposite-charge items, nearest to `mass_target_gev` first.

    A candidates entry NAME gives three aligned collections: NAME (four-vector sums), NAME_negative and NAME_positive
    (the items). The first pair is the one of all pairs nearest to the target; the next is, of the pairs disjoint from
    it, the one with the largest scalar sum of pt. Events with fewer pairs than `count` have fewer entries.

    With `choose`: any two items are a pair. Its first entry chooses the first pair, each next entry one of the pairs
    that are disjoint from those before; the collections are NAME, NAME_first and NAME_second (the item of larger pt
    first).
    """

    pairs_of: str
    mass_target_gev: float | None = None
    count: int = 2
    choose: tuple[PairChoice, ...] | None = field(default=None, metadata={"key": "unless default"})

    @property
    def suffixes(self) -> tuple[str, str, str]:
        """What follows NAME in the names of its three collections."""
        return ("", "_first", "_second") if self.choose else ("", "_negative", "_positive")


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
    """Objects, missing momentum, candidates, definitions, steps of the cut flow, observables, regions, in this order.

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
    missing_momentum: Mapping[str, MissingMomentum] | None = field(default=None, metadata={"key": "unless default"})
