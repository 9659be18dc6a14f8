"""What a systematic uncertainty changes in the events: momenta of objects, or weights.

Momenta stay consistent: a new transverse momentum scales the three-momentum, a new energy does so at fixed mass; a new
pseudorapidity or azimuth turns it at fixed transverse momentum and mass; a new mass changes the energy at fixed
three-momentum. A change of objects that are smeared comes after the smearing and before their cut: calibrations are of
what was reconstructed, so a factor on pt moves a peak by exactly that factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64

from evercast.errors import InvalidInput
from evercast.events.evaluate import Formula, Scope, evaluate_items, evaluate_number
from evercast.events.identity import index_in_file
from evercast.events.momenta import item_properties, replaced
from evercast.plan.recipes import EventVariation
from evercast.spec.expressions import names as names_of
from evercast.spec.expressions import parse

__all__ = ["Transform", "Variation", "apply_transforms", "parse_variation", "varied_weight"]

_FIXED: Final = frozenset({"pdg", "charge"})

Flat = Float64[np.ndarray, " items"]
Momentum = tuple[Flat, Flat, Flat, Flat]
"""px, py, pz, energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A new value of one property of the items of a collection.

    Args:
        quantity: ``pt``, ``eta``, ``phi``, ``energy``, ``mass``, ``px``, ``py``, ``pz``, or another number of the item.
        change: a factor, or the new value as an expression of the item.
        variation: its name, for messages.
    """

    collection: str
    quantity: str
    change: float | Formula
    variation: str | None = None

    @property
    def what(self) -> str:
        """What it does, in a few words."""
        text = f"x {self.change:g}" if isinstance(self.change, float) else f"= {self.change.text}"
        return f"{self.collection}.{self.quantity} {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A variation ready for chunks of events.

    Args:
        name: for messages and the cut flow.
        transforms: collection -> its changes, each of the values before all of them.
        weight: multiplies the nominal weight or replaces it; None leaves it.
    """

    name: str
    transforms: Mapping[str, tuple[Transform, ...]]
    weight: Formula | None = None
    meaning: Literal["factor", "weight"] = "factor"

    def weight_inputs(self) -> frozenset[str]:
        """Return the names that the weight uses."""
        return frozenset() if self.weight is None else frozenset(names_of(self.weight.tree))


def parse_variation(variation: EventVariation) -> Variation:
    """Return the variation with its expressions parsed.

    Raises:
        ExpressionError: an expression cannot be parsed.
        InvalidInput: ``systematic.transform``, a key is not ``collection.property``, or the property cannot change.
    """
    found: dict[str, list[Transform]] = {}
    of = "" if variation.name is None else f"{variation.name}: "
    for key, change in variation.transform.items():
        collection, _, name = key.partition(".")
        if not collection or not name or name in _FIXED:
            raise InvalidInput(
                f"the transform of {key!r} is not that of a number of an item; expected collection.property, not "
                f"{' nor '.join(sorted(_FIXED))}",
                code="systematic.transform",
                where=variation.name,
            )
        value = float(change) if isinstance(change, int | float) else _formula(f"{of}transform of {key!r}", change)
        found.setdefault(collection, []).append(
            Transform(collection=collection, quantity=name, change=value, variation=variation.name)
        )
    transforms = {name: tuple(some) for name, some in found.items()}
    weight = None if variation.weight is None else _formula(f"{of}varied weight", variation.weight)
    changes = [one.what for some in transforms.values() for one in some] + (
        [] if weight is None else [f"{variation.meaning} {weight.text}"]
    )
    name = variation.name or ", ".join(changes) or "variation"
    return Variation(name=name, transforms=MappingProxyType(transforms), weight=weight, meaning=variation.meaning)


def _formula(what: str, text: str) -> Formula:
    return Formula(what=what, text=text, tree=parse(text))


def varied_weight(
    variation: Variation, scope: Scope, weight: Float64[np.ndarray, " events"]
) -> Float64[np.ndarray, " events"]:
    """Return the varied weights of the events, whose nominal ones are `weight`.

    Raises:
        ExpressionError: the expression does not fit the events.
        InvalidInput: ``sample.not-finite``.
    """
    if variation.weight is None:
        return weight
    found = evaluate_number(variation.weight, scope)
    return weight * found if variation.meaning == "factor" else found


def apply_transforms(transforms: Sequence[Transform], items: ak.Array, scope: Scope) -> ak.Array:
    """Return the items with their new properties; every new value is computed from the items as they were.

    Raises:
        ExpressionError: an expression does not give one number per item.
        InvalidInput: ``systematic.transform``, the items have no such property, or a value is not possible (NaN, a
            negative transverse momentum, an energy below the mass).
    """
    values = [(one, _new_values(one, items, scope)) for one in transforms]
    for one, value in values:
        items = _with_property(one, items, value, scope)
    return items


def _new_values(one: Transform, items: ak.Array, scope: Scope) -> Flat:
    there = item_properties(items)
    if one.quantity not in there:
        raise InvalidInput(
            f"{one.what}: the items of {one.collection!r} have no {one.quantity!r}; they have "
            f"{', '.join(sorted(there.keys() - _FIXED))}",
            code="systematic.transform",
            where=one.variation,
        )
    if isinstance(one.change, float):
        return one.change * _flat(there[one.quantity])
    return _flat(evaluate_items(one.change, scope.only(there), like=items, condition=False))


def _flat(values: ak.Array) -> Flat:
    return np.asarray(ak.to_numpy(ak.flatten(values, axis=1)), dtype=np.float64)


def _with_property(one: Transform, items: ak.Array, value: Flat, scope: Scope) -> ak.Array:
    counts = ak.num(items, axis=1)
    momentum = (_flat(items.px), _flat(items.py), _flat(items.pz), _flat(items.E))
    move = _MOVES.get(one.quantity)
    if move is None:
        made, possible = {one.quantity: value}, np.isfinite(value)
    else:
        with np.errstate(all="ignore"):
            moved, possible = move(momentum, value)
        possible = possible & np.isfinite(value) & np.isfinite(moved).all(axis=0)
        same = value == _flat(item_properties(items)[one.quantity])  # such an item is left alone, not rounded anew
        parts = (np.where(same, old, new) for old, new in zip(momentum, moved, strict=True))
        made = dict(zip(("px", "py", "pz", "energy"), parts, strict=True))
    if not possible.all():
        _refuse(one, value, possible, np.repeat(scope.event, ak.to_numpy(counts)))
    return replaced(items, {key: ak.unflatten(ak.Array(part), counts) for key, part in made.items()})


def _refuse(one: Transform, value: Flat, possible: Bool[np.ndarray, " items"], event: np.ndarray) -> None:
    first = int(np.flatnonzero(~possible)[0])
    raise InvalidInput(
        f"{one.what} gives {one.quantity} = {value[first]:g} in event {index_in_file(event[first])} of its file, and "
        f"no possible momentum for {int((~possible).sum())} of {len(value)} items",
        code="systematic.transform",
        where=one.variation,
        hint="a pt and a mass must not be negative, an energy not below the mass; all must be finite",
    )


def _scaled(momentum: Momentum, factor: Flat) -> Momentum:
    """Return the three-momentum times `factor` at fixed mass."""
    px, py, pz, energy = momentum
    square = px**2 + py**2 + pz**2
    return px * factor, py * factor, pz * factor, np.sqrt(np.maximum(energy**2 + (factor**2 - 1.0) * square, 0.0))


def _with_pt(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
    pt = np.hypot(momentum[0], momentum[1])
    factor = np.divide(value, pt, out=np.ones_like(pt), where=pt > 0)
    return _scaled(momentum, factor), value >= 0


def _with_energy(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
    px, py, pz, energy = momentum
    square = px**2 + py**2 + pz**2
    wanted = square + (value**2 - energy**2)  # E'^2 - m^2, with m^2 = E^2 - p^2
    factor = np.sqrt(np.divide(np.maximum(wanted, 0.0), square, out=np.ones_like(square), where=square > 0))
    return (px * factor, py * factor, pz * factor, value), (wanted >= 0) & (value >= 0)


def _with_component(position: int) -> Callable[[Momentum, Flat], tuple[Momentum, Bool[np.ndarray, " items"]]]:
    def move(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
        square = momentum[3] ** 2 + value**2 - momentum[position] ** 2
        parts = [value if place == position else momentum[place] for place in range(3)]
        return (parts[0], parts[1], parts[2], np.sqrt(np.maximum(square, 0.0))), np.isfinite(value)

    return move


def _with_eta(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
    return _with_component(2)(momentum, np.hypot(momentum[0], momentum[1]) * np.sinh(value))


def _with_phi(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
    pt = np.hypot(momentum[0], momentum[1])
    return (pt * np.cos(value), pt * np.sin(value), momentum[2], momentum[3]), np.isfinite(value)


def _with_mass(momentum: Momentum, value: Flat) -> tuple[Momentum, Bool[np.ndarray, " items"]]:
    """Rounding makes the mass of light items imaginary, shown as negative: such a one may stay so."""
    px, py, pz, energy = momentum
    square = px**2 + py**2 + pz**2
    imaginary = energy**2 < square
    moved = np.sqrt(np.maximum(square + np.sign(value) * value**2, 0.0))
    return (px, py, pz, moved), (value >= 0) | imaginary


_MOVES: Final[Mapping[str, Callable[[Momentum, Flat], tuple[Momentum, Bool[np.ndarray, " items"]]]]] = MappingProxyType(
    {
        "pt": _with_pt,
        "energy": _with_energy,
        "px": _with_component(0),
        "py": _with_component(1),
        "pz": _with_component(2),
        "eta": _with_eta,
        "phi": _with_phi,
        "mass": _with_mass,
    }
)
