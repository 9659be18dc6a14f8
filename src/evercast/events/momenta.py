"""Collections of four-momenta: lists of records that behave as vectors, with px, py, pz and energy in GeV."""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np
from jaxtyping import Float64
from vector.backends.awkward import behavior

from evercast.errors import InvalidInput
from evercast.events.pdg import charge_of

__all__ = ["CARTESIAN", "ITEM_NUMBER", "components", "item_properties", "momenta", "replaced", "with_charge"]

CARTESIAN = ("px", "py", "pz", "energy")
ITEM_NUMBER = "_number"
"""Field with the place of an item in the collection of the input, which cuts and orders leave as it is."""

_COORDINATES = frozenset({*CARTESIAN, "pt", "eta", "phi", "mass"})


def momenta(properties: Mapping[str, ak.Array], *, name: str, where: str | None = None) -> ak.Array:
    """Return a collection of four-momenta made of the arrays of its properties.

    Args:
        properties: property -> (events, items) numbers. The momentum is given by px, py, pz or by pt, eta, phi, and
            by energy or by mass (none of the two: massless). Other properties, such as pdg, are kept as they are.
        name: of the collection, for messages.
        where: the file, for messages.

    Raises:
        InvalidInput: ``sample.collection``, no momentum can be made of the properties, or their lists differ in length.
    """
    given = dict(properties)
    if not ({"px", "py", "pz"} <= given.keys() or {"pt", "eta", "phi"} <= given.keys()):
        raise InvalidInput(
            f"collection {name!r} has {', '.join(sorted(given)) or 'no properties'}; expected px, py, pz or pt, "
            "eta, phi, and energy or mass",
            code="sample.collection",
            where=where,
        )
    given |= {key: ak.values_astype(given[key], np.float64) for key in _COORDINATES & given.keys()}
    try:
        fields = _cartesian(given) | {key: given[key] for key in given if key not in _COORDINATES}
        return ak.zip(fields, with_name="Momentum4D", behavior=behavior)
    except ValueError as err:
        raise InvalidInput(
            f"the properties of collection {name!r} do not have the same number of items in every event",
            code="sample.collection",
            where=where,
        ) from err


def _cartesian(given: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    if {"px", "py", "pz"} <= given.keys():
        px, py, pz = given["px"], given["py"], given["pz"]
    else:
        px = given["pt"] * np.cos(given["phi"])
        py = given["pt"] * np.sin(given["phi"])
        pz = given["pt"] * np.sinh(given["eta"])
    if "energy" in given:
        energy = given["energy"]
    else:
        energy = np.sqrt(px**2 + py**2 + pz**2 + given.get("mass", 0.0) ** 2)
    return {"px": px, "py": py, "pz": pz, "energy": energy}


def replaced(collection: ak.Array, momentum: Mapping[str, ak.Array]) -> ak.Array:
    """Return `collection` with the arrays in `momentum`, in place of its own or new; every other property is kept."""
    fields = {key: collection[key] for key in collection.fields} | dict(momentum)
    return ak.zip(fields, with_name="Momentum4D", behavior=behavior)


def item_properties(items: ak.Array) -> dict[str, ak.Array]:
    """Return property -> value per item: what expressions of an item may name, and other numbers it has."""
    momentum = {key: getattr(items, key) for key in ("pt", "eta", "phi", "mass", "px", "py", "pz")}
    others = {key: items[key] for key in items.fields if key not in momentum and key not in CARTESIAN}
    others.pop(ITEM_NUMBER, None)
    return {"energy": items.E, **momentum, **others}


def with_charge(collection: ak.Array, *, name: str) -> ak.Array:
    """Return `collection` with a charge per item, from its PDG numbers where it has none.

    Raises:
        InvalidInput: ``sample.collection``, it has neither.
    """
    if "charge" in collection.fields:
        return collection
    if "pdg" not in collection.fields:
        raise InvalidInput(
            f"collection {name!r} has neither charge nor pdg; it has {', '.join(item_properties(collection))}",
            code="sample.collection",
        )
    flat = ak.to_numpy(ak.flatten(collection["pdg"], axis=None)).astype(np.int64)
    charge = ak.unflatten(ak.Array(charge_of(flat)), ak.num(collection, axis=1))
    fields = {key: collection[key] for key in collection.fields} | {"charge": charge}
    return ak.zip(fields, with_name="Momentum4D", behavior=behavior)


def components(items: ak.Array) -> Float64[np.ndarray, "events 4"]:
    """Return one four-momentum per event as columns px, py, pz, energy in GeV."""
    return np.column_stack([ak.to_numpy(part).astype(np.float64) for part in (items.px, items.py, items.pz, items.E)])
