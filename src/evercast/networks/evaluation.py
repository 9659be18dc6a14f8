"""Evaluation of an ensemble: log ratios of events, combined over members as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Float32, Float64, Int64

from evercast.errors import NumericalFailure
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.combination import Combine, combine_logits
from evercast.networks.mlp import Mlp

__all__ = ["CHUNK", "Combined", "ensemble_log_ratio"]

CHUNK: Final = 4096
"""Events evaluated at once: their activations stay in the second-level cache of a core."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combined:
    """Log ratios of events, natural logarithm.

    Args:
        log_ratio: (events,), combined over members (and folds).
        member_spread: (events,), standard deviation over members, divisor members - 1; 0 for one member.
    """

    log_ratio: Float64[np.ndarray, " events"]
    member_spread: Float64[np.ndarray, " events"]


def ensemble_log_ratio(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    combine: Combine = "mean_log_ratio",
    strategy: Literal["map", "vmap"] = "map",
    chunk: int = CHUNK,
) -> Combined:
    """Return the combined log ratio of each event.

    Args:
        architecture: form of the networks.
        networks: with leading axes (members, folds).
        observables: in the order and units of the architecture.
        fold: the fold of each event, which is then evaluated by the networks that left this fold out; None for events
            no network has seen (data): the mean of the ratio over folds is taken as well.
        combine: of members, see `evercast.networks.combination`.
        strategy: ``map`` over networks for a CPU, ``vmap`` for a GPU.
        chunk: events evaluated at once.

    Raises:
        NumericalFailure: ``evaluation.not-finite`` with the number of events, the first ones and the network.
    """
    members, folds = networks.axes()
    count = len(observables)
    log_ratio, spread = np.empty(count), np.empty(count)
    values = np.asarray(observables, dtype=np.float32)
    parts = [(slice(None), np.arange(count))] if fold is None else _by_fold(fold, folds)
    for which, rows in parts:
        chosen = networks.at(slice(None), which)
        axes = chosen.axes()
        network = Mlp.from_weights(chosen.reshape(-1), activation=architecture.activation)
        for first in range(0, len(rows), chunk):
            taken = rows[first : first + chunk]
            padded = np.pad(values[taken], ((0, chunk - len(taken)), (0, 0)), mode="edge")
            logits = np.asarray(_logits(network, padded, strategy))[:, : len(taken)].reshape(*axes, len(taken))
            _check(logits, taken, first_fold=which if isinstance(which, int) else None)
            log_ratio[taken], spread[taken] = combine_logits(logits.reshape(members, -1, len(taken)), combine)
    return Combined(log_ratio=log_ratio, member_spread=spread)


def _by_fold(fold: Int64[np.ndarray, " events"], folds: int) -> list[tuple[int, Int64[np.ndarray, " rows"]]]:
    return [(number, np.flatnonzero(fold == number)) for number in range(folds)]


@eqx.filter_jit
def _logits(
    networks: Mlp, observables: Float32[ArrayLike, "events inputs"], strategy: Literal["map", "vmap"]
) -> Float32[Array, "networks events"]:
    def one(network: Mlp) -> Float32[Array, " events"]:
        return network(jnp.asarray(observables))

    if strategy == "vmap":
        return jnp.asarray(eqx.filter_vmap(one)(networks))
    arrays, rest = eqx.partition(networks, eqx.is_array)
    mapped: Array = jax.lax.map(lambda leaves: one(eqx.combine(leaves, rest)), arrays)
    return jnp.asarray(mapped)


def _check(
    logits: Float32[np.ndarray, "*networks events"], rows: Int64[np.ndarray, " events"], *, first_fold: int | None
) -> None:
    bad = ~np.isfinite(logits)
    if not bad.any():
        return
    network = np.unravel_index(int(np.argmax(bad.any(axis=-1))), bad.shape[:-1])
    events = rows[np.flatnonzero(bad.reshape(-1, len(rows)).any(axis=0))]
    fold = first_fold if first_fold is not None else int(network[1])
    raise NumericalFailure(
        f"the log ratio is NaN or infinite for {len(events)} of {len(rows)} events, first rows "
        f"{', '.join(map(str, events[:5]))}, from member {int(network[0])} of fold {fold}",
        code="evaluation.not-finite",
        hint="look at these events: an observable far outside the range of the training, or weights that diverged",
    )
