"""Intensities event by event, for what looks at events one by one: diagnosis, positivity, normalisation of morphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.event_arrays import BLOCK, blocks, resident
from evercast.likelihood.model import EventSet, UnbinnedChannelModel
from evercast.likelihood.morph_factors import anchor_table, monomials
from evercast.likelihood.morph_layout import MorphLayout, build_layout
from evercast.likelihood.unbinned_kernel import At, Chunk, morphed

__all__ = ["Intensities", "NormalisationPoint", "intensities", "normalisation"]


class Intensities(NamedTuple):
    """Contributions of the components to the intensity of consecutive events.

    Args:
        first: number of the first event.
        log_scale: (events,) natural log of what `contribution` is to be multiplied by.
        contribution: (events, components) nu_j r_j g_j / Z_j.
    """

    first: int
    log_scale: Float[np.ndarray, " events"]
    contribution: Float[np.ndarray, "events components"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisationPoint:
    """E_ref[r_j g_j] of a component at one point.

    Args:
        value: the mean over the reference events, 1 in the ideal.
        error: its standard error from the finite number of events.
        effective_events: (sum of w r g)^2 / sum of (w r g)^2.
    """

    process: str
    value: float
    error: float
    effective_events: float


@partial(jax.jit, static_argnums=0)
def _ratios(layout: MorphLayout, chunk: Chunk, at: At) -> tuple[Array, Array]:
    """Return the largest ln r g of each event and r g over it."""
    logs, factor = morphed(layout, chunk, at, dtype=jnp.dtype("float64"))
    largest = jnp.max(logs, axis=1)
    return largest, jnp.exp(logs - largest[:, None]) * factor


def _ratios_of(
    channel: UnbinnedChannelModel, names: tuple[str, ...], theta: Float[np.ndarray, " parameters"], events: EventSet
) -> Iterator[tuple[int, Float[np.ndarray, " weights"], Float[np.ndarray, " events"], np.ndarray]]:
    """Yield first event, weights, largest ln r g and (events, components) r g over it, a block at a time."""
    layout = build_layout(channel, names)
    with jax.enable_x64(new_val=True):
        numbers = (anchor_table(layout, theta[None])[0], monomials(layout.terms, theta[None])[0])
        at = At(jnp.zeros(layout.n_components), *(jnp.asarray(values) for values in numbers))
        for first, part in blocks(events, BLOCK):
            n = len(part.weight)
            largest, ratio = (np.asarray(values)[:n] for values in _ratios(layout, resident(part), at))
            yield first, np.asarray(part.weight, dtype=float), largest, ratio


def intensities(
    channel: UnbinnedChannelModel,
    names: tuple[str, ...],
    theta: Float[np.ndarray, " parameters"],
    expected: Float[np.ndarray, " components"],
    events: EventSet,
) -> Iterator[Intensities]:
    """Yield the contributions of all components, a block of events at a time.

    Args:
        channel: components and morphs.
        names: of the parameters.
        theta: (parameters,) their values.
        expected: (components,) coefficient x yield x modifiers there.
        events: of the channel, or other ones with the same columns.
    """
    scale = expected
    if build_layout(channel, names).normalises:
        value = np.array([point.value for point in normalisation(channel, names, theta)])
        moved = {anchor.process for anchor in channel.anchors} | {morph.process for morph in channel.polynomials}
        chosen = np.array([component.process in moved for component in channel.components])
        scale = expected / np.where(chosen, value, 1.0)
    for first, _, largest, ratio in _ratios_of(channel, names, theta, events):
        yield Intensities(first, largest, ratio * scale)


def normalisation(
    channel: UnbinnedChannelModel, names: tuple[str, ...], theta: Float[np.ndarray, " parameters"]
) -> tuple[NormalisationPoint, ...]:
    """Return E_ref[r_j g_j] of every component at a point, with its error; nothing without reference events.

    Args:
        channel: components, morphs and reference events.
        names: of the parameters.
        theta: (parameters,) their values.
    """
    if channel.reference is None:
        return ()
    total, square, weights, weighted = (np.zeros(len(channel.components)) for _ in range(4))
    cross = np.zeros_like(total)
    for _, weight, largest, ratio in _ratios_of(channel, names, theta, channel.reference):
        density = np.exp(largest)[:, None] * ratio
        total += weight @ density
        square += weight**2 @ density**2
        cross += weight**2 @ density
        weights += weight.sum()
        weighted += np.sum(weight**2)
    mean = total / weights
    variance = square - 2.0 * mean * cross + mean**2 * weighted  # of a ratio of two sums, to first order
    return tuple(
        NormalisationPoint(
            process=component.process,
            value=float(mean[j]),
            error=float(np.sqrt(max(variance[j], 0.0)) / weights[j]),
            effective_events=float(total[j] ** 2 / square[j]) if square[j] else 0.0,
        )
        for j, component in enumerate(channel.components)
    )
