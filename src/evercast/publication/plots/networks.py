"""Figures of the networks: loss curves, calibration, reweighting closure, distributions of the log ratios."""

from __future__ import annotations

from dataclasses import dataclass

import mplhep
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from evercast.publication.plots.distributions import poisson_errors
from evercast.publication.plots.figure import INK, MUTED, safe_text

__all__ = [
    "Calibration", "Closure", "LossCurve", "RatioDistribution",
    "draw_calibration", "draw_closure", "draw_closure_ratio", "draw_losses", "draw_ratios",
]  # fmt: skip

TRAIN = "#3f90da"
VALIDATION = "#e76300"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """Loss of one network per epoch: (epochs,), nats; `best` is the epoch whose weights were kept, from zero."""

    train: Float[np.ndarray, " epochs"]
    validation: Float[np.ndarray, " epochs"]
    best: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Fraction of the process among the events whose score lies in a bin: (bins,) each."""

    score: Float[np.ndarray, " bins"]
    fraction: Float[np.ndarray, " bins"]
    error: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """A process and the reference reweighted to it, in one observable: (bins,) fractions and errors."""

    edges: Float[np.ndarray, " edges"]
    target: Float[np.ndarray, " bins"]
    target_error: Float[np.ndarray, " bins"]
    reweighted: Float[np.ndarray, " bins"]
    reweighted_error: Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioDistribution:
    """Log density ratio in simulation (stacked, expected events) and in data: (events,) values and weights."""

    title: str
    color: str
    log_ratio: Float[np.ndarray, " events"]
    weight: Float[np.ndarray, " events"]


def draw_losses(ax: Axes, curves: tuple[LossCurve, ...]) -> Axes:
    """Draw the loss curves of all networks thinly, their medians thickly, and the epochs whose weights were kept.

    Returns:
        `ax`.
    """
    for curve in curves:
        epochs = np.arange(1, len(curve.train) + 1)
        ax.plot(epochs, curve.train, color=TRAIN, lw=0.6, alpha=0.35)
        ax.plot(epochs, curve.validation, color=VALIDATION, lw=0.6, alpha=0.35)
        if curve.best is not None and 0 <= curve.best < len(curve.validation):
            ax.plot(curve.best + 1, curve.validation[curve.best], "o", ms=3, color=VALIDATION, mec=INK, mew=0.4)
    for label, color, rows in (
        ("training", TRAIN, [curve.train for curve in curves]),
        ("validation", VALIDATION, [curve.validation for curve in curves]),
    ):
        median = _median(rows)
        ax.plot(np.arange(1, len(median) + 1), median, color=color, lw=2.2, label=f"{label} (median)")
    _limit_losses(ax, curves)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("Epoch")
    ax.set_ylabel("Loss")
    ax.legend(loc="upper right")
    return ax


def draw_calibration(ax: Axes, calibration: Calibration, *, color: str) -> Axes:
    """Draw the fraction of the process against the score; a calibrated network lies on the diagonal.

    Returns:
        `ax`.
    """
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls="--")
    ax.errorbar(calibration.score, calibration.fraction, yerr=calibration.error, fmt="o", ms=4.5, lw=1.3, color=color)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("Score")
    ax.set_ylabel("Fraction of process")
    return ax


def draw_closure(ax: Axes, closure: Closure, *, title: str, color: str) -> Axes:
    """Draw a process (filled) and the reference reweighted to it (points).

    Returns:
        `ax`.
    """
    mplhep.histplot(
        closure.target, bins=closure.edges, histtype="fill", color=color, alpha=0.45, label=safe_text(title), ax=ax
    )
    centres = (closure.edges[1:] + closure.edges[:-1]) / 2
    ax.errorbar(
        centres, closure.reweighted, yerr=closure.reweighted_error, fmt="o", ms=3.5, lw=1.1, color=INK,
        label="reference, reweighted",
    )  # fmt: skip
    top = float(np.max(np.concatenate([closure.target, closure.reweighted]), initial=0.0))
    low = min(0.0, 1.2 * float(np.min(np.concatenate([closure.target, closure.reweighted]), initial=0.0)))
    ax.set_ylim(low, 1.5 * top if top > 0 else 1)
    ax.set_xlim(float(closure.edges[0]), float(closure.edges[-1]))
    ax.set_ylabel("Fraction")
    ax.legend(loc="upper right", fontsize="x-small")
    return ax


def draw_closure_ratio(ax: Axes, closure: Closure, *, axis: str) -> Axes:
    """Draw reweighted reference over process with the errors of both.

    Returns:
        `ax`.
    """
    known = closure.target > 0
    safe = np.where(known, closure.target, 1.0)
    centres = ((closure.edges[1:] + closure.edges[:-1]) / 2)[known]
    error = np.hypot(closure.reweighted_error, closure.target_error)
    ax.axhline(1.0, color=MUTED, lw=1)
    ax.errorbar(
        centres, (closure.reweighted / safe)[known], yerr=(error / safe)[known], fmt="o", ms=3.5, lw=1.1, color=INK
    )
    ax.set_ylim(0.6, 1.4)
    ax.set_xlim(float(closure.edges[0]), float(closure.edges[-1]))
    ax.set_xlabel(axis)
    ax.set_ylabel("Ratio", loc="center", fontsize="small")
    return ax


def draw_ratios(
    ax: Axes,
    distributions: tuple[RatioDistribution, ...],
    observed: Float[np.ndarray, " observed"] | None,
    *,
    axis: str,
    bins: int = 24,
) -> Axes:
    """Draw the log ratio of one process: expected events stacked by process, data as points with Poisson errors.

    The range is that of the central 99.8 % of all values; what lies outside is counted in the first and last bin.

    Returns:
        `ax`.
    """
    values = [item.log_ratio for item in distributions] + ([observed] if observed is not None else [])
    edges = _edges(np.concatenate(values) if values else np.zeros(1), bins)
    clipped = [np.clip(item.log_ratio, edges[0], edges[-1]) for item in distributions]
    counts = [np.histogram(v, edges, weights=d.weight)[0] for v, d in zip(clipped, distributions, strict=True)]
    if counts:
        mplhep.histplot(
            counts, bins=edges, stack=True, histtype="fill", edgecolor=INK, linewidth=0.4,
            color=[item.color for item in distributions], label=[safe_text(item.title) for item in distributions],
            ax=ax,
        )  # fmt: skip
    top = float(np.max(np.sum(counts, axis=0), initial=0.0)) if counts else 0.0
    if observed is not None:
        seen = np.histogram(np.clip(observed, edges[0], edges[-1]), edges)[0].astype(float)
        errors = poisson_errors(seen)
        ax.errorbar(
            (edges[1:] + edges[:-1]) / 2, seen, yerr=errors, fmt="o", ms=4, lw=1.2, color=INK, label="Data", zorder=10
        )
        top = max(top, float(np.max(seen + errors[1], initial=0.0)))
    ax.set_ylim(0, 1.5 * top if top > 0 else 1)
    ax.set_xlim(float(edges[0]), float(edges[-1]))
    ax.set_xlabel(axis)
    ax.set_ylabel("Events / bin")
    ax.legend(loc="upper right", fontsize="x-small", ncols=2)
    return ax


def _median(rows: list[Float[np.ndarray, " epochs"]]) -> Float[np.ndarray, " longest"]:
    longest = max((len(row) for row in rows), default=0)
    return np.array([np.median([row[e] for row in rows if len(row) > e]) for e in range(longest)])


def _limit_losses(ax: Axes, curves: tuple[LossCurve, ...]) -> None:
    everything = np.concatenate([np.concatenate([c.train, c.validation]) for c in curves]) if curves else np.zeros(0)
    finite = everything[np.isfinite(everything)]
    if finite.size == 0:
        return
    low, high = np.quantile(finite, [0.0, 0.97])
    margin = 0.1 * (high - low) or 0.05
    ax.set_ylim(float(low - margin), float(high + 4 * margin))


def _edges(values: Float[np.ndarray, " values"], bins: int) -> Float[np.ndarray, " edges"]:
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.001, 0.999]) if finite.size else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)
