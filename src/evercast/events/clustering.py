"""Jets of a collection by fastjet, for many events at once, and the flavour of jets."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import Any, Final

import awkward as ak
import numpy as np
from jaxtyping import Int64
from vector.backends.awkward import behavior

from evercast.errors import EnvironmentUnfit, InvalidInput
from evercast.events.evaluate import Formula, Scope, evaluate_items
from evercast.events.momenta import item_properties
from evercast.spec.expressions import parse
from evercast.spec.model import Clustering, Flavour

__all__ = ["FLAVOUR", "cluster_jets", "flavour_by_distance"]

FLAVOUR: Final = "flavour"
_GHOST: Final = 1e-18
_ORDER: Final = (5, 4, 15)
_ALGORITHMS: Final = {"anti_kt": "antikt_algorithm", "kt": "kt_algorithm", "cambridge_aachen": "cambridge_algorithm"}


def cluster_jets(
    name: str, clustering: Clustering, particles: ak.Array, scope: Scope, heavy: ak.Array | None
) -> ak.Array:
    """Return the jets of `particles`, of larger pt first.

    Args:
        name: of the new collection, for messages.
        clustering: how jets are made.
        particles: (events, items) four-momenta in GeV.
        scope: of the events, for messages.
        heavy: heavy hadrons and taus with ``flavour``, clustered as ghosts that give jets the property ``flavour``.

    Raises:
        EnvironmentUnfit: ``selection.no-fastjet``.
        ExpressionError: a condition of constituents does not fit.
    """
    parts = {key: particles[key] for key in ("px", "py", "pz")} | {"E": particles.E}
    given = ak.zip(parts, with_name="Momentum4D", behavior=behavior)
    if heavy is not None:
        ghosts = ak.zip(
            {"px": heavy.px * _GHOST, "py": heavy.py * _GHOST, "pz": heavy.pz * _GHOST, "E": heavy.E * _GHOST},
            with_name="Momentum4D",
            behavior=behavior,
        )
        given = ak.concatenate([given, ghosts], axis=1)
    jets, index = _clustered(given, clustering)
    fields = {"px": jets.px, "py": jets.py, "pz": jets.pz, "energy": jets.E}
    for count, condition in clustering.counts.items():
        formula = Formula(what=f"count {count!r} of {name!r}", text=condition, tree=parse(condition))
        kept = evaluate_items(formula, scope.only(item_properties(particles)), like=particles, condition=True)
        if heavy is not None:
            kept = ak.concatenate([kept, ak.zeros_like(heavy.px) > 0], axis=1)
        fields[count] = ak.sum(_of_constituents(kept, index), axis=2)
    if heavy is not None:
        flavours = ak.concatenate([ak.zeros_like(particles.px), heavy[FLAVOUR]], axis=1)
        fields[FLAVOUR] = _strongest(_of_constituents(flavours, index))
    made = ak.zip(fields, with_name="Momentum4D", behavior=behavior)
    return made[ak.argsort(made.pt, axis=1, ascending=False, stable=True)]


def _clustered(given: ak.Array, clustering: Clustering) -> tuple[ak.Array, ak.Array]:
    """Return the jets and, for each, the positions of its constituents in `given`."""
    fastjet = _fastjet()
    definition = fastjet.JetDefinition(getattr(fastjet, _ALGORITHMS[clustering.algorithm]), clustering.radius)
    least = max(clustering.pt_min_gev, 1e-9)  # ghosts alone make no jet
    sequence = fastjet.ClusterSequence(given, definition)
    return sequence.inclusive_jets(min_pt=least), sequence.constituent_index(min_pt=least)


@functools.cache
def _fastjet() -> Any:  # a module without types
    """Return fastjet after its banner, which it prints on the first clustering, went to standard error."""
    try:
        import fastjet  # noqa: PLC0415  (an optional package)
    except ImportError as err:
        raise EnvironmentUnfit(
            "the selection makes jets with fastjet, which is not installed",
            code="selection.no-fastjet",
            hint="install the extra 'generate' (README.md of evercast, Installation)",
        ) from err
    one = ak.zip({key: ak.Array([[1.0]]) for key in ("px", "py", "pz", "E")}, with_name="Momentum4D", behavior=behavior)
    library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        fastjet.ClusterSequence(one, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)).inclusive_jets(min_pt=0.5)
        library.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    return fastjet


def _of_constituents(values: ak.Array, index: ak.Array) -> ak.Array:
    """Return (events, jets, constituents) the values of the constituents."""
    jets = ak.num(index, axis=1)
    flat = values[ak.flatten(index, axis=2)]
    sizes = ak.flatten(ak.num(index, axis=2), axis=1)
    grouped = ak.unflatten(ak.flatten(flat, axis=1), sizes)
    return ak.unflatten(grouped, jets)


def _strongest(flavours: ak.Array) -> ak.Array:
    """Return per jet 5 where one of its constituents has it, else 4, else 15, else 0."""
    found = [ak.any(flavours == one, axis=-1) for one in _ORDER]
    result = ak.values_astype(found[0], np.int64) * 0
    for one, there in zip(reversed(_ORDER), reversed(found), strict=True):
        result = ak.where(there, one, result)
    return result


def flavour_by_distance(name: str, flavour: Flavour, items: ak.Array, heavy: ak.Array) -> ak.Array:
    """Return ``flavour`` of each item: every heavy hadron or tau belongs to the nearest item within the radius.

    Raises:
        InvalidInput: ``sample.collection``, the heavy hadrons have no flavour.
    """
    heavy = with_flavour(name, flavour, heavy)
    eta, phi = items.eta, items.phi
    first, second = ak.broadcast_arrays(heavy.eta[:, :, np.newaxis], eta[:, np.newaxis, :])
    turn = heavy.phi[:, :, np.newaxis] - phi[:, np.newaxis, :]
    distance = np.hypot(first - second, np.arctan2(np.sin(turn), np.cos(turn)))
    nearest = ak.argmin(distance, axis=2)
    least = ak.fill_none(ak.min(distance, axis=2), np.inf)
    matched = ak.fill_none(nearest, -1)[least < flavour.radius]
    kinds = heavy[FLAVOUR][least < flavour.radius]
    return _assigned(items, matched, kinds)


def with_flavour(name: str, flavour: Flavour, heavy: ak.Array) -> ak.Array:
    """Return the heavy hadrons and taus that are looked at."""
    if FLAVOUR not in heavy.fields:
        raise InvalidInput(
            f"objects.{name}: the items of {flavour.collection!r} have no flavour", code="sample.collection"
        )
    return heavy[heavy.pt > flavour.pt_min_gev]


def _assigned(items: ak.Array, matched: ak.Array, kinds: ak.Array) -> ak.Array:
    counts = ak.to_numpy(ak.num(items, axis=1)).astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)))
    event = np.repeat(np.arange(len(counts)), ak.to_numpy(ak.num(matched, axis=1)))
    place = starts[event] + ak.to_numpy(ak.flatten(matched, axis=1)).astype(np.int64)
    kind = ak.to_numpy(ak.flatten(kinds, axis=1)).astype(np.int64)
    result: Int64[np.ndarray, " items"] = np.zeros(starts[-1], dtype=np.int64)
    for one in reversed(_ORDER):
        result[place[kind == one]] = one
    return ak.unflatten(ak.Array(result), counts)
