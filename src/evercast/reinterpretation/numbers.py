"""Numbers against numbers: arrays and JSON values, within a tolerance, with the place that differs most."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evercast.spec.model import NumericTolerance

__all__ = ["Deviation", "Leaf", "compare_arrays", "compare_json", "leaves", "merged"]

Leaf = str | int | float | bool | None

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far numbers lie apart.

    Args:
        compared: how many numbers.
        changed: how many of them are not the same.
        beyond: how many are beyond the tolerance, texts and whole numbers that are not equal among them.
        largest: largest absolute difference.
        excess: largest difference in units of its tolerance.
        place: of the largest excess.
        other: what has no number to compare: another shape, type, text; at most five are named.
    """

    compared: int = 0
    changed: int = 0
    beyond: int = 0
    largest: float = 0.0
    excess: float = 0.0
    place: str = ""
    other: tuple[str, ...] = ()

    @property
    def close(self) -> bool:
        """Whether all is within the tolerance."""
        return self.beyond == 0 and not self.other


def merged(parts: Iterable[Deviation]) -> Deviation:
    """Return several deviations as one."""
    every = list(parts)
    most = max(every, key=lambda part: part.excess, default=Deviation())
    return Deviation(
        compared=sum(part.compared for part in every), changed=sum(part.changed for part in every),
        beyond=sum(part.beyond for part in every), largest=max((part.largest for part in every), default=0.0),
        excess=most.excess, place=most.place, other=tuple(text for part in every for text in part.other)[:_NAMED],
    )  # fmt: skip


def compare_arrays(
    old: Mapping[str, NDArray[np.generic]], new: Mapping[str, NDArray[np.generic]], tolerance: NumericTolerance
) -> Deviation:
    """Return how far two sets of arrays lie apart; whole numbers and truth values must be equal.

    A value that is not finite must be the same on both sides.
    """
    return merged(_array(name, old.get(name), new.get(name), tolerance) for name in sorted(old.keys() | new.keys()))


def _array(
    name: str, old: NDArray[np.generic] | None, new: NDArray[np.generic] | None, tolerance: NumericTolerance
) -> Deviation:
    if old is None or new is None:
        return Deviation(other=(f"{name}: {'new' if old is None else 'gone'}",))
    if old.shape != new.shape or old.dtype.kind != new.dtype.kind:
        return Deviation(other=(f"{name}: {old.dtype} {old.shape} -> {new.dtype} {new.shape}",))
    if old.dtype.kind != "f":
        changed = int(np.count_nonzero(old != new))
        place = f"{name}{list(map(int, np.argwhere(old != new)[0]))}" if changed else ""
        excess = math.inf if changed else 0.0
        return Deviation(compared=old.size, changed=changed, beyond=changed, excess=excess, place=place)
    return _floats(name, old.astype(np.float64), new.astype(np.float64), tolerance)


def _floats(name: str, old: NDArray[np.float64], new: NDArray[np.float64], tolerance: NumericTolerance) -> Deviation:
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(new - old))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    allowed = tolerance.abs + tolerance.rel * np.where(np.isfinite(old), np.abs(old), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(difference == 0.0, 0.0, difference / allowed)
    if not old.size:
        return Deviation()
    most = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return Deviation(
        compared=old.size, changed=int(np.count_nonzero(~same)), beyond=int(np.count_nonzero(excess > 1.0)),
        largest=float(np.max(difference)), excess=float(excess[most]),
        place=f"{name}{list(map(int, most))}" if excess[most] > 0.0 else "",
    )  # fmt: skip


def leaves(value: object, path: str = "$") -> Iterator[tuple[str, Leaf]]:
    """Yield the JSON path and the value of every leaf; an empty object or list is a leaf ``{}`` or ``[]``.

    Example:
        >>> list(leaves({"a": [1, {"b": None}], "c": {}}))
        [('$.a[0]', 1), ('$.a[1].b', None), ('$.c', '{}')]
    """
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}")
    elif isinstance(value, list | tuple) and value:
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        yield path, "{}"
    elif isinstance(value, list | tuple):
        yield path, "[]"
    elif value is None or isinstance(value, str | int | float):
        yield path, value
    else:
        yield path, str(value)


def compare_json(
    old: object, new: object, tolerance: NumericTolerance, *,
    records: re.Pattern[str] | None = None, digests: re.Pattern[str] | None = None,
) -> Deviation:  # fmt: skip
    """Return how far two JSON values lie apart: fractions within the tolerance, all else equal.

    Args:
        old: one value.
        new: the other one.
        tolerance: for fractions.
        records: paths, as `leaves` gives them, that say how a file was made, and are left out.
        digests: paths of digests of other files, which are compared themselves; what is no digest there is not left
            out.
    """

    def counted(value: object) -> dict[str, Leaf]:
        return {path: leaf for path, leaf in leaves(value) if not _left_out(path, leaf, records, digests)}

    before, after = counted(old), counted(new)
    return merged(_leaf(path, before, after, tolerance) for path in {**before, **after})


def _left_out(path: str, leaf: Leaf, records: re.Pattern[str] | None, digests: re.Pattern[str] | None) -> bool:
    if records is not None and records.fullmatch(path):
        return True
    if digests is None or not isinstance(leaf, str) or not _DIGEST.fullmatch(leaf):
        return False
    return digests.fullmatch(path) is not None


def _leaf(path: str, before: Mapping[str, Leaf], after: Mapping[str, Leaf], tolerance: NumericTolerance) -> Deviation:
    if path not in before or path not in after:
        return Deviation(other=(f"{path}: {'new' if path in after else 'gone'}",))
    old, new = before[path], after[path]
    if isinstance(old, bool | str) or isinstance(new, bool | str) or old is None or new is None:
        changed = type(old) is not type(new) or old != new
        return Deviation(other=(f"{path}: {old!r:.60} -> {new!r:.60}",)) if changed else Deviation()
    difference = abs(float(new) - float(old))
    whole = isinstance(old, int) and isinstance(new, int)
    allowed = 0.0 if whole else tolerance.abs + tolerance.rel * abs(float(old))
    excess = difference / allowed if allowed else math.inf if difference else 0.0
    return Deviation(
        compared=1, changed=difference > 0.0, beyond=excess > 1.0, largest=difference, excess=excess,
        place=path if difference else "",
    )  # fmt: skip
