"""The events networks learn from: classes of events, each with total weight 1, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt64

from evercast.networks.folds import random_bits
from evercast.networks.suitability import refused

__all__ = [
    "ClassSummary",
    "Events",
    "TrainingSet",
    "effective_sample_size",
    "mixture",
    "morphing_set",
    "training_set",
]

_CLASS_NAMES: Final = ("reference", "process")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Events of one class.

    Args:
        observables: (events, inputs), in their units.
        weight: (events,), proportional to expected events, any sign.
        event: (events,), identity of the event, the same in every sample that holds it.
    """

    observables: Float64[np.ndarray, "events inputs"]
    weight: Float64[np.ndarray, " events"]
    event: UInt64[np.ndarray, " events"]

    def take(self, rows: np.ndarray) -> Events:
        """Return the events at the positions `rows`, or where a mask `rows` is true."""
        return Events(observables=self.observables[rows], weight=self.weight[rows], event=self.event[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """What one class brings to a training."""

    n_events: int
    n_negative: int
    sum_of_weights: float
    effective_sample_size: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingSet:
    """All classes in one table.

    Args:
        observables: (rows, inputs) float32.
        category: (rows,), 0 for the reference (or the nominal sample), k + 1 for the class that is compared with it at
            point k.
        weight: (rows,), each class with sum 1.
        event: (rows,), identity of the event, the same in every sample that holds it.
        names: names of the inputs.
        class_names: names of the classes, in the order of `category`.
        powers: (points, outputs), what the outputs of a network are multiplied with to give its logit at each point;
            one point and one output, multiplied with 1, where a density ratio is learned.
    """

    observables: Float32[np.ndarray, "rows inputs"]
    category: Int32[np.ndarray, " rows"]
    weight: Float64[np.ndarray, " rows"]
    event: UInt64[np.ndarray, " rows"]
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    powers: Float32[np.ndarray, "points outputs"]

    @property
    def label(self) -> Float32[np.ndarray, " rows"]:
        """Return 0 for the reference and 1 for every other class, (rows,)."""
        labels: Float32[np.ndarray, " rows"] = (self.category > 0).astype(np.float32)
        return labels

    def summary(self, rows: Bool[np.ndarray, " rows"] | None = None) -> dict[str, ClassSummary]:
        """Return the summary of each class, of all rows or of those selected."""
        chosen = np.ones(self.category.shape, dtype=bool) if rows is None else rows
        return {
            name: summarise(self.weight[chosen & (self.category == value)])
            for value, name in enumerate(self.class_names)
        }


def effective_sample_size(weight: Float64[np.ndarray, " events"]) -> float:
    """Return (sum w)^2 / sum w^2, the number of unweighted events with the same relative error; 0 without weights.

    Example:
        >>> effective_sample_size(np.array([1.0, 1.0, 1.0, -1.0]))
        1.0
    """
    squares = float(np.sum(weight**2))
    return float(np.sum(weight)) ** 2 / squares if squares > 0.0 else 0.0


def summarise(weight: Float64[np.ndarray, " events"]) -> ClassSummary:
    """Return the summary of a class with these weights."""
    return ClassSummary(
        n_events=len(weight),
        n_negative=int(np.sum(weight < 0.0)),
        sum_of_weights=float(np.sum(weight)),
        effective_sample_size=effective_sample_size(weight),
    )


def mixture(samples: Mapping[str, Events], weights: Mapping[str, float]) -> Events:
    """Return the reference: each sample normalised to sum 1, times its declared weight, one after the other.

    p_ref(x) = sum_s c_s p_s(x) / sum_s c_s (arXiv:2412.01600, the reference hypothesis).
    """
    parts = [(samples[name], weight) for name, weight in weights.items()]
    return Events(
        observables=np.concatenate([events.observables for events, _ in parts]),
        weight=np.concatenate([share * events.weight / np.sum(events.weight) for events, share in parts]),
        event=np.concatenate([events.event for events, _ in parts]),
    )


def training_set(
    process: Events,
    reference: Events,
    *,
    names: Sequence[str],
    class_names: tuple[str, str] = _CLASS_NAMES,
    max_events: int | None = None,
    seed: int = 0,
) -> TrainingSet:
    """Return both classes, each with total weight 1 and at most `max_events` events drawn by identity with `seed`.

    Raises:
        InvalidInput: ``training.constant-observable``; ``training.negative-class`` where the events drawn cancel.
    """
    classes = dict(zip(class_names, (reference, process), strict=True))
    return _joined(classes, np.ones((1, 1)), names=names, max_events=max_events, seed=seed)


def morphing_set(
    nominal: Events,
    varied: Mapping[str, Events],
    powers: Float64[np.ndarray, "points terms"],
    *,
    names: Sequence[str],
    max_events: int | None = None,
    seed: int = 0,
) -> TrainingSet:
    """Return the nominal sample and the varied one of each base point, each with total weight 1.

    Args:
        nominal: events at alpha = 0.
        varied: name of a base point -> events there, in the order of the rows of `powers`.
        powers: (points, terms), prod_k alpha_k^n_Ak of each term A at each base point.
        names: of the observables.
        max_events: of each class, drawn by identity.
        seed: of this drawing.

    Raises:
        InvalidInput: as `training_set`.
    """
    return _joined({"nominal": nominal, **varied}, powers, names=names, max_events=max_events, seed=seed)


def _joined(
    classes: Mapping[str, Events],
    powers: Float64[np.ndarray, "points terms"],
    *,
    names: Sequence[str],
    max_events: int | None,
    seed: int,
) -> TrainingSet:
    kept = {name: _capped(events, max_events, seed=seed) for name, events in classes.items()}
    for name, events in kept.items():
        if np.sum(events.weight) <= 0.0:
            hint = "raise max_events; too few events are left of a sample with negative weights"
            raise refused(f"the {name} events drawn have a negative sum of weights", "negative-class", hint)
    observables = np.concatenate([events.observables for events in kept.values()]).astype(np.float32)
    for name, column in zip(names, observables.T, strict=True):
        if not np.isfinite(column).all() or np.ptp(column) == 0.0:
            what = " and the ".join(reversed(list(kept))) if len(kept) == 2 else "process and its variations"
            raise refused(
                f"observable {name!r} is {column[0]:.6g} in all {len(column)} events of the {what}",
                "constant-observable",
                "remove it from the observables of the ensemble",
            )
    parts = list(kept.values())
    return TrainingSet(
        observables=observables,
        category=np.concatenate([np.full(len(part.weight), value, np.int32) for value, part in enumerate(parts)]),
        weight=np.concatenate([events.weight / np.sum(events.weight) for events in parts]),
        event=np.concatenate([events.event for events in parts]),
        names=tuple(names),
        class_names=tuple(kept),
        powers=powers.astype(np.float32),
    )


def _capped(events: Events, limit: int | None, *, seed: int) -> Events:
    if limit is None or len(events.weight) <= limit:
        return events
    keys = random_bits(events.event, seed=seed)
    return events.take(np.sort(np.argsort(keys, kind="stable")[:limit]))
