"""The extended unbinned term, in chunks, with its first and second derivative in one pass."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Events", "LogSum", "log_intensity_sum", "log_sum_with_derivatives", "pack_events", "unbinned_twice_nll"]


_EVENTS_PER_CHUNK = 4096


class Events(NamedTuple):
    """Events of an unbinned channel: ratio = exp(log_ratio - largest of the event), padded with weight 0.

    Args:
        ratio: (chunks, events, components).
        weight: (chunks, events).
        offset: sum of weight x largest log ratio.
    """

    ratio: Float[Array, "chunks events components"]
    weight: Float[Array, "chunks events"]
    offset: Float[Array, ""]


def pack_events(log_ratio: Float[np.ndarray, "events components"], weight: Float[np.ndarray, " events"]) -> Events:
    """Return events with the largest log ratio of each taken out, in chunks of equal size."""
    exact = np.asarray(log_ratio, dtype=np.float64)
    n_events, n_components = exact.shape
    largest = exact.max(axis=1) if n_events else np.zeros(0)
    size = min(_EVENTS_PER_CHUNK, max(-(-n_events // 256) * 256, 256))
    n_chunks = max(-(-n_events // size), 1)
    ratio = np.ones((n_chunks * size, n_components))
    weights = np.zeros(n_chunks * size)
    ratio[:n_events] = np.exp(exact - largest[:, None])
    weights[:n_events] = weight
    offset = np.float64(np.sum(weights[:n_events] * largest))
    shape = (n_chunks, size)
    return Events(jnp.asarray(ratio.reshape(*shape, -1)), jnp.asarray(weights.reshape(shape)), jnp.asarray(offset))


class LogSum(NamedTuple):
    """Sum over events of weight x ln(intensity) and its derivatives in the expected events of the components.

    Args:
        value: the sum, without the largest log ratio of each event.
        gradient: (components,).
        hessian: (components, components).
        n_negative: events with weight whose intensity is not positive.
    """

    value: Float[Array, ""]
    gradient: Float[Array, " components"]
    hessian: Float[Array, "components components"]
    n_negative: Float[Array, ""]


def log_sum_with_derivatives(expected: Float[Array, " components"], events: Events) -> LogSum:
    """Return the sum over events of w_i ln sum_j nu_j r_ij; one chunk of events at a time, float64 sums.

    Args:
        expected: (components,) expected events nu_j, of any sign.
        events: ratios and weights.
    """

    def add_chunk(total: LogSum, chunk: tuple[Array, Array]) -> tuple[LogSum, None]:
        ratio, weight = chunk
        intensity = ratio @ expected
        good = intensity > 0
        counted = jnp.where(good, weight, 0.0)
        safe = jnp.where(good, intensity, 1.0)
        scaled = ratio / safe[:, None]
        weighted = scaled * counted[:, None]
        update = LogSum(
            value=jnp.sum(counted * jnp.log(safe)),
            gradient=jnp.sum(weighted, axis=0),
            hessian=-(weighted.T @ scaled),
            n_negative=jnp.sum(jnp.where(good | (weight == 0), 0.0, 1.0)),
        )
        return LogSum(*(old + new for old, new in zip(total, update, strict=True))), None

    n = expected.shape[0]
    start = LogSum(jnp.zeros(()), jnp.zeros(n), jnp.zeros((n, n)), jnp.zeros(()))
    result, _ = jax.lax.scan(add_chunk, start, (events.ratio, events.weight))
    return result


def log_intensity_sum(expected: Float[Array, " components"], events: Events) -> Float[Array, ""]:
    """Return the sum of `log_sum_with_derivatives`, differentiable twice; -infinity where an intensity is not positive.

    The derivatives were computed in the same pass: the result is the second-order expansion around the point itself, so
    that no array of the size of the events is kept for the backward pass. Third derivatives are not available.
    """
    point = jax.lax.stop_gradient(expected)
    total = log_sum_with_derivatives(point, events)
    step = expected - point
    value = total.value + total.gradient @ step + 0.5 * step @ (total.hessian @ step)
    return jnp.where(total.n_negative > 0, -jnp.inf, value)


def unbinned_twice_nll(expected: Float[Array, " components"], events: Events) -> Float[Array, ""]:
    """Return 2 [nu - sum_i w_i ln(lambda(x_i) / p_ref(x_i))] (arXiv:2412.01600); terms of p_ref alone are left out.

    It is infinite where an intensity is not positive, and where nu is negative: that is no number of expected events,
    however small the negative component is at the observed ones. nu = 0 is allowed where no events were observed.

    Args:
        expected: (components,) coefficient x yield x modifiers; nu is their sum.
        events: ratios and weights.
    """
    total = jnp.sum(expected)
    value = 2.0 * (total - events.offset - log_intensity_sum(expected, events))
    impossible = (total < 0) | ((total == 0) & jnp.any(events.weight != 0))
    return jnp.where(impossible, jnp.inf, value)
