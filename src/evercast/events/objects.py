"""Collections of objects: chosen by PDG number, smeared, cut and ordered."""

from __future__ import annotations

from collections.abc import Sequence

import awkward as ak
import numpy as np
from jaxtyping import Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.clustering import FLAVOUR, cluster_jets, flavour_by_distance, with_flavour
from evercast.events.evaluate import Formula, Scope, evaluate_items
from evercast.events.momenta import ITEM_NUMBER, item_properties, replaced, with_charge
from evercast.events.overlap import without_near
from evercast.events.random_numbers import counter_normal, counter_uniform
from evercast.events.variation import Transform, apply_transforms
from evercast.spec.expressions import parse
from evercast.spec.model import Objects

__all__ = ["build_objects"]

_LEAST_SCALE = 0.01


def build_objects(
    name: str, objects: Objects, scope: Scope, *, seed: int, smear: bool, transforms: Sequence[Transform] = ()
) -> ak.Array:
    """Return the collection `name` for the events of `scope`.

    The PDG numbers are chosen first, then jets are made, then they get their flavour, then momenta are smeared
    (transverse momentum times a Gaussian factor at fixed pseudorapidity, azimuth and mass), then they are varied, then
    items are lost by the efficiency, tagged, removed near others, cut and ordered.

    Args:
        name: of the new collection, for messages.
        objects: how it is made.
        scope: must hold the collection it is made from.
        seed: of the random numbers. They depend on seed, source collection (for jets: `name`), event and the place of
            the item in the input (of a jet: among all jets) only, so neither the size of the chunks nor the order of
            reading matters, two samples of the same files are smeared alike, and so are events before and after a
            variation.
        smear: whether the resolution is applied; not so for data.
        transforms: of a varied selection.

    Raises:
        InvalidInput: ``sample.collection``, the source is not there or lacks a property, or ``sample.resolution``, or
            ``systematic.transform``.
        ExpressionError: the cut or the resolution does not fit.
    """
    source = _by_pdg(name, objects, _source(name, objects, scope))
    if objects.cluster is not None:
        source = _jets(name, objects, source, scope)
    if objects.flavour is not None and FLAVOUR not in source.fields:
        heavy = _collection(name, objects.flavour.collection, scope)
        source = replaced(source, {FLAVOUR: flavour_by_distance(name, objects.flavour, source, heavy)})
    stream = objects.collection if objects.cluster is None else name
    if objects.pt_resolution is not None and smear:
        formula = _formula(f"pt_resolution of {name!r}", objects.pt_resolution)
        source = _smeared(source, formula, scope, seed=seed, stream=stream)
    if transforms:
        source = apply_transforms(transforms, source, scope)
    source = _by_chance(name, objects, source, scope, seed=seed, stream=stream, simulated=smear)
    for step in objects.remove_near:
        source = without_near(name, step, source, _collection(name, step.collection, scope), scope)
    if objects.cut is not None:
        formula = _formula(f"cut of {name!r}", objects.cut)
        source = source[evaluate_items(formula, _items(source, scope), like=source, condition=True)]
    if objects.sort_by == "pt":
        source = source[ak.argsort(source.pt, axis=1, ascending=False, stable=True)]
    return source


def _collection(name: str, wanted: str, scope: Scope) -> ak.Array:
    source = scope.values.get(wanted)
    if source is None or not source.fields or source.ndim != 2:
        known = ", ".join(key for key, value in scope.values.items() if value.fields and value.ndim == 2) or "none"
        raise InvalidInput(
            f"objects.{name} is made from the collection {wanted!r}, which the input has not; it has: {known}",
            code="sample.collection",
            hint="declare it in the 'collections' of the file",
        )
    return source


def _source(name: str, objects: Objects, scope: Scope) -> ak.Array:
    source = _collection(name, objects.collection, scope)
    if ITEM_NUMBER not in source.fields:
        source = replaced(source, {ITEM_NUMBER: ak.local_index(source, axis=1)})
    return with_charge(source, name=objects.collection) if "pdg" in source.fields else source


def _by_pdg(name: str, objects: Objects, source: ak.Array) -> ak.Array:
    """Return the items that are kept by their PDG number."""
    if not (objects.pdg or objects.exclude_pdg):
        return source
    if "pdg" not in source.fields:
        raise InvalidInput(
            f"collection {objects.collection!r} has no pdg; it has {', '.join(item_properties(source))}",
            code="sample.collection",
            hint=f"give it one, or leave out pdg in objects.{name}",
        )
    if objects.pdg:
        source = source[_one_of(source["pdg"], objects.pdg)]
    return source[~_one_of(source["pdg"], objects.exclude_pdg)] if objects.exclude_pdg else source


def _jets(name: str, objects: Objects, particles: ak.Array, scope: Scope) -> ak.Array:
    """Return the jets of the particles; each has its place among them as the number of the item."""
    if objects.cluster is None:
        return particles
    flavour, heavy = objects.flavour, None
    if flavour is not None and flavour.method == "ghost":
        heavy = with_flavour(name, flavour, _collection(name, flavour.collection, scope))
    jets = cluster_jets(name, objects.cluster, particles, scope, heavy)
    return replaced(jets, {ITEM_NUMBER: ak.local_index(jets, axis=1)})


def _by_chance(
    name: str, objects: Objects, items: ak.Array, scope: Scope, *, seed: int, stream: str, simulated: bool
) -> ak.Array:
    """Return the items that the efficiency keeps, with their tags."""
    if objects.efficiency is not None and simulated:
        formula = _formula(f"efficiency of {name!r}", objects.efficiency)
        items = items[_happens(items, formula, scope, seed=seed, stream=f"{stream}:{name}:efficiency")]
    for tag, text in (objects.tags or {}).items():
        if not simulated:
            _check_tagged(name, tag, items)
            continue
        formula = _formula(f"tag {tag!r} of {name!r}", text)
        tagged = _happens(items, formula, scope, seed=seed, stream=f"{stream}:{name}:{tag}")
        items = replaced(items, {tag: ak.values_astype(tagged, np.int64)})
    return items


def _check_tagged(name: str, tag: str, items: ak.Array) -> None:
    """Refuse data without a tag that is measured: chance stands for it in simulation alone."""
    if tag not in items.fields:
        raise InvalidInput(
            f"objects.{name}: the items of data have no {tag!r}; in data a tag is read, not drawn",
            code="sample.collection",
            hint="give the collection of the input a property of that name",
        )


def _happens(items: ak.Array, formula: Formula, scope: Scope, *, seed: int, stream: str) -> ak.Array:
    """Return, per item, whether a thing of this probability happens."""
    flat = _flat_values(items, formula, scope)
    wrong = ~((flat >= 0) & (flat <= 1))
    if wrong.any():
        raise InvalidInput(
            f"{formula.what} is {flat[wrong][0]} for {int(wrong.sum())} items; expected a probability between 0 and 1: "
            f"{formula.text}",
            code="sample.probability",
        )
    drawn = counter_uniform(seed, stream, *_identities(items, scope))
    return ak.unflatten(ak.Array(drawn < flat), ak.num(items, axis=1))


def _flat_values(items: ak.Array, formula: Formula, scope: Scope) -> Float64[np.ndarray, " items"]:
    """Return a number for each item, those of all events in one array."""
    values = evaluate_items(formula, _items(items, scope), like=items, condition=False)
    return np.asarray(ak.to_numpy(ak.flatten(values, axis=1)), dtype=np.float64)


def _identities(items: ak.Array, scope: Scope) -> tuple[UInt64[np.ndarray, " items"], UInt64[np.ndarray, " items"]]:
    """Return the event of each item and its number in the input: what a random number of it is made from."""
    event = np.repeat(scope.event, ak.to_numpy(ak.num(items, axis=1)))
    return event, ak.to_numpy(ak.flatten(items[ITEM_NUMBER], axis=1)).astype(np.uint64)


def _one_of(pdg: ak.Array, kept: tuple[int, ...]) -> ak.Array:
    flat = np.abs(ak.to_numpy(ak.flatten(pdg, axis=None)).astype(np.int64))
    return ak.unflatten(ak.Array(np.isin(flat, np.abs(kept))), ak.num(pdg, axis=1))


def _formula(what: str, text: str) -> Formula:
    return Formula(what=what, text=text, tree=parse(text))


def _items(items: ak.Array, scope: Scope) -> Scope:
    return scope.only(item_properties(items))


def _smeared(items: ak.Array, formula: Formula, scope: Scope, *, seed: int, stream: str) -> ak.Array:
    flat = _flat_values(items, formula, scope)
    wrong = ~(np.isfinite(flat) & (flat >= 0))
    if wrong.any():
        raise InvalidInput(
            f"{formula.what} is {flat[wrong][0]} for {int(wrong.sum())} items; expected a finite number that is not "
            f"negative: {formula.text}",
            code="sample.resolution",
        )
    drawn = counter_normal(seed, stream, *_identities(items, scope))
    factor = ak.unflatten(ak.Array(np.maximum(1.0 + flat * drawn, _LEAST_SCALE)), ak.num(items, axis=1))
    square = items.px**2 + items.py**2 + items.pz**2
    energy = np.sqrt(np.maximum(items.E**2 + (factor**2 - 1.0) * square, 0.0))
    return replaced(
        items, {"px": items.px * factor, "py": items.py * factor, "pz": items.pz * factor, "energy": energy}
    )
