"""How events are selected: objects, candidates, cuts, observables, regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Candidates", "Objects", "Observable", "Region", "Selection"]


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
