"""Pairs of objects: of same flavour and opposite charge near to a mass, or any two by their distance or pt."""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np
from vector.backends.awkward import behavior

from evercast.errors import InvalidInput
from evercast.events.evaluate import Scope
from evercast.events.momenta import with_charge
from evercast.spec.model import Candidates

__all__ = ["build_candidates"]


def build_candidates(name: str, candidates: Candidates, scope: Scope) -> Mapping[str, ak.Array]:
    """Return the collections NAME (four-vector sums) and those of the two items of a pair, aligned with each other.

    The first pair is the one of all with the mass nearest to the target; each next one is, of the pairs disjoint from
    those before, the one with the largest scalar sum of transverse momenta. Of equal ones the first in the order of
    the items.

    With `choose` any two items are a pair, and each entry of it chooses one of the pairs disjoint from those before.

    Args:
        name: of the collections.
        candidates: how they are made.
        scope: must hold the collection `candidates.pairs_of`.

    Raises:
        InvalidInput: ``sample.collection``, the collection is not there or has no PDG numbers.
    """
    if candidates.choose:
        return _chosen_pairs(name, candidates, scope)
    items = scope.values.get(candidates.pairs_of)
    if items is None or items.ndim != 2 or "pdg" not in items.fields:
        raise InvalidInput(
            f"candidates.{name} needs the collection {candidates.pairs_of!r} with PDG numbers",
            code="sample.collection",
            hint="declare it in selection.objects, from a collection that has pdg",
        )
    items = with_charge(items, name=candidates.pairs_of)
    pairs = _pairs(items)
    distance = abs(pairs.mass - (candidates.mass_target_gev or 0.0))
    chosen = [_best(pairs, -distance)]
    for _ in range(candidates.count - 1):
        pairs = _disjoint(pairs, chosen[-1])
        chosen.append(_best(pairs, pairs.sum_pt))
    picked = chosen[0] if len(chosen) == 1 else ak.concatenate(chosen, axis=1)
    negative, positive = items[picked.negative], items[picked.positive]
    return {name: _sums(negative, positive), f"{name}_negative": negative, f"{name}_positive": positive}


def _pairs(items: ak.Array) -> ak.Array:
    """Return every allowed pair: positions of its two items, mass and scalar sum of transverse momenta."""
    first, second = ak.unzip(ak.argcombinations(items, 2, axis=1))
    a, b = items[first], items[second]
    allowed = (abs(a.pdg) == abs(b.pdg)) & (a.charge * b.charge < 0)
    first, second, a, b = first[allowed], second[allowed], a[allowed], b[allowed]
    negative_first = a.charge < 0
    return ak.zip(
        {
            "negative": ak.where(negative_first, first, second),
            "positive": ak.where(negative_first, second, first),
            "mass": (a + b).mass,
            "sum_pt": a.pt + b.pt,
        }
    )


def _best(pairs: ak.Array, score: ak.Array) -> ak.Array:
    """Return the pair with the largest score as a list of one, or of none where there are no pairs."""
    best = ak.argmax(score, axis=1, keepdims=True)
    return ak.drop_none(pairs[best], axis=1)


def _disjoint(pairs: ak.Array, taken: ak.Array) -> ak.Array:
    """Return the pairs without an item of the pair in `taken` (a list of one, or of none)."""
    negative = ak.fill_none(ak.firsts(taken.negative, axis=1), -1)
    positive = ak.fill_none(ak.firsts(taken.positive, axis=1), -1)
    return pairs[(pairs.negative != negative) & (pairs.positive != positive)]


def _chosen_pairs(name: str, candidates: Candidates, scope: Scope) -> Mapping[str, ak.Array]:
    """Return the pairs of any two items that `choose` asks for, one after the other."""
    items = scope.values.get(candidates.pairs_of)
    if items is None or items.ndim != 2 or not items.fields:
        raise InvalidInput(
            f"candidates.{name} needs the collection {candidates.pairs_of!r}",
            code="sample.collection",
            hint="declare it in selection.objects",
        )
    items = items[ak.argsort(items.pt, axis=1, ascending=False, stable=True)]
    first, second = ak.unzip(ak.argcombinations(items, 2, axis=1))
    a, b = items[first], items[second]
    turn = a.phi - b.phi
    distance = np.hypot(a.eta - b.eta, np.arctan2(np.sin(turn), np.cos(turn)))
    scores = {"largest_delta_r": distance, "smallest_delta_r": -distance, "largest_pt": (a + b).pt}
    pairs = ak.zip({"first": first, "second": second, **scores})
    chosen: list[ak.Array] = []
    for choice in candidates.choose or ():
        chosen.append(_best(pairs, pairs[choice]))
        pairs = _without_items(pairs, chosen[-1])
    picked = chosen[0] if len(chosen) == 1 else ak.concatenate(chosen, axis=1)
    leading, other = items[picked.first], items[picked.second]
    return {name: _sums(leading, other), f"{name}_first": leading, f"{name}_second": other}


def _without_items(pairs: ak.Array, taken: ak.Array) -> ak.Array:
    """Return the pairs that have no item in common with the pair in `taken` (a list of one, or of none)."""
    used = [ak.fill_none(ak.firsts(taken[end], axis=1), -1) for end in ("first", "second")]
    keep = (pairs.first != used[0]) & (pairs.first != used[1])
    return pairs[keep & (pairs.second != used[0]) & (pairs.second != used[1])]


def _sums(negative: ak.Array, positive: ak.Array) -> ak.Array:
    total = negative + positive
    fields = {"px": total.px, "py": total.py, "pz": total.pz, "energy": total.E}

    return ak.zip(fields, with_name="Momentum4D", behavior=behavior)
