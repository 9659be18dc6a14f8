"""Collections of objects: chosen by PDG number, smeared, cut and ordered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import awkward as ak
import numpy as np
from jaxtyping import Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.evaluate import Formula, Scope, evaluate_items
from evercast.events.momenta import ITEM_NUMBER, item_properties, replaced, with_charge
from evercast.events.variation import Transform, apply_transforms
from evercast.spec.expressions import ITEM_PROPERTIES, parse
from evercast.spec.model import Objects

__all__ = ["build_objects", "counter_normal"]

_LEAST_SCALE = 0.01
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def build_objects(
    name: str, objects: Objects, scope: Scope, *, seed: int, smear: bool, transforms: Sequence[Transform] = ()
) -> ak.Array:
    """Return the collection `name` for the events of `scope`.

    The PDG numbers are chosen first, then momenta are smeared (transverse momentum times a Gaussian factor at fixed
    pseudorapidity, azimuth and mass), then they are varied, then the cut is made, then items are ordered.

    Args:
        name: of the new collection, for messages.
        objects: how it is made.
        scope: must hold the collection it is made from.
        seed: of the smearing. The numbers depend on seed, source collection, event and the place of the item in the
            input only, so neither the size of the chunks nor the order of reading matters, two samples of the same
            files are smeared alike, and so are events before and after a variation.
        smear: whether the resolution is applied; not so for data.
        transforms: of a varied selection.

    Raises:
        InvalidInput: ``sample.collection``, the source is not there or lacks a property, or ``sample.resolution``, or
            ``systematic.transform``.
        ExpressionError: the cut or the resolution does not fit.
    """
    source = _source(name, objects, scope)
    if objects.pdg:
        if "pdg" not in source.fields:
            raise InvalidInput(
                f"collection {objects.collection!r} has no pdg; it has {', '.join(item_properties(source))}",
                code="sample.collection",
                hint=f"give it one, or leave out pdg in objects.{name}",
            )
        source = source[_one_of(source["pdg"], objects.pdg)]
    if objects.pt_resolution is not None and smear:
        formula = _formula(f"pt_resolution of {name!r}", objects.pt_resolution)
        source = _smeared(source, formula, scope, seed=seed, stream=objects.collection)
    if transforms:
        source = apply_transforms(transforms, source, scope)
    if objects.cut is not None:
        formula = _formula(f"cut of {name!r}", objects.cut)
        source = source[evaluate_items(formula, _items(source, scope), like=source, condition=True)]
    if objects.sort_by == "pt":
        source = source[ak.argsort(source.pt, axis=1, ascending=False, stable=True)]
    return source


def _source(name: str, objects: Objects, scope: Scope) -> ak.Array:
    source = scope.values.get(objects.collection)
    if source is None or not source.fields or source.ndim != 2:
        known = ", ".join(key for key, value in scope.values.items() if value.fields and value.ndim == 2) or "none"
        raise InvalidInput(
            f"objects.{name} is made from the collection {objects.collection!r}, which the input has not; it has: "
            f"{known}",
            code="sample.collection",
            hint="declare it in the 'collections' of the file",
        )
    if ITEM_NUMBER not in source.fields:
        source = replaced(source, {ITEM_NUMBER: ak.local_index(source, axis=1)})
    return with_charge(source, name=objects.collection) if "pdg" in source.fields else source


def _one_of(pdg: ak.Array, kept: tuple[int, ...]) -> ak.Array:
    flat = np.abs(ak.to_numpy(ak.flatten(pdg, axis=None)).astype(np.int64))
    return ak.unflatten(ak.Array(np.isin(flat, np.abs(kept))), ak.num(pdg, axis=1))


def _formula(what: str, text: str) -> Formula:
    return Formula(what=what, text=text, tree=parse(text))


def _items(items: ak.Array, scope: Scope) -> Scope:
    return scope.only({key: value for key, value in item_properties(items).items() if key in ITEM_PROPERTIES})


def _smeared(items: ak.Array, formula: Formula, scope: Scope, *, seed: int, stream: str) -> ak.Array:
    resolution = evaluate_items(formula, _items(items, scope), like=items, condition=False)
    counts = ak.num(items, axis=1)
    flat = ak.to_numpy(ak.flatten(resolution, axis=1)).astype(np.float64)
    wrong = ~(np.isfinite(flat) & (flat >= 0))
    if wrong.any():
        raise InvalidInput(
            f"{formula.what} is {flat[wrong][0]} for {int(wrong.sum())} items; expected a finite number that is not "
            f"negative: {formula.text}",
            code="sample.resolution",
        )
    event = np.repeat(scope.event, ak.to_numpy(counts))
    item = ak.to_numpy(ak.flatten(items[ITEM_NUMBER], axis=1)).astype(np.uint64)
    scale = np.maximum(1.0 + flat * counter_normal(seed, stream, event, item), _LEAST_SCALE)
    factor = ak.unflatten(ak.Array(scale), counts)
    square = items.px**2 + items.py**2 + items.pz**2
    energy = np.sqrt(np.maximum(items.E**2 + (factor**2 - 1.0) * square, 0.0))
    return replaced(
        items, {"px": items.px * factor, "py": items.py * factor, "pz": items.pz * factor, "energy": energy}
    )


def counter_normal(
    seed: int, stream: str, event: UInt64[np.ndarray, " items"], item: UInt64[np.ndarray, " items"]
) -> Float64[np.ndarray, " items"]:
    """Return unit Gaussian numbers that are a function of (seed, stream, event, item) alone.

    Each counter is mixed with the finaliser of SplitMix64 (Steele et al., OOPSLA 2014) and two such numbers are
    turned to a Gaussian one by Box and Muller.
    """
    digest = hashlib.sha256(f"{seed}:{stream}".encode()).digest()
    key = np.frombuffer(digest[:8], dtype="<u8").astype(np.uint64)
    with np.errstate(over="ignore"):
        state = _mixed(_mixed(key ^ (event * _GOLDEN)) ^ (item * _GOLDEN + _MIX_1))
        first, second = _mixed(state + _GOLDEN), _mixed(state + _GOLDEN + _GOLDEN)
    radius = np.sqrt(-2.0 * np.log(_uniform(first) + 2.0**-54))
    gaussian: Float64[np.ndarray, " items"] = radius * np.cos(2.0 * np.pi * _uniform(second))
    return gaussian


def _uniform(value: UInt64[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
    """Return the upper 53 bits as numbers in [0, 1)."""
    return np.asarray(value >> np.uint64(11), dtype=np.float64) * 2.0**-53


def _mixed(value: UInt64[np.ndarray, " items"]) -> UInt64[np.ndarray, " items"]:
    state = value + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
