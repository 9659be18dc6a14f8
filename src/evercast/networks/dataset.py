"""The events a network learns from: two classes, checked, balanced and split for the cross-fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt64

from evercast.errors import InvalidInput
from evercast.networks.folds import CrossFitting, random_bits

__all__ = [
    "ClassSummary",
    "Events",
    "Split",
    "TrainingSet",
    "check_events",
    "effective_sample_size",
    "mixture",
    "split",
    "standardisation",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """What one class brings to a training."""

    n_events: int
    n_negative: int
    sum_of_weights: float
    effective_sample_size: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingSet:
    """Both classes in one table.

    Args:
        observables: (rows, inputs) float32.
        label: (rows,), 1 for the process, 0 for the reference.
        weight: (rows,), each class with sum 1.
        event: (rows,), identity of the event, the same in every sample that holds it.
        names: names of the inputs.
    """

    observables: Float32[np.ndarray, "rows inputs"]
    label: Float32[np.ndarray, " rows"]
    weight: Float64[np.ndarray, " rows"]
    event: UInt64[np.ndarray, " rows"]
    names: tuple[str, ...]

    def summary(self, rows: Bool[np.ndarray, " rows"] | None = None) -> dict[str, ClassSummary]:
        """Return the summary of each class, of all rows or of those selected."""
        chosen = np.ones(self.label.shape, dtype=bool) if rows is None else rows
        return {name: summarise(self.weight[chosen & (self.label == value)]) for value, name in enumerate(_CLASS_NAMES)}


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


def check_events(events: Events, *, names: Sequence[str], what: str, negative_weights: str = "signed") -> None:
    """Refuse events that nothing can be learned from.

    Args:
        events: the events.
        names: of the observables.
        what: e.g. ``sample 'zz' in region 'SR'``.
        negative_weights: ``signed`` or ``reject``.

    Raises:
        InvalidInput: ``training.empty-class``, ``training.not-finite``, ``training.zero-weights``,
            ``training.negative-class`` or ``training.negative-weights``.
    """
    weight = events.weight
    if len(weight) == 0:
        raise _refused(f"{what} has no events", "empty-class", "loosen the cut of the region or give more events")
    bad = [name for name, column in zip(names, events.observables.T, strict=True) if not np.isfinite(column).all()]
    if bad or not np.isfinite(weight).all():
        column = events.observables[:, list(names).index(bad[0])] if bad else weight
        rows = np.flatnonzero(~np.isfinite(column))
        which = f"observable {bad[0]!r}" if bad else "the weight"
        raise _refused(
            f"{what}: {which} is NaN or infinite in {len(rows)} of {len(weight)} events, first in rows {_first(rows)}",
            "not-finite",
            "cut these events away or correct the expression",
        )
    if not np.any(weight):
        raise _refused(f"{what}: all {len(weight)} weights are zero", "zero-weights", "check the weight column")
    if negative_weights == "reject" and np.any(weight < 0.0):
        raise _refused(
            f"{what}: {int(np.sum(weight < 0.0))} of {len(weight)} weights are negative and the ensemble rejects them",
            "negative-weights",
            "set negative_weights: signed to train with them",
        )
    if np.sum(weight) <= 0.0:
        raise _refused(
            f"{what}: the sum of weights is {np.sum(weight):.6g}; a density needs a positive one",
            "negative-class",
            "a process of negative weight is the same process with a negative coefficient",
        )


def _first(rows: Int64[np.ndarray, " rows"]) -> str:
    return ", ".join(map(str, rows[:5])) + (" ..." if len(rows) > 5 else "")


def _refused(message: str, code: str, hint: str) -> InvalidInput:
    return InvalidInput(message, code=f"training.{code}", hint=hint)


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
    process: Events, reference: Events, *, names: Sequence[str], max_events: int | None = None, seed: int = 0
) -> TrainingSet:
    """Return both classes, each with total weight 1 and at most `max_events` events drawn with `seed`.

    Raises:
        InvalidInput: ``training.constant-observable``; ``training.negative-class`` where the events drawn cancel.
    """
    classes = [_capped(events, max_events, seed=seed) for events in (reference, process)]
    for events, what in zip(classes, _CLASS_NAMES, strict=True):
        if np.sum(events.weight) <= 0.0:
            hint = "raise max_events; too few events are left of a sample with negative weights"
            raise _refused(f"the {what} events drawn have a negative sum of weights", "negative-class", hint)
    observables = np.concatenate([events.observables for events in classes]).astype(np.float32)
    for name, column in zip(names, observables.T, strict=True):
        if not np.isfinite(column).all() or np.ptp(column) == 0.0:
            raise _refused(
                f"observable {name!r} is {column[0]:.6g} in all {len(column)} events of the process and the reference",
                "constant-observable",
                "remove it from the observables of the ensemble",
            )
    return TrainingSet(
        observables=observables,
        label=np.concatenate([np.full(len(part.weight), value, np.float32) for value, part in enumerate(classes)]),
        weight=np.concatenate([events.weight / np.sum(events.weight) for events in classes]),
        event=np.concatenate([events.event for events in classes]),
        names=tuple(names),
    )


def _capped(events: Events, limit: int | None, *, seed: int) -> Events:
    if limit is None or len(events.weight) <= limit:
        return events
    keys = random_bits(np.arange(len(events.weight), dtype=np.uint64), seed=seed)
    rows = np.sort(np.argsort(keys, kind="stable")[:limit])
    return Events(observables=events.observables[rows], weight=events.weight[rows], event=events.event[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """The rows of one network.

    Args:
        training: rows of the training part.
        validation: rows of the validation part, none of them in the training part.
        balance: for label 0 and 1, the factor that gives the class total weight 1/2 in the training part.
        validation_balance: the same for the validation part.
    """

    training: Int64[np.ndarray, " training"]
    validation: Int64[np.ndarray, " validation"]
    balance: Float64[np.ndarray, " classes"]
    validation_balance: Float64[np.ndarray, " classes"]


def split(
    events: TrainingSet, cross_fitting: CrossFitting, *, fold: int, seed: int, validation_fraction: float
) -> Split:
    """Return the rows on which the network of `fold` trains: not that fold, and not its validation part.

    The validation part is drawn by event, so that an event that stands in both classes is in one part only (up to the
    few at the border, as the number of each class is fixed).

    Raises:
        InvalidInput: ``training.too-few-events`` or ``training.negative-class`` where a part has no event, or a
            negative sum of weights, of a class.
    """
    outside = cross_fitting.fold_of(events.event) != fold
    keys = random_bits(events.event, seed=seed)
    training, validation = [], []
    for value in (0, 1):
        rows = np.flatnonzero(outside & (events.label == value))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        count = round(validation_fraction * len(rows))
        count = max(count, 1) if validation_fraction > 0.0 else 0
        validation.append(np.sort(rows[:count]))
        training.append(np.sort(rows[count:]))
    return Split(
        training=np.concatenate(training),
        validation=np.concatenate(validation),
        balance=_balance(events, training, part="training", fold=fold),
        validation_balance=_balance(events, validation, part="validation", fold=fold)
        if validation_fraction > 0.0
        else np.zeros(2),
    )


def _balance(
    events: TrainingSet, rows: Sequence[Int64[np.ndarray, " _rows"]], *, part: str, fold: int
) -> Float64[np.ndarray, " classes"]:
    sums = np.array([np.sum(events.weight[chosen]) for chosen in rows])
    for name, chosen, total in zip(_CLASS_NAMES, rows, sums, strict=True):
        if len(chosen) == 0:
            message = f"no {name} event is left for the {part} part of fold {fold}"
            raise _refused(message, "too-few-events", "use fewer folds or more events")
        if total <= 0.0:
            message = f"the sum of weights of the {name} class is negative in the {part} part of fold {fold}"
            raise _refused(message, "negative-class", "use more events; too many negative weights cancel")
    return 0.5 / sums


def standardisation(
    events: TrainingSet, part: Split
) -> tuple[Float32[np.ndarray, " inputs"], Float32[np.ndarray, " inputs"]]:
    """Return mean and standard deviation of each observable in the training part, with weights |w| of balanced classes.

    Raises:
        InvalidInput: ``training.constant-observable``.
    """
    rows = part.training
    weight = np.abs(events.weight[rows]) * part.balance[events.label[rows].astype(np.int64)]
    weight = weight / np.sum(weight)
    values = events.observables[rows].astype(np.float64)
    mean = weight @ values
    scale = np.sqrt(weight @ (values - mean) ** 2)
    for name, width in zip(events.names, scale, strict=True):
        if not width > 0.0:
            raise _refused(
                f"observable {name!r} does not vary in the training part of a network",
                "constant-observable",
                "remove it from the observables of the ensemble",
            )
    return mean.astype(np.float32), scale.astype(np.float32)
