"""The ranking of nuisance parameters: impacts on the parameter of interest, with pulls and constraints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from evercast.errors import EnvironmentUnfit, UsageError
from evercast.inference.fit import ParameterResult
from evercast.inference.impacts import Impact
from evercast.publication.plots.figure import INK, MUTED, PALETTE, PAPER, figure_style, safe_text

__all__ = ["check_ending", "draw_impacts", "draw_ranked_pulls", "save_impacts"]

_UP, _DOWN = PALETTE[0], PALETTE[1]
_PLATE = {"facecolor": PAPER, "edgecolor": "none", "pad": 2.0}
_FORMATS = (".png", ".pdf", ".svg")


def check_ending(path: Path) -> None:
    """Refuse a file name whose ending is not that of a plot.

    Raises:
        UsageError: the ending is not ``.png``, ``.pdf`` or ``.svg``.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"--plot {path}: the name must end in {', '.join(_FORMATS)}")


def draw_impacts(ax: Axes, impacts: Sequence[Impact], *, poi: str) -> Axes:
    """Draw the shifts of the best fit when global observables move by one standard deviation, largest on top.

    Parameters without a constraint show what the covariance says, in outline.

    Args:
        ax: where.
        impacts: largest first.
        poi: label of the parameter of interest.

    Returns:
        `ax`.
    """
    rows = np.arange(len(impacts))[::-1]
    for row, impact in zip(rows, impacts, strict=True):
        for shift, color, hatch in ((impact.up, _UP, None), (impact.down, _DOWN, "////")):
            if shift is not None:
                ax.barh(row, shift, height=0.72, color=color if hatch is None else "none", edgecolor=color, hatch=hatch)
        if impact.up is None and impact.down is None and impact.covariance is not None:
            size = abs(impact.covariance)
            ax.barh(row, 2 * size, left=-size, height=0.72, color="none", edgecolor=MUTED, lw=1.2)
    ax.axvline(0, color=INK, lw=1)
    handles = [Patch(facecolor=_UP, edgecolor=_UP, label=r"$+1\sigma$")]
    handles.append(Patch(facecolor="none", edgecolor=_DOWN, hatch="////", label=r"$-1\sigma$"))
    if any(impact.up is None and impact.down is None for impact in impacts):
        handles.append(Patch(facecolor="none", edgecolor=MUTED, label="free, from covariance"))
    reach = 1.15 * max([1e-12, *(impact.size for impact in impacts)])
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-0.7, len(impacts) - 0.3)
    ax.set_xlabel(safe_text(f"shift of {poi}"))
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncol=3,
        frameon=False,
        handlelength=1.4,
        columnspacing=1.0,
    )
    return ax


def draw_ranked_pulls(ax: Axes, impacts: Sequence[Impact]) -> Axes:
    """Draw pulls with constraints of the same parameters, a band of one standard deviation behind.

    Returns:
        `ax`.
    """
    rows = np.arange(len(impacts))[::-1]
    ax.axvspan(-1, 1, color=MUTED, alpha=0.18, lw=0)
    ax.axvline(0, color=MUTED, lw=1)
    shown = [(row, impact) for row, impact in zip(rows, impacts, strict=True) if impact.pull is not None]
    pulls = [impact.pull or 0.0 for _, impact in shown]
    ax.errorbar(
        pulls, [row for row, _ in shown], xerr=[impact.constraint or 0.0 for _, impact in shown], fmt="o", ms=5,
        lw=1.8, capsize=3, color=INK,
    )  # fmt: skip
    for row, impact in zip(rows, impacts, strict=True):
        if impact.pull is None:
            ax.text(0, row, "free", color=MUTED, ha="center", va="center", fontsize="small", bbox=_PLATE)
    reach = max([2.0, *(abs(pull) + 1.2 for pull in pulls)])
    ax.set_xlim(-reach, reach)
    ax.set_yticks(rows, [safe_text(impact.parameter) for impact in impacts])
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set_ylim(-0.7, len(impacts) - 0.3)
    ax.set_xlabel(r"pull $(\hat\theta-\theta_0)/\Delta\theta$")
    return ax


def save_impacts(path: Path, impacts: Sequence[Impact], *, best: ParameterResult, asimov: str | None) -> None:
    """Write the ranking plot.

    Args:
        path: ends in ``.png``, ``.pdf`` or ``.svg``.
        impacts: largest first.
        best: fit of the parameter of interest.
        asimov: kind of the Asimov data; None for observed data.

    Raises:
        UsageError: another ending.
        EnvironmentUnfit: the file cannot be written.
    """
    check_ending(path)
    with figure_style():
        figure = Figure(figsize=(12.0, 2.4 + 0.42 * max(len(impacts), 3)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.0, 1.25))
        draw_ranked_pulls(left, impacts)
        draw_impacts(right, impacts, poi=best.name)
        right.tick_params(axis="y", which="both", left=False, right=False)
        for ax in (left, right):
            ax.minorticks_off()
        spread = "" if best.uncertainty is None else rf" $\pm$ {best.uncertainty:.3g}"
        data = "observed" if asimov is None else f"Asimov data ({asimov})"
        right.set_title(f"{safe_text(best.name)} = {best.value:.4g}{spread}\n{data}", fontsize=14, loc="right", pad=30)
        try:
            figure.savefig(path, dpi=150)
        except OSError as err:
            raise EnvironmentUnfit(f"{path} cannot be written: {err}", code="disk.write") from err
