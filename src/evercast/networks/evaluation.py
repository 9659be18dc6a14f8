"""Evaluation of an ensemble: log ratios or coefficients of events, combined over members as they come."""

from __future__ import annotations

from collections.abc import Iterator
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

__all__ = ["CHUNK", "SATURATED", "Combined", "ensemble_coefficients", "ensemble_log_ratio", "member_log_ratios"]

CHUNK: Final = 4096
"""Events evaluated at once: their activations stay in the second-level cache of a core."""


SATURATED: Final = 15.0
"""|log r| beyond which the score differs from 0 or 1 by less than 3e-7, about the last bit of float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combined:
    """Log ratios of events, natural logarithm.

    Args:
        log_ratio: (events,), combined over members (and folds).
        member_spread: (events,), standard deviation over members, divisor members - 1; 0 for one member.
        evaluated: (members, folds), events that each network evaluated.
        saturated: (members, folds), those of them at which its score is 0 or 1 in single precision.
    """

    log_ratio: Float64[np.ndarray, " events"]
    member_spread: Float64[np.ndarray, " events"]
    evaluated: Int64[np.ndarray, "members folds"]
    saturated: Int64[np.ndarray, "members folds"]


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
    members = networks.axes()[0]
    count = len(observables)
    log_ratio, spread = np.empty(count), np.empty(count)
    evaluated, saturated = np.zeros((2, *networks.axes()), dtype=np.int64)
    for which, rows, outputs in _walk(architecture, networks, observables, fold, strategy=strategy, chunk=chunk):
        logits = outputs[..., 0].reshape(members, -1, len(rows))
        log_ratio[rows], spread[rows] = combine_logits(logits, combine)
        evaluated[:, which] += len(rows)
        saturated[:, which] += np.sum(np.abs(outputs[..., 0]) > SATURATED, axis=-1)
    return Combined(log_ratio=log_ratio, member_spread=spread, evaluated=evaluated, saturated=saturated)


def member_log_ratios(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    strategy: Literal["map", "vmap"] = "map",
    chunk: int = CHUNK,
) -> Float64[np.ndarray, "members events"]:
    """Return the log ratio of each event from each member alone; arguments and errors as `ensemble_log_ratio`."""
    members = networks.axes()[0]
    found = np.empty((members, len(observables)))
    for _, rows, outputs in _walk(architecture, networks, observables, fold, strategy=strategy, chunk=chunk):
        logits = outputs[..., 0].reshape(members, -1, len(rows))
        for member in range(members):
            found[member, rows] = combine_logits(logits[member : member + 1], "mean_log_ratio")[0]
    return found


def ensemble_coefficients(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    strategy: Literal["map", "vmap"] = "map",
    chunk: int = CHUNK,
) -> Float64[np.ndarray, "events terms"]:
    """Return the coefficients delta_A(x) of ``architecture.terms`` of each event; arguments as `ensemble_log_ratio`.

    Members are averaged, which is the mean of ln g; so are folds for events no network has seen, since the mean of a
    polynomial is one and the mean of its exponential is not.

    Raises:
        NumericalFailure: ``evaluation.not-finite``.
    """
    found = np.empty((len(observables), architecture.outputs))
    for _, rows, outputs in _walk(architecture, networks, observables, fold, strategy=strategy, chunk=chunk):
        found[rows] = outputs.astype(np.float64).reshape(-1, *outputs.shape[-2:]).mean(axis=0)
    return found


def _walk(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    strategy: Literal["map", "vmap"],
    chunk: int,
) -> Iterator[tuple[int | slice, Int64[np.ndarray, " rows"], Float32[np.ndarray, "*networks rows outputs"]]]:
    """Yield a fold or all, rows of events, and the outputs for them: (members, folds or none, rows, outputs)."""
    values = np.asarray(observables, dtype=np.float32)
    parts: list[tuple[int | slice, Int64[np.ndarray, " rows"]]]
    parts = [(slice(None), np.arange(len(values)))] if fold is None else _by_fold(fold, networks.axes()[1])
    for which, rows in parts:
        chosen = networks.at(slice(None), which)
        network = Mlp.from_weights(chosen.reshape(-1), activation=architecture.activation)
        for first in range(0, len(rows), chunk):
            taken = rows[first : first + chunk]
            padded = np.pad(values[taken], ((0, chunk - len(taken)), (0, 0)), mode="edge")
            outputs = np.asarray(_outputs(network, padded, strategy))[:, : len(taken)]
            outputs = outputs.reshape(*chosen.axes(), *outputs.shape[1:])
            _check(outputs, taken, first_fold=which if isinstance(which, int) else None)
            yield which, taken, outputs


def _by_fold(fold: Int64[np.ndarray, " events"], folds: int) -> list[tuple[int | slice, Int64[np.ndarray, " rows"]]]:
    return [(number, np.flatnonzero(fold == number)) for number in range(folds)]


@eqx.filter_jit
def _outputs(
    networks: Mlp, observables: Float32[ArrayLike, "events inputs"], strategy: Literal["map", "vmap"]
) -> Float32[Array, "networks events outputs"]:
    def one(network: Mlp) -> Float32[Array, "events outputs"]:
        return network.outputs(jnp.asarray(observables))

    if strategy == "vmap":
        return jnp.asarray(eqx.filter_vmap(one)(networks))
    arrays, rest = eqx.partition(networks, eqx.is_array)
    mapped: Array = jax.lax.map(lambda leaves: one(eqx.combine(leaves, rest)), arrays)
    return jnp.asarray(mapped)


def _check(
    outputs: Float32[np.ndarray, "*networks events outputs"],
    rows: Int64[np.ndarray, " events"],
    *,
    first_fold: int | None,
) -> None:
    bad = ~np.isfinite(outputs).all(axis=-1)
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
