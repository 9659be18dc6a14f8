"""The plots of the checks, made from the numbers that stand with each check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from evercast.publication.plots import diagnostics as plots
from evercast.publication.plots.figure import INK, PALETTE, safe_text
from evercast.publication.plots.inference import Pull, draw_pulls
from evercast.publication.plots.networks import Calibration, Closure, draw_calibration
from evercast.publication.report import figures
from evercast.publication.report.checks import ReportedCheck
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.mathtext import to_html
from evercast.publication.report.sections_selection import slug
from evercast.publication.report.view import JsonView

__all__ = ["FigureStyle", "check_figures"]

MOST_PANELS = 24
"""Panels of a kind at most; the table has the numbers of all."""
_PANEL = Frame(width=4.3, height=3.7, left=1.05, top=0.45)
_NAMED = Frame(width=5.3, height=4.2, left=2.05, top=0.45)
_WITH_NAMES = frozenset({"pulls", "injection", "gradient", "pairs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureStyle:
    """How processes and observables are written in figures.

    Args:
        colors: subject of a check (``ENSEMBLE: PROCESS``) -> colour.
        axes: observable -> label.
        poi: label of the parameter of interest.
    """

    colors: Mapping[str, str]
    axes: Mapping[str, str]
    poi: str


Draw = Callable[[Axes, JsonView, FigureStyle, str], None]


def check_figures(number: int | None, checks: Sequence[ReportedCheck], style: FigureStyle) -> tuple[Drawing, ...]:
    """Return the plots of the checks of one kind: panels side by side, closures one figure a process."""
    found: list[Drawing] = []
    for key, (draw, caption) in _PANELS.items():
        kind = key.partition("/")[0]
        chosen = [check for check in checks if check.figure.text("kind") == kind][:MOST_PANELS]
        if chosen:
            panels = [(check.subject, check) for check in chosen]
            found.append(_panels(f"check-{number or 0}-{key.replace('/', '-')}", panels, draw, style, caption))
    for check in checks:
        if check.figure.text("kind") == "closure":
            drawing = _closure(check, style)
            found += [] if drawing is None else [drawing]
    found += _summaries(number, checks)
    return tuple(found)


def _panels(
    name: str, panels: list[tuple[str, ReportedCheck]], draw: Draw, style: FigureStyle, caption: str
) -> Drawing:
    def one(ax: Axes, panel: tuple[str, ReportedCheck]) -> None:
        draw(ax, panel[1].figure, style, panel[0])
        ax.set_title(safe_text(panel[0]), loc="left", fontsize="small")

    frame = _NAMED if name.rpartition("-")[2] in _WITH_NAMES else _PANEL
    return figures.panels(name, panels, one, frame, caption=caption)


def _holdout(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    folds = [int(fold) for fold in figure.numbers("fold")]
    plots.draw_holdout(ax, folds, figure.numbers("train"), figure.numbers("holdout"))


def _calibration(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:
    curve = Calibration(
        score=figure.numbers("score"), fraction=figure.numbers("fraction"), error=figure.numbers("error")
    )
    draw_calibration(ax, curve, color=style.colors.get(subject, INK))


def _log_calibration(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:
    plots.draw_log_calibration(
        ax, figure.numbers("log_ratio"), figure.numbers("found"), figure.numbers("found_error"),
        color=style.colors.get(subject, INK),
    )  # fmt: skip


def _morph_norm(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    parameters = {name: (view.numbers("value"), view.numbers("error")) for name, view in figure.items("parameters")}
    together = figure.numbers("together", "value") if len(parameters) > 1 else None
    plots.draw_morph_norms(
        ax, plots.MorphNorms(alpha=figure.numbers("alpha"), parameters=parameters, together=together)
    )


def _convergence(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    plots.draw_convergence(ax, figure.numbers("members"), figure.numbers("median"), figure.numbers("quantile_90"))


def _pulls(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    names = [view.text() or "?" for view in figure.entries("names")]
    values = zip(names, figure.numbers("values").tolist(), strict=False)
    items = tuple(Pull(title=name, value=value, uncertainty=0.0) for name, value in list(values)[:12])
    draw_pulls(ax, items)
    ax.set_xlabel("(found − put in) / uncertainty")


def _binned(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    bins = [int(value) for value in figure.numbers("bins")]
    plots.draw_binned(ax, bins, figure.numbers("sigma"), figure.number("unbinned_sigma") or np.nan, axis=style.poi)


def _injection(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    names = tuple(view.text() or "?" for view in figure.entries("parameters"))
    points = plots.Points(
        names=names, values=figure.numbers("found"), errors=None, wanted=1.0, axis="recovered shift", band=0.2
    )
    plots.draw_points(ax, points)


def _coverage(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    toys, share = figure.numbers("toys"), figure.numbers("covered") / figure.numbers("toys")
    plots.draw_coverage(
        ax, figure.numbers("value"), share, np.sqrt(np.maximum(share * (1 - share), 1 / toys) / toys),
        levels=figure.numbers("confidence_level"), axis=style.poi,
    )  # fmt: skip


def _pairs(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    names = [view.text() or "?" for view in figure.entries("parameters")]
    pairs = [(view.at(0).text() or "?", view.at(1).text() or "?") for view in figure.entries("pairs")]
    plots.draw_pairs(ax, names, dict(zip(pairs, figure.numbers("values").tolist(), strict=False)))


def _gradient(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:  # noqa: ARG001 - one signature
    names = [view.text() or "?" for view in figure.entries("points")]
    values = np.maximum(figure.numbers("difference"), 1e-16)
    ax.plot(values, np.arange(len(names))[::-1], "o", color=INK, ms=6)
    for limit, color in ((1e-5, PALETTE[1]), (1e-3, "#bd1f01")):
        ax.axvline(limit, color=color, lw=1.5, ls="--")
    ax.set_xscale("log")
    ax.set_xlim(1e-16, 1e-1)
    ax.set_yticks(np.arange(len(names))[::-1], names, fontsize="x-small")
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("relative difference")


def _tails(ax: Axes, figure: JsonView, style: FigureStyle, subject: str) -> None:
    levels, values = figure.numbers("levels"), figure.numbers("log_ratio")
    ax.plot(values, np.arange(len(levels)), "o-", color=style.colors.get(subject, INK), ms=4)
    ax.axvspan(-15, 15, color="#4caf50", alpha=0.15, lw=0)
    ax.set_yticks(np.arange(len(levels)), [f"{100 * level:g} %" for level in levels], fontsize="x-small")
    reach = max(16.0, 1.1 * float(np.max(np.abs(values), initial=0.0)))
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("log r below which so many events lie")


_PANELS: Mapping[str, tuple[Draw, str]] = {
    "losses": (_holdout, "Loss of the first member of each fold on events it was trained on and on events held out."),
    "calibration": (
        _calibration,
        "Fraction of the process in bins of the score, events held out, equal class weights.",
    ),
    "calibration/log": (
        _log_calibration,
        "The same as log ratios: counted in simulation against learned.",
    ),
    "morph-norm": (
        _morph_norm,
        "Normalisation of the morphed density of a process over the reference, which is divided out at every α.",
    ),
    "tails": (_tails, "Quantiles of the log ratio; beyond ±15 (unshaded) scores are 0 or 1 in single precision."),
    "convergence": (_convergence, "Standard error of the log ratio against the number of members."),
    "pulls": (_pulls, "Fit to Asimov data: distance of each parameter from what was put in, the largest ones."),
    "gradient": (_gradient, "Gradient against finite differences; dashed lines are the thresholds."),
    "binned": (_binned, "Expected uncertainty with the events in bins of a log likelihood ratio, and without bins."),
    "injection": (_injection, "Nuisance parameters shifted by 1 in Asimov data, as the fit finds them."),
    "coverage": (_coverage, "Share of pseudo-experiments whose interval holds the true value."),
    "pairs": (_pairs, "What two morphs of a process have in common, E[g_a g_b] / (E[g_a] E[g_b]) − 1 in per cent."),
}


def _closure(check: ReportedCheck, style: FigureStyle) -> Drawing | None:
    content = []
    for observable, view in check.figure.items("observables"):
        edges = view.numbers("edges")
        columns = [view.numbers(key) for key in ("target", "target_error", "reweighted", "reweighted_error")]
        if edges.size < 2 or any(column.size != edges.size - 1 for column in columns):
            continue
        closure = Closure(
            edges=edges, target=columns[0], target_error=columns[1], reweighted=columns[2], reweighted_error=columns[3]
        )
        content.append((style.axes.get(observable, observable), closure))
    if not content:
        return None
    caption = to_html(f"{check.subject}, {check.name}: the process (area) and the reference weighted with the ratio.")
    return figures.closures(
        slug(check.id), content[:MOST_PANELS], title=check.subject.rpartition(": ")[2], caption=caption,
        color=style.colors.get(check.subject, INK),
    )  # fmt: skip


def _summaries(number: int | None, checks: Sequence[ReportedCheck]) -> list[Drawing]:
    """Return plots with one point a check: normalisation and two-sample tests."""
    wanted = {
        "normalisation": ("mean", 1.0, 0.02, "E_ref[r] as learned"),
        "two-sample": ("area", 0.5, 0.02, "area under the curve"),
    }
    drawings = []
    for kind, (key, target, band, axis) in wanted.items():
        chosen = [check for check in checks if check.figure.text("kind") == kind][:40]
        if not chosen:
            continue
        points = plots.Points(
            names=tuple(check.subject for check in chosen), wanted=target, band=band, axis=axis,
            values=np.array([check.figure.number(key) or target for check in chosen]),
            errors=np.array([check.figure.number("error") or 0.0 for check in chosen]),
        )  # fmt: skip
        caption = f"{axis[:1].upper()}{axis[1:]} of each process; within the band whatever the statistics."
        drawings.append(figures.points(f"check-{number or 0}-{kind}", points, caption=caption))
    return drawings
