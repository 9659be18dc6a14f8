"""What events must be like for something to be learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from evercast.errors import InvalidInput

__all__ = ["check_different", "check_events", "refused"]


@runtime_checkable
class _WeightedEvents(Protocol):
    """Events of one class, as `evercast.networks.dataset.Events`."""

    @property
    def observables(self) -> Float64[np.ndarray, "events inputs"]: ...
    @property
    def weight(self) -> Float64[np.ndarray, " events"]: ...
    @property
    def event(self) -> UInt64[np.ndarray, " events"]: ...


def refused(message: str, code: str, hint: str) -> InvalidInput:
    """Return the error that refuses a training, with the code ``training.CODE``."""
    return InvalidInput(message, code=f"training.{code}", hint=hint)


def check_events(events: _WeightedEvents, *, names: Sequence[str], what: str, negative_weights: str = "signed") -> None:
    """Refuse events that nothing can be learned from.

    Args:
        events: the events.
        names: of the observables.
        what: e.g. ``sample 'zz' in region 'SR'``.
        negative_weights: ``signed``, ``resample`` or ``reject``.

    Raises:
        InvalidInput: ``training.empty-class``, ``training.not-finite``, ``training.zero-weights``,
            ``training.negative-class`` or ``training.negative-weights``.
    """
    weight = events.weight
    if len(weight) == 0:
        raise refused(f"{what} has no events", "empty-class", "loosen the cut of the region or give more events")
    bad = [name for name, column in zip(names, events.observables.T, strict=True) if not np.isfinite(column).all()]
    if bad or not np.isfinite(weight).all():
        column = events.observables[:, list(names).index(bad[0])] if bad else weight
        rows = np.flatnonzero(~np.isfinite(column))
        which = f"observable {bad[0]!r}" if bad else "the weight"
        raise refused(
            f"{what}: {which} is NaN or infinite in {len(rows)} of {len(weight)} events, first in rows {_first(rows)}",
            "not-finite",
            "cut these events away or correct the expression",
        )
    if not np.any(weight):
        raise refused(f"{what}: all {len(weight)} weights are zero", "zero-weights", "check the weight column")
    if negative_weights == "reject" and np.any(weight < 0.0):
        raise refused(
            f"{what}: {int(np.sum(weight < 0.0))} of {len(weight)} weights are negative and the ensemble rejects them",
            "negative-weights",
            "set negative_weights: signed to train with them",
        )
    if np.sum(weight) <= 0.0:
        raise refused(
            f"{what}: the sum of weights is {np.sum(weight):.6g}; a density needs a positive one",
            "negative-class",
            "a process of negative weight is the same process with a negative coefficient",
        )


def _first(rows: Int64[np.ndarray, " rows"]) -> str:
    return ", ".join(map(str, rows[:5])) + (" ..." if len(rows) > 5 else "")


def check_different(one: _WeightedEvents, two: _WeightedEvents, *, parameter: str, process: str, what: str) -> None:
    """Refuse two sides of a variation that are one and the same: same events, observables and weights.

    Args:
        one: the one side.
        two: the other side.
        parameter: the nuisance parameter.
        process: whose variation it is.
        what: the two sides in words, e.g. ``up and nominal``.

    Raises:
        InvalidInput: ``systematic.identical``.
    """
    same = all(
        np.array_equal(getattr(one, column), getattr(two, column)) for column in ("event", "weight", "observables")
    )
    if same:
        raise InvalidInput(
            f"nuisance parameter {parameter!r}, process {process!r}: {what} are identical, all {len(one.weight)} "
            "events with the same observables and weights; nothing can be learned from them",
            code="systematic.identical",
            hint="look at what the systematic changes (the file, the transform, the weight expression), or leave the "
            "process out of it",
        )
