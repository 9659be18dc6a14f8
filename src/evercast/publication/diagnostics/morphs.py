"""Checks of the morphs of unbinned channels: Z_j(alpha) = E_ref[r_j g_j(alpha)] (4) and pairs of parameters (14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

from scipy import stats

from evercast.inference.morph_checks import MorphNorm, morph_norm, morph_parameters, pair_dependence
from evercast.likelihood.model import EventSet, UnbinnedChannelModel
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import (
    Check,
    Topic,
    judged,
    not_applicable,
    shared_out,
    status_of,
    topic,
)

__all__ = ["GRID", "morph_checks"]

GRID: Final = (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Values of alpha at which Z is drawn."""
_MOST_REFERENCE: Final = 200_000
_MOST_PAIRS: Final = 200
_TRAINING_MODES: Final = "training_statistics_"
"""Parameters that start like this are modes of the training statistics, not systematics."""


def morph_checks(name: str, channel: UnbinnedChannelModel) -> Iterator[Check]:
    """Yield the checks of every process of a channel whose density follows nuisance parameters.

    Args:
        name: of the likelihood.
        channel: with its reference events.
    """
    thin = _thinned(channel)
    for process, parameters in morph_parameters(channel).items():
        subject = f"{name}: {process} in {channel.name}"
        about = topic(4, "Z(α)", subject, "morph-norm", name, channel.name, process)
        if channel.reference is None:
            yield not_applicable(about, "the channel holds no reference events")
            continue
        grid = {one: [morph_norm(thin, process, {one: alpha}) for alpha in GRID] for one in parameters}
        together = [morph_norm(thin, process, dict.fromkeys(parameters, alpha)) for alpha in GRID]
        yield _at_anchors(about, grid, together)
        yield _statistics(topic(4, "statistics of Z(α)", subject, "morph-error", name, channel.name, process), grid)
        yield _pairs(
            topic(14, None, subject, "factorisation", name, channel.name, process), thin, process,
            [one for one in parameters if not one.startswith(_TRAINING_MODES)],
        )  # fmt: skip


def _thinned(channel: UnbinnedChannelModel) -> UnbinnedChannelModel:
    """Return the channel with at most `_MOST_REFERENCE` reference events; more would resolve nothing that matters."""
    reference = channel.reference
    if reference is None or len(reference.weight) <= _MOST_REFERENCE:
        return channel
    rows = slice(None, None, -(-len(reference.weight) // _MOST_REFERENCE))
    events = EventSet(
        log_ratio=reference.log_ratio[rows],
        weight=reference.weight[rows],
        log_up=None if reference.log_up is None else reference.log_up[rows],
        log_down=None if reference.log_down is None else reference.log_down[rows],
        coefficients=None if reference.coefficients is None else reference.coefficients[rows],
    )
    return replace(channel, reference=events)


def _at_anchors(about: Topic, grid: Mapping[str, Sequence[MorphNorm]], together: Sequence[MorphNorm]) -> Check:
    """Return the check that learned densities at +-1 have unit integral; beyond and in between none is expected."""
    found = [
        (abs(norms[GRID.index(alpha)].value - 1.0), norms[GRID.index(alpha)], parameter, alpha)
        for parameter, norms in grid.items()
        if not parameter.startswith(_TRAINING_MODES)
        for alpha in (-1.0, 1.0)
    ]
    if not found:
        return not_applicable(
            about, "only modes of the training statistics act on the shape; they need no unit integral"
        )
    limits = shared_out(thresholds.NORMALISATION, len(found))
    order = {"red": 2, "amber": 1, "green": 0, "not-applicable": 0}
    away, norm, parameter, alpha = max(
        found, key=lambda item: (order[status_of(item[0], limits, p=_p(item[0], item[1].error))], item[0])
    )
    worst_together = max(together, key=lambda one: abs(one.value - 1.0))
    figure = {
        "kind": "morph-norm", "alpha": list(GRID),
        "parameters": {
            key: {"value": [n.value for n in norms], "error": [n.error for n in norms]} for key, norms in grid.items()
        },
        "together": {"value": [n.value for n in together], "error": [n.error for n in together]},
    }  # fmt: skip
    return judged(
        about, away, limits,
        f"Z = {norm.value:.4f} ± {norm.error:.4f} at {parameter} = {alpha:+g}, the farthest from 1 at ±1; with all "
        f"parameters together between −3 and 3 it is {worst_together.value:.4g} at most; divided out at every α",
        p=_p(away, norm.error), figure=figure,
    )  # fmt: skip


def _p(distance: float, error: float) -> float:
    return float(2.0 * stats.norm.sf(distance / error)) if error > 0 else 0.0


def _statistics(about: Topic, grid: Mapping[str, Sequence[MorphNorm]]) -> Check:
    inner = [index for index, alpha in enumerate(GRID) if abs(alpha) <= 2.0]
    errors = {
        (parameter, GRID[index]): norms[index].error / abs(norms[index].value)
        for parameter, norms in grid.items()
        for index in inner
    }
    parameter, alpha = max(errors, key=lambda key: errors[key])
    least = min(norm.sample_size for norms in grid.values() for norm in (norms[index] for index in inner))
    return judged(
        about, errors[parameter, alpha], thresholds.MORPH_ERROR,
        f"relative statistical error of Z within |α| ≤ 2: {100 * errors[parameter, alpha]:.2g} % at {parameter} = "
        f"{alpha:+g}; at least {least:.0f} effective reference events",
    )  # fmt: skip


def _pairs(about: Topic, channel: UnbinnedChannelModel, process: str, parameters: Sequence[str]) -> Check:
    pairs = list(combinations(parameters, 2))[:_MOST_PAIRS]
    if not pairs:
        return not_applicable(about, "fewer than two systematics act on the shape of the process")
    found = [pair_dependence(channel, process, pair) for pair in pairs]
    largest = max(found, key=lambda item: abs(item.value))
    figure = {
        "kind": "pairs", "parameters": list(parameters), "pairs": [list(item.pair) for item in found],
        "values": [item.value for item in found],
    }  # fmt: skip
    return judged(
        about, abs(largest.value), thresholds.PAIR,
        f"E[g_a g_b] / (E[g_a] E[g_b]) − 1 is {100 * largest.value:+.2g} % at most, for {largest.pair[0]} and "
        f"{largest.pair[1]}; no sample varies two parameters at once, so this is the size of an assumption, no test of "
        "it" + ("" if len(pairs) < _MOST_PAIRS else f"; the first {_MOST_PAIRS} pairs"),
        figure=figure,
    )  # fmt: skip
