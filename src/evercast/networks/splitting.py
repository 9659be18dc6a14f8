"""The rows of one network: which train, which validate, and what balances the classes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from evercast.networks.dataset import TrainingSet
from evercast.networks.folds import CrossFitting, random_bits
from evercast.networks.suitability import refused

__all__ = ["Split", "split", "standardisation"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """The rows of one network.

    Args:
        training: rows of the training part.
        validation: rows of the validation part, none of them in the training part.
        balance: for each class, the factor that gives it the total weight 1/2 in the training part.
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

    The validation part is drawn by event, so that an event that stands in several classes is in one part only (up to
    the few at the border, as the number of each class is fixed).

    Raises:
        InvalidInput: ``training.too-few-events`` or ``training.negative-class`` where a part has no event, or a
            negative sum of weights, of a class.
    """
    outside = cross_fitting.fold_of(events.event) != fold
    keys = random_bits(events.event, seed=seed)
    training, validation = [], []
    for value in range(len(events.class_names)):
        rows = np.flatnonzero(outside & (events.category == value))
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
        else np.zeros(len(events.class_names)),
    )


def _balance(
    events: TrainingSet, rows: Sequence[Int64[np.ndarray, " _rows"]], *, part: str, fold: int
) -> Float64[np.ndarray, " classes"]:
    sums = np.array([np.sum(events.weight[chosen]) for chosen in rows])
    for name, chosen, total in zip(events.class_names, rows, sums, strict=True):
        if len(chosen) == 0:
            message = f"no {name} event is left for the {part} part of fold {fold}"
            raise refused(message, "too-few-events", "use fewer folds or more events")
        if total <= 0.0:
            message = f"the sum of weights of the {name} class is negative in the {part} part of fold {fold}"
            raise refused(message, "negative-class", "use more events; too many negative weights cancel")
    return 0.5 / sums


def standardisation(
    events: TrainingSet, part: Split
) -> tuple[Float32[np.ndarray, " inputs"], Float32[np.ndarray, " inputs"]]:
    """Return mean and standard deviation of each observable in the training part, with weights |w| of balanced classes.

    Raises:
        InvalidInput: ``training.constant-observable``.
    """
    rows = part.training
    weight = np.abs(events.weight[rows]) * part.balance[events.category[rows]]
    weight = weight / np.sum(weight)
    values = events.observables[rows].astype(np.float64)
    mean = weight @ values
    scale = np.sqrt(weight @ (values - mean) ** 2)
    for name, width in zip(events.names, scale, strict=True):
        if not width > 0.0:
            raise refused(
                f"observable {name!r} does not vary in the training part of a network",
                "constant-observable",
                "remove it from the observables of the ensemble",
            )
    return mean.astype(np.float32), scale.astype(np.float32)
