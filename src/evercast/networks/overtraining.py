"""Whether networks know the events they trained on better than others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from evercast.networks.comparison import Agreement, kolmogorov_smirnov

__all__ = ["FoldComparison", "Scored", "compare_fold"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Events of one class as one network sees them.

    Args:
        logit: (events,) natural logarithm of the ratio.
        weight: (events,) of any sign.
        held_out: (events,) the network was not trained on the event.
    """

    logit: Float64[np.ndarray, " events"]
    weight: Float64[np.ndarray, " events"]
    held_out: Bool[np.ndarray, " events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldComparison:
    """Events of the training against events held out, of one network.

    Args:
        train_loss: cross entropy per event, both classes of weight 1/2, on the events of the training.
        holdout_loss: the same on events held out.
        process: distance between the distributions of the logit, of the process.
        reference: the same of the reference.
    """

    fold: int
    train_loss: float
    holdout_loss: float
    process: Agreement
    reference: Agreement


def compare_fold(fold: int, process: Scored, reference: Scored) -> FoldComparison | None:
    """Return how a network treats both kinds of events, None where a class has no events of one kind."""
    if any(scored.held_out.all() or not scored.held_out.any() for scored in (process, reference)):
        return None
    return FoldComparison(
        fold=fold,
        train_loss=_loss(process, ~process.held_out, reference, ~reference.held_out),
        holdout_loss=_loss(process, process.held_out, reference, reference.held_out),
        process=_agreement(process),
        reference=_agreement(reference),
    )


def _agreement(scored: Scored) -> Agreement:
    seen, held = ~scored.held_out, scored.held_out
    return kolmogorov_smirnov(scored.logit[seen], scored.weight[seen], scored.logit[held], scored.weight[held])


def _loss(
    process: Scored, chosen: Bool[np.ndarray, " process"], reference: Scored, other: Bool[np.ndarray, " reference"]
) -> float:
    one = np.average(np.logaddexp(0.0, -process.logit[chosen]), weights=process.weight[chosen])
    zero = np.average(np.logaddexp(0.0, reference.logit[other]), weights=reference.weight[other])
    return float(one + zero) / 2.0
