"""Figures of the checks: holdout, normalisation of morphs, convergence, bins, shifts, coverage, pairs of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from evercast.publication.plots.figure import INK, MUTED, PALETTE, safe_text

__all__ = [
    "MorphNorms", "Points", "draw_binned", "draw_convergence", "draw_coverage", "draw_holdout", "draw_log_calibration",
    "draw_morph_norms", "draw_pairs", "draw_points",
]  # fmt: skip

Values = Float[np.ndarray, " values"]
_LINES = ("-", "--", "-.", ":")
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphNorms:
    """Z(alpha) of a process for each nuisance parameter alone, and for all together.

    Args:
        alpha: (points,) in units of the constraint.
        parameters: name -> (value, error), (points,) each.
        together: all parameters at the same alpha; None for one parameter.
    """

    alpha: Values
    parameters: Mapping[str, tuple[Values, Values]]
    together: Values | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Named values with errors against what is wanted, one line each."""

    names: tuple[str, ...]
    values: Values
    errors: Values | None
    wanted: float
    axis: str
    band: float | None = None


def draw_holdout(ax: Axes, folds: Sequence[int], train: Values, holdout: Values) -> Axes:
    """Draw the loss per fold on events of the training and on events held out.

    Returns:
        `ax`.
    """
    for values, label, color, marker in (
        (train, "events of the training", PALETTE[0], "o"),
        (holdout, "events held out", "#e76300", "s"),
    ):
        ax.plot(folds, values, marker, ms=7, color=color, label=label)
    low, high = float(min(train.min(), holdout.min())), float(max(train.max(), holdout.max()))
    margin = max(0.5 * (high - low), 0.01)
    ax.set_ylim(low - margin, high + 2.2 * margin)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(min(folds) - 0.5, max(folds) + 0.5)
    ax.set_xlabel("Fold")
    ax.set_ylabel("Loss")
    ax.legend(loc="upper right", fontsize="small")
    return ax


def draw_log_calibration(ax: Axes, learned: Values, found: Values, error: Values, *, color: str) -> Axes:
    """Draw the log ratio counted in simulation against the learned one; the diagonal is right.

    Returns:
        `ax`.
    """
    low, high = float(min(learned.min(), found.min())), float(max(learned.max(), found.max()))
    margin = 0.06 * (high - low) or 0.5
    span = [low - margin, high + margin]
    ax.plot(span, span, color=MUTED, lw=1, ls="--")
    ax.errorbar(learned, found, yerr=error, fmt="o", ms=4.5, lw=1.3, color=color)
    ax.set_xlim(*span)
    ax.set_ylim(*span)
    ax.set_xlabel("log r, learned")
    ax.set_ylabel("log r, counted")
    return ax


def draw_morph_norms(ax: Axes, norms: MorphNorms) -> Axes:
    """Draw Z(alpha) of each parameter with its statistical error, and of all together.

    Returns:
        `ax`.
    """
    ax.axhline(1.0, color=MUTED, lw=1)
    for index, (name, (value, error)) in enumerate(norms.parameters.items()):
        color, style = PALETTE[index % len(PALETTE)], _LINES[(index // len(PALETTE)) % len(_LINES)]
        label = safe_text(name) if len(norms.parameters) <= _MOST_NAMED else None
        ax.plot(norms.alpha, value, style, color=color, lw=1.6, label=label)
        ax.fill_between(norms.alpha, value - error, value + error, color=color, alpha=0.18, lw=0)
    if norms.together is not None:
        ax.plot(norms.alpha, norms.together, color=INK, lw=2.2, label="all together")
    everything = np.concatenate([value for value, _ in norms.parameters.values()])
    if norms.together is not None:
        everything = np.concatenate([everything, norms.together])
    reach = float(np.clip(1.3 * np.max(np.abs(everything - 1.0)), 0.01, 2.0))
    ax.set_ylim(max(1.0 - reach, -0.1), 1.0 + 1.6 * reach)
    ax.set_xlim(float(norms.alpha.min()), float(norms.alpha.max()))
    ax.set_xlabel(r"$\alpha$")
    ax.set_ylabel(r"$Z(\alpha)$")
    ax.legend(loc="upper center", fontsize="x-small", ncols=2)
    return ax


def draw_convergence(ax: Axes, members: Values, median: Values, high: Values) -> Axes:
    """Draw the standard error of the log ratio against the number of members.

    Returns:
        `ax`.
    """
    ax.plot(members, median, "o-", color=PALETTE[0], ms=5, label="median")
    ax.plot(members, high, "s--", color="#e76300", ms=5, label="90 % of the events below")
    ax.set_ylim(0, 1.35 * float(max(np.max(high), 1e-6)))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("Members")
    ax.set_ylabel("Standard error of log r")
    ax.legend(loc="upper right", fontsize="small")
    return ax


def draw_binned(ax: Axes, bins: Sequence[int], sigma: Values, unbinned: float, *, axis: str) -> Axes:
    """Draw the expected uncertainty with bins against their number, and the unbinned one.

    Returns:
        `ax`.
    """
    ax.axhline(unbinned, color="#bd1f01", lw=2, label="unbinned")
    ax.plot(bins, sigma, "o-", color=INK, ms=6, label="bins of the log likelihood ratio")
    top, low = float(max(np.nanmax(sigma), unbinned)), float(min(np.nanmin(sigma), unbinned))
    margin = max(top - low, 0.02 * top)
    ax.set_ylim(low - 0.6 * margin, top + 1.2 * margin)
    ax.set_xlim(0, max(bins) + 2)
    ax.set_xticks(list(bins))
    ax.set_xlabel("Bins")
    ax.set_ylabel(f"Expected uncertainty of {safe_text(axis)}")
    ax.legend(loc="upper right", fontsize="small")
    return ax


def draw_points(ax: Axes, points: Points, *, color: str = INK) -> Axes:
    """Draw named values, one line each, against what is wanted.

    Returns:
        `ax`.
    """
    rows = np.arange(len(points.names))[::-1]
    if points.band is not None:
        ax.axvspan(points.wanted - points.band, points.wanted + points.band, color="#4caf50", alpha=0.25, lw=0)
    ax.axvline(points.wanted, color=MUTED, lw=1)
    ax.errorbar(points.values, rows, xerr=points.errors, fmt="o", ms=5, lw=1.5, color=color)
    ax.set_yticks(rows, [safe_text(name) for name in points.names])
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    error = np.zeros(len(rows)) if points.errors is None else points.errors
    reach = float(np.max(np.abs(points.values - points.wanted) + error, initial=points.band or 0.01)) * 1.15
    ax.set_xlim(points.wanted - reach, points.wanted + reach)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.set_xlabel(safe_text(points.axis))
    return ax


def draw_coverage(
    ax: Axes, values: Values, coverage: Values, error: Values, *, levels: Values, axis: str
) -> Axes:  # fmt: skip
    """Draw the coverage at each true value with its binomial error, and the confidence levels.

    Returns:
        `ax`.
    """
    for index, level in enumerate(sorted(set(levels.tolist()))):
        chosen, color = levels == level, PALETTE[index % len(PALETTE)]
        ax.axhline(100 * level, color=color, lw=1, ls="--")
        ax.errorbar(
            values[chosen], 100 * coverage[chosen], yerr=100 * error[chosen], fmt="o", ms=6, lw=1.5, color=color,
            label=f"{100 * level:.4g} % confidence level",
        )  # fmt: skip
    spread = float(np.ptp(values)) or 1.0
    ax.set_xlim(float(values.min()) - 0.15 * spread, float(values.max()) + 0.15 * spread)
    low, high = float(np.min(coverage - error)), float(np.max(coverage + error))
    ax.set_ylim(100 * low - 4, min(100 * high + 12, 115))
    ax.set_xlabel(f"true {safe_text(axis)}")
    ax.set_ylabel("Coverage [%]")
    ax.legend(loc="upper right", fontsize="small")
    return ax


def draw_pairs(ax: Axes, parameters: Sequence[str], values: Mapping[tuple[str, str], float]) -> Axes:
    """Draw what each pair of parameters has in common, in per cent, as a matrix.

    Returns:
        `ax`.
    """
    size = len(parameters)
    matrix = np.full((size, size), np.nan)
    for (first, second), value in values.items():
        row, column = parameters.index(first), parameters.index(second)
        matrix[row, column] = matrix[column, row] = 100 * value
    reach = max(float(np.nanmax(np.abs(matrix), initial=0.0)), 1.0)
    ax.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach)
    if size <= 12:
        for row, column in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
            ax.text(column, row, f"{matrix[row, column]:.1f}", ha="center", va="center", fontsize=9, color="#15181c")
    names = [safe_text(name) for name in parameters]
    ax.set_xticks(range(size), names, rotation=90, fontsize="x-small")
    ax.set_yticks(range(size), names, fontsize="x-small")
    ax.tick_params(which="both", length=0)
    return ax
