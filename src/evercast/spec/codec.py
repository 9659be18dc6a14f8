"""Frozen dataclasses to plain JSON values and back: documents, recipes, receipts.

Unions of dataclasses are told apart by their ``kind``. Nothing is converted silently: a text stays a text, an unknown
key is an error. A whole number is taken where a float is declared, so that ``7`` and ``7.0`` give one canonical form.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs

from evercast.errors import InvalidInput
from evercast.spec.model import (
    BinnedChannel,
    KinematicSystematic,
    NormalisationSystematic,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
    UnbinnedChannel,
    WeightSystematic,
)

__all__ = ["from_json", "to_json"]

T = TypeVar("T")

_CHANNELS: Mapping[str, type] = {"binned": BinnedChannel, "unbinned": UnbinnedChannel}
_SYSTEMATICS: Mapping[str, type] = {
    "normalisation": NormalisationSystematic,
    "shape": SampleSystematic,
    "normalisation+shape": SampleSystematic,
    "kinematic": KinematicSystematic,
    "weight": WeightSystematic,
    "two_point": TwoPointSystematic,
}


def to_json(value: object) -> Any:
    """Return a dataclass as nested dicts, lists, texts, numbers, booleans and None; every key is written."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key.name: to_json(getattr(value, key.name)) for key in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(kind: type[T], body: object) -> T:
    """Return the dataclass `kind` made of what `to_json` gave.

    Raises:
        InvalidInput: a key is missing or unknown, or a value has another type (code ``json.structure``).
    """
    if not isinstance(body, Mapping):
        raise InvalidInput(f"{kind.__name__} must be an object, found {type(body).__name__}", code="json.structure")
    try:
        value: T = _converter().structure(body, kind)
    except (cattrs.BaseValidationError, cattrs.errors.StructureHandlerNotFoundError) as err:
        reasons = "; ".join(cattrs.transform_error(err, path=kind.__name__))
        raise InvalidInput(f"not a valid {kind.__name__}: {reasons}", code="json.structure") from None
    return value


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for scalar in (str, bool, int):
        converter.register_structure_hook(scalar, functools.partial(_exactly, scalar))
    converter.register_structure_hook(float, _finite)
    converter.register_structure_hook(str | int | float, lambda value, _: _scalar(value))
    converter.register_structure_hook(
        str | float, lambda value, _: value if isinstance(value, str) else _finite(value, _)
    )
    converter.register_structure_hook(
        BinnedChannel | UnbinnedChannel, functools.partial(_by_kind, converter, _CHANNELS)
    )
    converter.register_structure_hook(Systematic, functools.partial(_by_kind, converter, _SYSTEMATICS))
    return converter


def _by_kind(converter: cattrs.Converter, kinds: Mapping[str, type], value: object, _: object) -> object:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise TypeError(f"kind is {kind!r}; it must be one of {', '.join(kinds)}")
    return converter.structure(value, kinds[kind])


def _exactly(scalar: type[T], value: object, _: object) -> T:
    if scalar is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, scalar) or (isinstance(value, bool) and scalar is not bool):
        raise TypeError(f"{value!r} is not of type {scalar.__name__}")
    return value


def _finite(value: object, _: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a finite number")
    return float(value)


def _scalar(value: object) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is not a text or a number")
    return value
