"""Morphs and intensities of an unbinned channel in plain numpy, apart from the engine that they check.

Everything follows arXiv:2412.01600 with Z_j(alpha) = E_ref[r_j g_j(alpha)]; sources of the interpolation are the
HistFactory papers (code 4: polynomial inside of +-1, exponential outside).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from evercast.errors import InvalidInput
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = [
    "MorphNorm", "PairDependence", "code4_log", "intensity", "log_intensity", "log_morph", "morph",
    "morph_norm", "morph_parameters", "pair_dependence",
]  # fmt: skip

Values = Mapping[str, float]

_TINY = 1e-300


def code4_log(
    log_up: Float[np.ndarray, " events"], log_down: Float[np.ndarray, " events"], alpha: float
) -> Float64[np.ndarray, " events"]:
    """Return ln |g| at `alpha` by interpolation code 4: g(1) = up, g(-1) = down, smooth to second order at +-1."""
    logs: Float64[np.ndarray, " events"] = np.log(np.maximum(np.abs(_code4(log_up, log_down, alpha)), _TINY))
    return logs


def _code4(
    log_up: Float[np.ndarray, " events"], log_down: Float[np.ndarray, " events"], alpha: float
) -> Float64[np.ndarray, " events"]:
    """Return g, which need not be positive within -1 < alpha < 1."""
    up, down = np.asarray(log_up, dtype=np.float64), np.asarray(log_down, dtype=np.float64)
    if alpha >= 1.0:
        return np.exp(alpha * up)
    if alpha <= -1.0:
        return np.exp(-alpha * down)
    u, d = np.exp(up), np.exp(down)
    s0, a0 = (u + d) / 2, (u - d) / 2
    s1, a1 = (u * up - d * down) / 2, (u * up + d * down) / 2
    s2, a2 = (u * up**2 + d * down**2) / 2, (u * up**2 - d * down**2) / 2
    terms = (
        (15 * a0 - 7 * s1 + a2) / 8,
        (-24 + 24 * s0 - 9 * a1 + s2) / 8,
        (-5 * a0 + 5 * s1 - a2) / 4,
        (12 - 12 * s0 + 7 * a1 - s2) / 4,
        (3 * a0 - 3 * s1 + a2) / 8,
        (-8 + 8 * s0 - 5 * a1 + s2) / 8,
    )
    value: Float64[np.ndarray, " events"] = np.ones_like(u)
    for power, term in enumerate(terms, start=1):
        value = value + term * alpha**power
    return value


def morph_parameters(channel: UnbinnedChannelModel) -> Mapping[str, tuple[str, ...]]:
    """Return process -> the nuisance parameters that its density follows, in the order of the channel."""
    found: dict[str, dict[str, None]] = {}
    for anchor in channel.anchors:
        found.setdefault(anchor.process, {})[anchor.parameter] = None
    for polynomial in channel.polynomials:
        for term in polynomial.terms:
            found.setdefault(polynomial.process, {}).update(dict.fromkeys(name for name, _ in term))
    return {process: tuple(names) for process, names in found.items()}


def log_morph(
    channel: UnbinnedChannelModel, events: EventSet, process: str, values: Values
) -> Float64[np.ndarray, " events"]:
    """Return ln |g_j(x | alpha)| of a process, not normalised: the sum over its anchors and polynomial terms.

    Args:
        channel: says which column follows which parameter.
        events: with the columns.
        process: a component of the channel.
        values: parameter -> alpha; a parameter that is absent stands at 0.
    """
    total = np.zeros(len(events.weight))
    for column, anchor in enumerate(channel.anchors):
        alpha = values.get(anchor.parameter, 0.0)
        if anchor.process != process or alpha == 0.0 or events.log_up is None or events.log_down is None:
            continue
        up, down = events.log_up[:, column], events.log_down[:, column]
        if anchor.interpolation == "code4":
            total += code4_log(up, down, alpha)
        else:
            total += alpha * up if alpha > 0 else -alpha * down
    column = 0
    for polynomial in channel.polynomials:
        for term in polynomial.terms:
            factor = float(np.prod([values.get(name, 0.0) ** power for name, power in term]))
            if polynomial.process == process and factor != 0.0 and events.coefficients is not None:
                total += factor * np.asarray(events.coefficients[:, column], dtype=np.float64)
            column += 1
    return total


def morph(
    channel: UnbinnedChannelModel, events: EventSet, process: str, values: Values
) -> Float64[np.ndarray, " events"]:
    """Return g_j(x | alpha) with its sign, which code 4 makes negative where up and down are far apart.

    The arguments are those of `log_morph`.
    """
    size = np.exp(log_morph(channel, events, process, values))
    return np.asarray(size * _sign(channel, events, process, values))


def _sign(
    channel: UnbinnedChannelModel, events: EventSet, process: str, values: Values
) -> Float64[np.ndarray, " events"]:
    sign = np.ones(len(events.weight))
    for column, anchor in enumerate(channel.anchors):
        alpha = values.get(anchor.parameter, 0.0)
        if anchor.process != process or anchor.interpolation != "code4" or not 0.0 < abs(alpha) < 1.0:
            continue
        if events.log_up is not None and events.log_down is not None:
            sign *= np.sign(_code4(events.log_up[:, column], events.log_down[:, column], alpha))
    return sign


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphNorm:
    """Z_j(alpha) = E_ref[r_j g_j(alpha)] relative to its value at 0.

    Args:
        value: Z_j(alpha) / Z_j(0), 1 for densities.
        error: from the finite reference: of the mean of g_j over the events weighted to the process.
        sample_size: effective number of reference events weighted with r_j g_j(alpha).
    """

    value: float
    error: float
    sample_size: float


def _reference(channel: UnbinnedChannelModel) -> EventSet:
    if channel.reference is None:
        raise InvalidInput(f"channel '{channel.name}' holds no reference events", code="diagnostics.no-reference")
    return channel.reference


def morph_norm(channel: UnbinnedChannelModel, process: str, values: Values) -> MorphNorm:
    """Return the normalisation of the morphed density of a process at one point.

    Raises:
        InvalidInput: the channel holds no reference events.
    """
    reference = _reference(channel)
    weight = _process_weight(channel, reference, process)
    factor = morph(channel, reference, process, values)
    total = float(np.sum(weight))
    mean = float(np.sum(weight * factor)) / total
    error = float(np.sqrt(np.sum((weight * (factor - mean)) ** 2))) / abs(total)
    carried = weight * factor
    return MorphNorm(value=mean, error=error, sample_size=float(np.sum(carried) ** 2 / np.sum(carried**2)))


def _process_weight(channel: UnbinnedChannelModel, events: EventSet, process: str) -> Float64[np.ndarray, " events"]:
    column = _column(channel, process)
    weight: Float64[np.ndarray, " events"] = np.asarray(events.weight, dtype=np.float64) * np.exp(
        np.asarray(events.log_ratio[:, column], dtype=np.float64)
    )
    return weight


def _column(channel: UnbinnedChannelModel, process: str) -> int:
    return [component.process for component in channel.components].index(process)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDependence:
    """What the product of two morphs says of their common effect.

    Args:
        value: E_j[g_a g_b] / (E_j[g_a] E_j[g_b]) - 1 at the corner where it is largest; 0 where the two effects on the
            density do not touch. The product of two morphs is the density of a common variation up to terms of this
            order; what the true common variation is cannot be known from the single ones.
        corner: the signs of both parameters there.
    """

    process: str
    pair: tuple[str, str]
    value: float
    corner: tuple[int, int]


def pair_dependence(channel: UnbinnedChannelModel, process: str, pair: tuple[str, str]) -> PairDependence:
    """Return the dependence of two morphs of a process at the corners alpha = +-1 of both.

    Raises:
        InvalidInput: the channel holds no reference events.
    """
    reference = _reference(channel)
    weight = _process_weight(channel, reference, process)
    weight = weight / np.sum(weight)
    morphs = {
        (name, sign): morph(channel, reference, process, {name: float(sign)}) for name in pair for sign in (-1, 1)
    }
    found: dict[tuple[int, int], float] = {}
    for first in (-1, 1):
        for second in (-1, 1):
            one, two = morphs[pair[0], first], morphs[pair[1], second]
            both = float(np.sum(weight * one * two))
            found[first, second] = both / (float(np.sum(weight * one)) * float(np.sum(weight * two))) - 1.0
    corner = max(found, key=lambda key: abs(found[key]))
    return PairDependence(process=process, pair=pair, value=found[corner], corner=corner)


def intensity(
    channel: UnbinnedChannelModel, events: EventSet, expected: Float[np.ndarray, " components"], values: Values
) -> Float64[np.ndarray, " events"]:
    """Return sum_j nu_j r_j g_j / Z_j per event, relative to the largest ratio of the event.

    Args:
        channel: with reference events where it has morphs.
        events: at which.
        expected: (components,) coefficient x yield x modifiers of each component.
        values: parameter -> value.

    Raises:
        InvalidInput: the channel has morphs and no reference events.
    """
    return _scaled_intensity(channel, events, expected, values)[0]


def log_intensity(
    channel: UnbinnedChannelModel, events: EventSet, expected: Float[np.ndarray, " components"], values: Values
) -> Float64[np.ndarray, " events"]:
    """Return ln sum_j nu_j r_j g_j / Z_j per event; -691 and below where the sum is not positive.

    Args:
        channel: with reference events where it has morphs.
        events: at which.
        expected: (components,) coefficient x yield x modifiers of each component.
        values: parameter -> value.

    Raises:
        InvalidInput: the channel has morphs and no reference events.
    """
    total, largest = _scaled_intensity(channel, events, expected, values)
    logs: Float64[np.ndarray, " events"] = np.log(np.maximum(total, _TINY)) + largest
    return logs


def _scaled_intensity(
    channel: UnbinnedChannelModel, events: EventSet, expected: Float[np.ndarray, " components"], values: Values
) -> tuple[Float64[np.ndarray, " events"], Float64[np.ndarray, " events"]]:
    """Return the intensity over the largest ratio of each event, and the logarithm of that ratio."""
    logs = np.asarray(events.log_ratio, dtype=np.float64).copy()
    sign = np.ones_like(logs)
    followed = morph_parameters(channel)
    for column, component in enumerate(channel.components):
        moved = any(values.get(name, 0.0) != 0.0 for name in followed.get(component.process, ()))
        if not moved:
            continue
        logs[:, column] += log_morph(channel, events, component.process, values)
        sign[:, column] = _sign(channel, events, component.process, values)
        if channel.normalise_morphs:
            norm = morph_norm(channel, component.process, values).value
            logs[:, column] -= np.log(abs(norm))
            sign[:, column] *= np.sign(norm)
    largest = logs.max(axis=1)
    return (np.exp(logs - largest[:, None]) * sign) @ np.asarray(expected, dtype=np.float64), largest
