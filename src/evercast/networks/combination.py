"""How the logits of many networks become one log ratio.

Members are combined as the document says, within one fold. Over folds, which matters only for events no network
has seen, it is always the ratio that is averaged: the mean of a ratio over the reference, measured out of fold, is
then the mean of the fold-averaged ratio as well, because it is linear in it. The mean of log ratios over folds
would have a smaller mean ratio (Jensen's inequality), by half the variance between folds, and normalising it with
the out-of-fold number would bias the yields.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

__all__ = ["Combine", "combine_logits"]

Combine = Literal["mean_log_ratio", "mean_ratio"]


def combine_logits(
    logits: Float[np.ndarray, "members folds events"], combine: Combine
) -> tuple[Float64[np.ndarray, " events"], Float64[np.ndarray, " events"]]:
    """Return the log ratio of each event and its standard deviation over members, summed in float64.

    log r = log mean_k exp(l_k), with l_k the mean over members of the logits of fold k (``mean_log_ratio``,
    arXiv:2506.00113) or the log of the mean of their exponentials (``mean_ratio``). The standard deviation is that of
    the log ratios of single members, divisor members - 1; 0 for one member.

    Args:
        logits: natural logarithms; one fold for events evaluated out of fold.
        combine: how members are combined.
    """
    values = logits.astype(np.float64)
    by_fold = _mean(np.swapaxes(values, 0, 1), combine)
    by_member = _mean(values, "mean_ratio")
    spread = np.std(by_member, axis=0, ddof=1) if len(by_member) > 1 else np.zeros(by_member.shape[1])
    return _mean(by_fold[None], "mean_ratio")[0], spread


def _mean(values: Float64[np.ndarray, "sets terms events"], combine: Combine) -> Float64[np.ndarray, "sets events"]:
    if combine == "mean_log_ratio":
        return np.asarray(np.mean(values, axis=1))
    largest: Float64[np.ndarray, "sets 1 events"] = np.max(values, axis=1, keepdims=True)
    logs: Float64[np.ndarray, "sets events"] = largest[:, 0] + np.log(np.mean(np.exp(values - largest), axis=1))
    return logs
