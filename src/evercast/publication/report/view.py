"""A typed look into a JSON value: what is there is given in the type asked for, what is absent is None."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evercast.artifacts.files import read_json

__all__ = ["JsonView", "read_view"]


@dataclass(frozen=True, slots=True)
class JsonView:
    """A JSON value; `at` steps into it and never fails."""

    value: object = None

    def at(self, *keys: str | int) -> JsonView:
        """Return what stands under `keys`, a view of None where there is nothing."""
        value = self.value
        for key in keys:
            if isinstance(value, Mapping) and isinstance(key, str):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
                value = value[key]
            else:
                return JsonView()
        return JsonView(value)

    def first(self, *names: str) -> JsonView:
        """Return what stands under the first of `names` that is there."""
        return next((found for name in names if (found := self.at(name)).value is not None), JsonView())

    def number(self, *keys: str | int) -> float | None:
        """Return a finite number, None where there is none."""
        value = self.at(*keys).value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        number = _as_float(value)
        return number if math.isfinite(number) else None

    def whole(self, *keys: str | int) -> int | None:
        """Return a whole number, None where there is none."""
        value = self.at(*keys).value
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def text(self, *keys: str | int) -> str | None:
        """Return a text, None where there is none."""
        value = self.at(*keys).value
        return value if isinstance(value, str) else None

    def flag(self, *keys: str | int) -> bool | None:
        """Return a truth value, None where there is none."""
        value = self.at(*keys).value
        return value if isinstance(value, bool) else None

    def numbers(self, *keys: str | int) -> Float[np.ndarray, " values"]:
        """Return a list of numbers as float64, None among them as NaN; empty where there is no list."""
        value = self.at(*keys).value
        if not isinstance(value, list):
            return np.zeros(0)
        return np.array([_as_float(v) if isinstance(v, int | float) else math.nan for v in value], dtype=np.float64)

    def items(self, *keys: str | int) -> Iterator[tuple[str, JsonView]]:
        """Yield the keys and values of an object."""
        value = self.at(*keys).value
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield str(key), JsonView(item)

    def entries(self, *keys: str | int) -> Iterator[JsonView]:
        """Yield the values of a list."""
        value = self.at(*keys).value
        if isinstance(value, list):
            for item in value:
                yield JsonView(item)


def read_view(path: Path) -> JsonView:
    """Return the content of a JSON file.

    Raises:
        IntegrityError: the file is absent or not JSON.
    """
    return JsonView(read_json(path))


def _as_float(value: float) -> float:
    """Return a number of a JSON text as a float, infinite where it is larger than any."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
