"""Density ratios of the components of an unbinned channel at any parameters, event by event."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evercast.likelihood.interpolation import polynomial_exponential_factor
from evercast.likelihood.model import AnchorMorph, EventSet, UnbinnedChannelModel

__all__ = ["log_ratios_at", "reference_measure"]

Ratios = Float[np.ndarray, "events components"]

_CHUNK = 1 << 16


def log_ratios_at(channel: UnbinnedChannelModel, events: EventSet, values: Mapping[str, float]) -> Ratios:
    """Return ln [r_j g_j(alpha) / Z_j(alpha)] of every event, float64.

    Z_j is divided out where component j has a morph (`UnbinnedChannelModel.normalise_morphs`), as in the likelihood.

    Args:
        channel: components, morphs and reference events.
        events: where it is evaluated.
        values: parameter -> value.
    """
    morphed = _morphed(channel, events, values)
    processes = {entry.process for entry in channel.anchors} | {entry.process for entry in channel.polynomials}
    if not (processes and channel.normalise_morphs and channel.reference is not None):
        return morphed
    weight = np.asarray(channel.reference.weight, dtype=float)
    reference = np.exp(_morphed(channel, channel.reference, values))
    norm = weight @ reference / weight.sum()
    has_morph = np.array([component.process in processes for component in channel.components])
    return np.asarray(morphed - np.where(has_morph, np.log(norm), 0.0))


def reference_measure(channel: UnbinnedChannelModel) -> Float[np.ndarray, " events"] | None:
    """Return the weights of the reference events over their sum; None where there are none or one is negative."""
    if channel.reference is None:
        return None
    weight = np.asarray(channel.reference.weight, dtype=float)
    return None if np.any(weight < 0) or not weight.sum() > 0 else weight / weight.sum()


def _morphed(channel: UnbinnedChannelModel, events: EventSet, values: Mapping[str, float]) -> Ratios:
    result = np.array(events.log_ratio, dtype=float)
    column = {component.process: number for number, component in enumerate(channel.components)}
    for number, anchor in enumerate(channel.anchors):
        if events.log_up is not None and events.log_down is not None:
            shift = _anchored(anchor, values[anchor.parameter], events.log_up[:, number], events.log_down[:, number])
            result[:, column[anchor.process]] += shift
    first = 0
    for morph in channel.polynomials:
        powers = [np.prod([values[name] ** n for name, n in term]) for term in morph.terms]
        if events.coefficients is not None:
            delta = np.asarray(events.coefficients[:, first : first + len(powers)], dtype=float)
            result[:, column[morph.process]] += delta @ np.array(powers)
        first += len(powers)
    return result


def _anchored(
    anchor: AnchorMorph, alpha: float, log_up: Float[np.ndarray, " events"], log_down: Float[np.ndarray, " events"]
) -> Float[np.ndarray, " events"]:
    if alpha == 0.0:
        return np.zeros(len(log_up))
    if anchor.interpolation == "log_linear" or abs(alpha) >= 1.0:
        return np.asarray(alpha * log_up if alpha > 0 else -alpha * log_down, dtype=float)
    parts = []
    for start in range(0, len(log_up), _CHUNK):
        up, down = (np.asarray(side[start : start + _CHUNK], dtype=float) for side in (log_up, log_down))
        with jax.enable_x64(new_val=True):
            factor = polynomial_exponential_factor(jnp.asarray(alpha), jnp.exp(up), jnp.exp(down))
            parts.append(np.log(np.asarray(factor)))
    return np.concatenate(parts) if parts else np.zeros(0)
