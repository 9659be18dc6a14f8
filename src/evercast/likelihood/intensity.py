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
from evercast.likelihood.interpolation import polynomial_exponential_factor
from evercast.likelihood.model import EventSet, UnbinnedChannelModel
from evercast.likelihood.morph_factors import anchor_table, monomials
from evercast.likelihood.morph_layout import MorphLayout, build_layout
from evercast.likelihood.unbinned_kernel import At, Chunk, morphed

__all__ = [
    "Intensities",
    "NormalisationPoint",
    "intensities",
    "normalisation",
    "not_positive_factors",
    "total_intensity",
]


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

    A component whose Z_j is not positive has no density: its contributions are NaN.

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
        scale = expected / np.where(chosen, np.where(value > 0, value, np.nan), 1.0)
    for first, _, largest, ratio in _ratios_of(channel, names, theta, events):
        yield Intensities(first, largest, ratio * scale)


def total_intensity(
    channel: UnbinnedChannelModel,
    names: tuple[str, ...],
    theta: Float[np.ndarray, " parameters"],
    expected: Float[np.ndarray, " components"],
    events: EventSet,
) -> tuple[Float[np.ndarray, " events"], Float[np.ndarray, " events"]]:
    """Return the intensity of every event as (log scale, total), total x e^scale; arguments as for `intensities`.

    The total may be negative, or NaN where a normalisation is not positive.
    """
    parts = list(intensities(channel, names, theta, expected, events))
    totals = [part.contribution.sum(axis=1) for part in parts]
    return np.concatenate([part.log_scale for part in parts]), np.concatenate(totals)


def not_positive_factors(
    channel: UnbinnedChannelModel,
    names: tuple[str, ...],
    theta: Float[np.ndarray, " parameters"],
    events: EventSet,
    event: int,
) -> str:
    """Return which code-4 factors of an event are not positive, as the end of a sentence; nothing where none is.

    Within -1 < alpha < 1 code 4 is a polynomial, which far apart factors at +1 and -1 pull below 0.
    """
    found = []
    for column, anchor in enumerate(channel.anchors):
        alpha = float(theta[names.index(anchor.parameter)])
        if anchor.interpolation != "code4" or abs(alpha) >= 1.0 or events.log_up is None or events.log_down is None:
            continue
        up, down = (np.exp(float(side[event : event + 1][0, column])) for side in (events.log_up, events.log_down))
        with jax.enable_x64(new_val=True):
            factor = float(polynomial_exponential_factor(jnp.asarray(alpha), jnp.asarray(up), jnp.asarray(down)))
        if not factor > 0:
            sides = f"{up:.3g} at +1, {down:.3g} at -1"
            found.append(f"'{anchor.process}' along '{anchor.parameter}' ({factor:.3g} at {alpha:.3g}; {sides})")
    return f"; the factor of code 4 is not positive for {', '.join(found)}" if found else ""


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
