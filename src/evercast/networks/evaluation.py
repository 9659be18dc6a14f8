"""Evaluation of an ensemble: log ratios or coefficients of events, combined over members as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, ArrayLike, Float, Float32, Float64, Int64

from evercast.errors import NumericalFailure
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.combination import Combine, combine_logits
from evercast.networks.device import EVENTS, along, mesh_of
from evercast.networks.memory import free_memory, rows_together
from evercast.networks.mlp import Mlp

__all__ = [
    "CHUNK",
    "SATURATED",
    "Combined",
    "Sample",
    "ensemble_coefficients",
    "ensemble_log_ratio",
    "ensemble_log_ratios",
    "member_log_ratios",
]

CHUNK: Final = 2048
"""Events evaluated at once: their activations stay in the second-level cache of a core."""

_CHUNKS: Final = 8
"""Chunks in one call of a compiled function, where there are as many: a call costs a tenth of the work in a chunk."""

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Events to be evaluated.

    Args:
        observables: in the order and units of the architecture.
        fold: the fold of each event; None for events no network has seen.
    """

    observables: Float[np.ndarray, "events inputs"]
    fold: Int64[np.ndarray, " events"] | None


def ensemble_log_ratio(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    combine: Combine = "mean_log_ratio",
    strategy: Literal["map", "vmap"] = "map",
    chunk: int | None = None,
    devices: Sequence[jax.Device] | None = None,
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
        chunk: events evaluated at once on a device; None: `CHUNK` with ``map``, as many as fit with ``vmap``.
        devices: those to evaluate on, each some of the events; None: the first.

    Raises:
        NumericalFailure: ``evaluation.not-finite`` with the number of events, the first ones and the network.
    """
    sample = Sample(observables=observables, fold=fold)
    return ensemble_log_ratios(
        architecture, networks, [sample], combine=combine, strategy=strategy, chunk=chunk, devices=devices
    )[0]


def ensemble_log_ratios(
    architecture: Architecture,
    networks: Weights,
    samples: Sequence[Sample],
    *,
    combine: Combine = "mean_log_ratio",
    strategy: Literal["map", "vmap"] = "map",
    chunk: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[Combined]:
    """Return what `ensemble_log_ratio` gives for each sample, with events of several samples evaluated together.

    A compiled function costs a millisecond to call and always evaluates `chunk` events: many small samples one by one
    would cost that for each of them, and for each fold.

    Raises:
        NumericalFailure: ``evaluation.not-finite``; rows are counted through the samples.
    """
    found: dict[int, Combined] = {}
    for in_folds in (False, True):
        chosen = [index for index, sample in enumerate(samples) if (sample.fold is not None) == in_folds]
        if chosen:
            some = [samples[index] for index in chosen]
            done = _together(
                architecture, networks, some, combine=combine, strategy=strategy, chunk=chunk, devices=devices
            )
            found |= dict(zip(chosen, done, strict=True))
    return [found[index] for index in range(len(samples))]


def _together(
    architecture: Architecture,
    networks: Weights,
    samples: Sequence[Sample],
    *,
    combine: Combine,
    strategy: Literal["map", "vmap"],
    chunk: int | None,
    devices: Sequence[jax.Device] | None,
) -> list[Combined]:
    """Evaluate samples that all have folds, or all have none."""
    observables = np.concatenate([sample.observables for sample in samples])
    folds = [sample.fold for sample in samples if sample.fold is not None]
    fold = np.concatenate(folds) if folds else None
    sizes = [len(sample.observables) for sample in samples]
    owner = np.repeat(np.arange(len(samples)), sizes)
    log_ratio, spread = np.empty(len(observables)), np.empty(len(observables))
    evaluated, saturated = np.zeros((2, len(samples), *networks.axes()), dtype=np.int64)
    walk = _walk(architecture, networks, observables, fold, strategy=strategy, chunk=chunk, devices=devices)
    for which, rows, outputs in walk:
        if not len(rows):
            continue
        logits = outputs[..., 0].reshape(networks.axes()[0], -1, len(rows))
        log_ratio[rows], spread[rows] = combine_logits(logits, combine)
        owners, starts = np.unique(owner[rows], return_index=True)
        counts = np.add.reduceat(np.abs(outputs[..., 0]) > SATURATED, starts, axis=-1, dtype=np.int64)
        for number, count in enumerate(np.diff([*starts, len(rows)])):
            evaluated[owners[number]][:, which] += count
            saturated[owners[number]][:, which] += counts[..., number]
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(log_ratio, ends), np.split(spread, ends), evaluated, saturated, strict=True)
    return [
        Combined(log_ratio=one, member_spread=other, evaluated=seen, saturated=full) for one, other, seen, full in parts
    ]


def member_log_ratios(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    strategy: Literal["map", "vmap"] = "map",
    chunk: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Float64[np.ndarray, "members events"]:
    """Return the log ratio of each event from each member alone; arguments and errors as `ensemble_log_ratio`."""
    members = networks.axes()[0]
    found = np.empty((members, len(observables)))
    for _, rows, outputs in _walk(
        architecture, networks, observables, fold, strategy=strategy, chunk=chunk, devices=devices
    ):
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
    chunk: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Float64[np.ndarray, "events terms"]:
    """Return the coefficients delta_A(x) of ``architecture.terms`` of each event; arguments as `ensemble_log_ratio`.

    Members are averaged, which is the mean of ln g; so are folds for events no network has seen, since the mean of a
    polynomial is one and the mean of its exponential is not.

    Raises:
        NumericalFailure: ``evaluation.not-finite``.
    """
    found = np.empty((len(observables), architecture.outputs))
    for _, rows, outputs in _walk(
        architecture, networks, observables, fold, strategy=strategy, chunk=chunk, devices=devices
    ):
        found[rows] = outputs.astype(np.float64).reshape(-1, *outputs.shape[-2:]).mean(axis=0)
    return found


def _walk(
    architecture: Architecture,
    networks: Weights,
    observables: Float[np.ndarray, "events inputs"],
    fold: Int64[np.ndarray, " events"] | None,
    *,
    strategy: Literal["map", "vmap"],
    chunk: int | None,
    devices: Sequence[jax.Device] | None,
) -> Iterator[tuple[int | slice, Int64[np.ndarray, " rows"], Float32[np.ndarray, "*networks rows outputs"]]]:
    """Yield a fold or all, rows of events, and the outputs for them: (members, folds or none, rows, outputs)."""
    values = np.asarray(observables, dtype=np.float32)
    parts: list[tuple[int | slice, Int64[np.ndarray, " rows"]]]
    parts = [(slice(None), np.arange(len(values)))] if fold is None else _by_fold(fold, networks.axes()[1])
    used = tuple(devices or jax.local_devices()[:1])
    for which, rows in parts:
        chosen = networks.at(slice(None), which)
        size = chunk or _chunk(architecture, chosen, strategy, used)
        outputs_of = _evaluator(
            Mlp.from_weights(chosen.reshape(-1), activation=architecture.activation), strategy, used, size
        )
        for taken in _in_calls(rows, len(used) * size):
            missing = -len(taken) % (len(used) * size)
            padded = np.pad(values[taken], ((0, missing), (0, 0)), mode="edge") if missing else values[taken]
            outputs = np.asarray(outputs_of(padded))[:, : len(taken)]
            outputs = outputs.reshape(*chosen.axes(), *outputs.shape[1:])
            _check(outputs, taken, first_fold=which if isinstance(which, int) else None)
            yield which, taken, outputs


def _in_calls(rows: Int64[np.ndarray, " rows"], size: int) -> Iterator[Int64[np.ndarray, " _"]]:
    """Yield rows for calls of many chunks of `size` in all, then of one, so that two shapes are compiled at most."""
    many = len(rows) - len(rows) % (_CHUNKS * size)
    for first in range(0, many, _CHUNKS * size):
        yield rows[first : first + _CHUNKS * size]
    for first in range(many, len(rows), size):
        yield rows[first : first + size]


def _chunk(
    architecture: Architecture, networks: Weights, strategy: Literal["map", "vmap"], devices: Sequence[jax.Device]
) -> int:
    if strategy == "map":
        return CHUNK
    return rows_together(architecture, networks=math.prod(networks.axes()), free=free_memory(devices))


def _evaluator(
    networks: Mlp, strategy: Literal["map", "vmap"], devices: Sequence[jax.Device], chunk: int
) -> Callable[[Float32[np.ndarray, "events inputs"]], Float32[Array, "networks events outputs"]]:
    """Return the outputs as a function of events, which are spread over the devices; each has all networks."""
    mesh = mesh_of(devices, EVENTS)
    if mesh is None:
        there = jax.device_put(networks, devices[0])
        return lambda observables: _outputs(there, observables, strategy, chunk)
    copies = jax.device_put(networks, NamedSharding(mesh, along()))
    apart = NamedSharding(mesh, along(EVENTS))
    return lambda observables: _outputs_of_shards(copies, jax.device_put(observables, apart), strategy, mesh, chunk)


def _by_fold(fold: Int64[np.ndarray, " events"], folds: int) -> list[tuple[int | slice, Int64[np.ndarray, " rows"]]]:
    return [(number, np.flatnonzero(fold == number)) for number in range(folds)]


@eqx.filter_jit
def _outputs(
    networks: Mlp, observables: Float32[ArrayLike, "events inputs"], strategy: Literal["map", "vmap"], chunk: int
) -> Float32[Array, "networks events outputs"]:
    """Return the outputs for whole chunks of events, one chunk after the other."""
    arrays, rest = eqx.partition(networks, eqx.is_array)

    def of_chunk(chosen: Array) -> Array:
        def one(leaves: Mlp) -> Array:
            return jnp.asarray(eqx.combine(leaves, rest).outputs(chosen))

        found: Array = jax.vmap(one)(arrays) if strategy == "vmap" else jax.lax.map(one, arrays)
        return found

    values = jnp.asarray(observables)
    if len(values) == chunk:
        return of_chunk(values)
    parts: Array = jax.lax.map(of_chunk, values.reshape(-1, chunk, values.shape[-1]))
    together: Array = jnp.moveaxis(parts, 0, 1).reshape(parts.shape[1], -1, parts.shape[-1])
    return together


@eqx.filter_jit
def _outputs_of_shards(
    networks: Mlp,
    observables: Float32[Array, "events inputs"],
    strategy: Literal["map", "vmap"],
    mesh: Mesh,
    chunk: int,
) -> Float32[Array, "networks events outputs"]:
    """The same on several devices, each with its own events; nothing is exchanged between them."""
    arrays, rest = eqx.partition(networks, eqx.is_array)

    def local(arrays: Mlp, own: Array) -> Array:
        return _outputs(eqx.combine(arrays, rest), own, strategy, chunk)

    spread = PartitionSpec(None, EVENTS)  # type: ignore[no-untyped-call]  # JAX has no types for it
    run = jax.shard_map(local, mesh=mesh, in_specs=(along(), along(EVENTS)), out_specs=spread, check_vma=False)
    found: Array = run(arrays, observables)
    return found


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
