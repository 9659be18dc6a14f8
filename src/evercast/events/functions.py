"""The functions of the expression language, on awkward arrays of numbers, conditions and four-momenta."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import awkward as ak
import numpy as np

from evercast.events.angles import cos_helicity, cos_theta_star, phi1_plane, phi_planes
from evercast.events.momenta import components

__all__ = ["APPLY", "Form", "Unsuitable", "Value", "describe", "form_of", "is_condition", "is_number", "require"]

Value: TypeAlias = Any  # awkward has no types
"""A number or condition for all events, or an array whose first axis is events."""

Form = Literal["constant", "event", "list", "item", "collection"]
"""One value for all events; per event a number, a list of numbers, a four-momentum, a list of four-momenta."""

_WORDS: Mapping[Form, str] = MappingProxyType(
    {
        "constant": "a number",
        "event": "one number per event",
        "list": "a list of numbers per event",
        "item": "one item per event",
        "collection": "a collection",
    }
)


class Unsuitable(Exception):
    """What a function was given does not fit.

    Args:
        reason: what was found and what is needed.
        argument: position of the argument that is wrong; None points at the function itself.
    """

    def __init__(self, reason: str, *, argument: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.argument = argument


def form_of(value: Value) -> Form:
    """Return the form of a value."""
    if not isinstance(value, ak.Array):
        return "constant"
    if value.fields:
        return "item" if value.ndim == 1 else "collection"
    return "event" if value.ndim == 1 else "list"


def describe(value: Value) -> str:
    """Return the form of a value in words."""
    return _WORDS[form_of(value)]


def is_condition(value: Value) -> bool:
    """Return whether the value is a truth value, or an array of them."""
    if not isinstance(value, ak.Array):
        return isinstance(value, bool | np.bool_)
    return not value.fields and _primitive(value) == "bool"


def is_number(value: Value) -> bool:
    """Return whether the value is a number, or an array of numbers, without fields and without text."""
    if not isinstance(value, ak.Array):
        return not isinstance(value, bool | np.bool_)
    return not value.fields and _primitive(value).startswith(("int", "uint", "float"))


def _primitive(value: ak.Array) -> str:
    kind = ak.type(value).content
    while hasattr(kind, "content"):
        if kind.parameters.get("__array__") in ("string", "bytestring"):
            return "text"
        kind = kind.content
    return str(getattr(kind, "primitive", "unknown"))


def require(value: Value, *forms: Form, argument: int | None = None) -> None:
    """Refuse a value of another form.

    Raises:
        Unsuitable: with what was found and what is needed.
    """
    if form_of(value) not in forms:
        needed = " or ".join(_WORDS[form] for form in forms)
        raise Unsuitable(f"needs {needed}, this is {describe(value)}", argument=argument)


def _numbers(values: Sequence[Value]) -> list[Value]:
    for position, value in enumerate(values):
        if not is_number(value):
            found = "a condition" if is_condition(value) else describe(value) if not _texts(value) else "text"
            raise Unsuitable(f"needs numbers, this is {found}", argument=position)
    return [ak.values_astype(value, np.float64) if isinstance(value, ak.Array) else float(value) for value in values]


def _texts(value: Value) -> bool:
    return isinstance(value, ak.Array) and not value.fields and _primitive(value) == "text"


def _elementwise(function: Callable[..., Value]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        return function(*_numbers(values))

    return apply


def _where(values: Sequence[Value]) -> Value:
    condition, first, second = values
    if not is_condition(condition):
        raise Unsuitable(f"'where' needs a condition first, this is {describe(condition)}", argument=0)
    if is_condition(first) and is_condition(second):
        return (condition & first) | (~condition & second) if isinstance(condition, ak.Array) else second
    first, second = _numbers([first, second])
    if not isinstance(condition, ak.Array):
        return first if condition else second
    return ak.where(condition, first, second)


def _extreme(reduce: Callable[..., ak.Array], pairwise: Callable[..., Value]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        numbers = _numbers(values)
        if len(numbers) > 1:
            result = numbers[0]
            for number in numbers[1:]:
                result = pairwise(result, number)
            return result
        require(numbers[0], "list", argument=0)
        empty = int(ak.sum(ak.num(numbers[0], axis=1) == 0))
        if empty:
            raise Unsuitable(f"the list is empty in {empty} of {len(numbers[0])} events", argument=0)
        return ak.drop_none(ak.fill_none(reduce(numbers[0], axis=1), 0.0), axis=0)

    return apply


def _sum(values: Sequence[Value]) -> Value:
    (value,) = values
    require(value, "list", "collection", argument=0)
    if form_of(value) == "collection":
        return ak.sum(value, axis=1)
    return ak.sum(value if is_condition(value) else _numbers(values)[0], axis=1)


def _count(values: Sequence[Value]) -> Value:
    require(values[0], "list", "collection", argument=0)
    return ak.num(values[0], axis=1)


def _truth(reduce: Callable[..., ak.Array]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        require(values[0], "list", argument=0)
        if not is_condition(values[0]):
            raise Unsuitable("needs a list of conditions, this is a list of numbers", argument=0)
        return reduce(values[0], axis=1)

    return apply


def _momentum(attribute: str) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        require(values[0], "item", "collection", argument=0)
        return getattr(values[0], attribute)

    return apply


def _property(name: str) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        require(values[0], "item", "collection", argument=0)
        fields = ak.fields(values[0])
        if name not in fields:
            momentum = {"px", "py", "pz", "energy", "x", "y", "z", "t"}
            others = [field for field in fields if field not in momentum and not field.startswith("_")]
            known = f"it has {', '.join(others)}" if others else "a sum of items has none"
            raise Unsuitable(f"has no {name}; {known}", argument=0)
        return values[0][name]

    return apply


def _delta_phi_of(first: ak.Array, second: ak.Array) -> ak.Array:
    difference = first.phi - second.phi
    return np.arctan2(np.sin(difference), np.cos(difference))


def _pair(function: Callable[[ak.Array, ak.Array], ak.Array]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        for position, value in enumerate(values):
            require(value, "item", "collection", argument=position)
        return function(*values)

    return apply


def _delta_r_of(first: ak.Array, second: ak.Array) -> ak.Array:
    return np.hypot(first.eta - second.eta, _delta_phi_of(first, second))


def _angle(function: Callable[..., np.ndarray]) -> Callable[[Sequence[Value]], Value]:
    def apply(values: Sequence[Value]) -> Value:
        for position, value in enumerate(values):
            require(value, "item", argument=position)
        return ak.Array(function(*(components(value) for value in values)))

    return apply


APPLY: Mapping[str, Callable[[Sequence[Value]], Value]] = MappingProxyType(
    {
        **{name: _elementwise(getattr(np, name)) for name in ("sqrt", "log", "exp", "sin", "cos", "tan", "floor")},
        **{name: _elementwise(getattr(np, name)) for name in ("cosh", "sinh", "tanh")},
        "abs": _elementwise(np.abs),
        "atan2": _elementwise(np.arctan2),
        "where": _where,
        "min": _extreme(ak.min, np.minimum),
        "max": _extreme(ak.max, np.maximum),
        "sum": _sum,
        "count": _count,
        "any": _truth(ak.any),
        "all": _truth(ak.all),
        **{name: _momentum(name) for name in ("mass", "pt", "eta", "phi", "px", "py", "pz", "rapidity")},
        "energy": _momentum("E"),
        "charge": _property("charge"),
        "pdg": _property("pdg"),
        "delta_phi": _pair(_delta_phi_of),
        "delta_r": _pair(_delta_r_of),
        "cos_theta_star": _angle(cos_theta_star),
        "cos_helicity": _angle(cos_helicity),
        "phi_planes": _angle(phi_planes),
        "phi1_plane": _angle(phi1_plane),
    }
)
"""Function of the language -> what it does with the values of its arguments."""
