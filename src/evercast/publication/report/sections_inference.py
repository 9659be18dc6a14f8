"""Sections on one level deeper: limits, impacts, correlations, contours, several minima, goodness of fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from evercast.inference.impacts import Impact
from evercast.publication.plots.figure import PALETTE, Label, safe_text
from evercast.publication.plots.statistics import (
    ContourLines,
    LimitBand,
    draw_contours,
    draw_correlation,
    draw_limits,
)
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.sections_selection import slug
from evercast.publication.report.view import JsonView
from evercast.publication.results import LikelihoodResult, Outcome
from evercast.spec.model import Analysis

__all__ = ["inference_section", "likelihood_title", "poi_axis", "result_color"]

MOST_RANKED = 20
MOST_CORRELATED = 25
_COLORS = (PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[6], PALETTE[5], PALETTE[3])


def likelihood_title(analysis: Analysis, name: str) -> str:
    """Return how a likelihood is called."""
    likelihood = analysis.likelihoods.get(name)
    return (likelihood.title if likelihood else None) or name


def poi_axis(analysis: Analysis, poi: str) -> str:
    """Return the label of a parameter."""
    parameter = analysis.parameters.get(poi)
    return (parameter.label if parameter else None) or poi


def result_color(index: int) -> str:
    """Return the colour of a likelihood by its place."""
    return _COLORS[index % len(_COLORS)]


def inference_section(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> Section | None:
    """Return what the fits say beyond best values and intervals; None where there is nothing.

    Observed results are shown where they were computed, else those on Asimov data.
    """
    shown = tuple(result for result in results if result.trusted)
    blocks: list[Block] = []
    limits = _limits(analysis, shown, label)
    blocks += [] if limits is None else [_limit_table(analysis, shown), Gallery(drawings=(limits,))]
    blocks += [block for result in shown if (block := _impacts(analysis, result)) is not None]
    blocks += _contours(analysis, shown, label)
    blocks += [block for result in shown if (block := _correlation(analysis, result)) is not None]
    minima = _minima(analysis, shown)
    blocks += [minima] if minima.rows else []
    goodness = _goodness(analysis, shown)
    blocks += [goodness] if goodness.rows else []
    if not blocks:
        return None
    lead = "Where an observed result was not computed, the one on Asimov data is shown and named so."
    return Section(anchor="inference", title="Uncertainties in detail", lead=lead, blocks=tuple(blocks))


def _sides(result: LikelihoodResult) -> Iterator[tuple[Outcome, bool]]:
    """Yield the observed and the expected outcome, where they are there, with whether it is the expected one."""
    if result.observed is not None:
        yield result.observed, False
    if result.expected is not None:
        yield result.expected, True


def _first(result: LikelihoodResult, key: str) -> tuple[JsonView, bool] | None:
    """Return an entry of the observed outcome, else of the expected one, with whether it is the expected one."""
    for outcome, expected in _sides(result):
        found = outcome.view.at(key)
        if found.value:
            return found, expected
    return None


def _limits(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> Drawing | None:
    bands = []
    for result in results:
        limits = [outcome.limit for outcome, _ in _sides(result) if outcome.limit is not None]
        if not limits:
            continue
        band = next((limit.band for limit in limits if limit.band.size == 5), np.zeros(0))
        seen = result.observed.limit.observed if result.observed and result.observed.limit else None
        bands.append(LimitBand(title=likelihood_title(analysis, result.name), expected=band, observed=seen))
    if not bands:
        return None
    axis = poi_axis(analysis, results[0].poi)

    def draw(ax: Axes, content: tuple[LimitBand, ...]) -> None:
        draw_limits(ax, content, axis=axis)

    frame = Frame(width=7.4, height=1.8 + 0.85 * len(bands), left=0.35)
    caption = (
        "CLs upper limits: expected without signal (dashed, bands of one and two standard deviations) and observed."
    )
    return figures.labelled("limits", tuple(bands), draw, frame, label, caption=caption)


def _limit_table(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Table:
    rows = []
    for result in results:
        for outcome, expected in _sides(result):
            limit = outcome.limit
            if limit is None or (expected and result.observed is not None and result.observed.limit is not None):
                continue
            band = [_number(float(value)) for value in limit.band] if limit.band.size == 5 else ["–"] * 5
            observed = "blinded" if result.blinded else "–" if expected else _number(limit.observed)
            rows.append((
                Cell(likelihood_title(analysis, result.name)), Cell(f"{100 * limit.confidence_level:.4g} %", "number"),
                Cell(observed, "number"), *(Cell(text, "number") for text in band),
                Cell(limit.method),
            ))  # fmt: skip
    headers = ("likelihood", "level", "observed", "−2 σ", "−1 σ", "expected", "+1 σ", "+2 σ", "method")
    return Table(title="Upper limits", headers=headers, rows=tuple(rows), stacked=True)


def _impacts(analysis: Analysis, result: LikelihoodResult) -> Gallery | None:
    found = _first(result, "impacts")
    if found is None:
        return None
    entries = [entry for entry in found[0].entries() if entry.text("parameter")]
    impacts = tuple(
        Impact(
            parameter=_titled(analysis, entry.text("parameter") or "?"), pull=entry.number("pull"),
            constraint=entry.number("constraint"), up=entry.number("up"), down=entry.number("down"),
            covariance=entry.number("covariance"), local=entry.number("local"), reason=entry.text("reason"),
        )
        for entry in entries[:MOST_RANKED]
    )  # fmt: skip
    if not impacts:
        return None
    kind = "expected" if found[1] else "observed"
    title = f"Impacts on the parameter of interest: {likelihood_title(analysis, result.name)}, {kind}"
    more = f" The {len(impacts)} largest of {len(entries)}." if len(entries) > len(impacts) else ""
    caption = (
        "Left: fitted nuisance parameters in units of their constraints. Right: how far the best value of the "
        f"parameter of interest moves when the measured value behind a constraint moves by its uncertainty.{more}"
    )
    name = f"impacts-{slug(result.name)}"
    drawing = figures.impacts(name, impacts, axis=poi_axis(analysis, result.poi), caption=caption)
    return Gallery(drawings=(drawing,), title=title)


def _titled(analysis: Analysis, parameter: str) -> str:
    """Return the title of the one systematic behind a parameter, else the parameter itself."""
    titles = {item.title for name, item in analysis.systematics.items() if (item.parameter or name) == parameter}
    if len(titles) == 1 and (title := titles.pop()):
        return title if len(title) <= 34 else f"{title[:33]}…"
    declared = analysis.parameters.get(parameter)
    return (declared.label if declared else None) or parameter


def _contours(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> list[Block]:
    pairs: dict[tuple[str, str], list[ContourLines]] = {}
    for index, result in enumerate(results):
        for outcome, expected in _sides(result):
            for entry in outcome.view.entries("contours"):
                names = [view.text() or "?" for view in entry.entries("parameters")]
                if len(names) == 2:
                    lines = _contour(analysis, result, entry, color=result_color(index), expected=expected)
                    pairs.setdefault((names[0], names[1]), []).append(lines)
    drawings = []
    for (first, second), contours in pairs.items():
        axes = (poi_axis(analysis, first), poi_axis(analysis, second))

        def draw(ax: Axes, content: tuple[ContourLines, ...], axes: tuple[str, str] = axes) -> None:
            draw_contours(ax, content, axes=axes)

        name = f"contour-{slug(first)}-{slug(second)}"
        levels = ", ".join(f"{100 * level:.4g} %" for level, _ in contours[0].levels)
        caption = (
            f"Contours of the profile likelihood at {levels} (from thick to thin), levels of a chi-squared with two "
            "degrees of freedom."
        )
        frame = Frame(width=6.4, height=5.8)
        drawings.append(figures.labelled(name, tuple(contours), draw, frame, label, caption=caption))
    return [Gallery(drawings=tuple(drawings), title="Contours")] if drawings else []


def _contour(
    analysis: Analysis, result: LikelihoodResult, entry: JsonView, *, color: str, expected: bool
) -> ContourLines:
    best = entry.numbers("best")
    levels = tuple(
        (
            level.number("confidence_level") or 0.0,
            tuple(
                np.array([point.numbers() for point in line.entries()])
                for line in level.entries("lines")
                if len(list(line.entries())) > 1
            ),
        )
        for level in entry.entries("levels")
    )
    return ContourLines(
        title=likelihood_title(analysis, result.name), color=color, expected=expected, levels=levels,
        best=(float(best[0]), float(best[1])) if best.size == 2 else None,
    )  # fmt: skip


def _correlation(analysis: Analysis, result: LikelihoodResult) -> Gallery | None:
    found = _first(result, "correlation")
    if found is None:
        return None
    names = [view.text() or "?" for view in found[0].entries("names")]
    matrix = np.array([row.numbers() for row in found[0].entries("matrix")])
    if matrix.shape != (len(names), len(names)) or len(names) < 2:
        return None
    chosen = _correlated(names, matrix, result.poi)
    shown = [_titled(analysis, names[index]) for index in chosen]
    part = np.nan_to_num(matrix[np.ix_(chosen, chosen)])

    def draw(ax: Axes, content: object) -> None:  # noqa: ARG001 - drawn from what stands above
        draw_correlation(ax, shown, part)

    side = 0.36 * len(chosen) + 0.5
    left = 0.5 + 0.095 * max(len(safe_text(name)) for name in shown)
    frame = Frame(width=side + left + 0.4, height=side + left + 0.4, left=left, bottom=left, top=0.2)
    kind = "expected" if found[1] else "observed"
    more = f" The {len(chosen)} parameters with the largest ones, of {len(names)}." if len(chosen) < len(names) else ""
    drawing = figures.panels(
        f"correlation-{slug(result.name)}", [None], draw, frame,
        caption=f"Correlations after the fit in per cent, {kind}.{more}",
    )  # fmt: skip
    title = f"Correlations: {likelihood_title(analysis, result.name)}"
    return Gallery(drawings=(drawing,), title=title, folded=True)


def _correlated(names: list[str], matrix: np.ndarray, poi: str) -> list[int]:
    """Return the rows to show: the parameter of interest, then those with the largest correlation to any other."""
    off = np.abs(np.nan_to_num(matrix)) - np.eye(len(names))
    order = sorted(range(len(names)), key=lambda index: (names[index] != poi, -float(off[index].max())))
    return order[:MOST_CORRELATED]


def _minima(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Table:
    rows = tuple(
        (
            Cell(likelihood_title(analysis, result.name)),
            Cell("expected" if expected else "observed"),
            Cell(_number(entry.number("value")), "number"),
            Cell(_number(entry.number("t")), "number"),
            Cell(_largest(entry), "code"),
        )
        for result in results
        for outcome, expected in _sides(result)
        if len(list(outcome.view.entries("minima"))) > 1
        for entry in outcome.view.entries("minima")
    )
    note = "Several minima of the profile likelihood: t is the height above the lowest, in −2 ln L."
    headers = ("likelihood", "data", "parameter of interest", "t", "other parameters there")
    return Table(title="Several minima", headers=headers, rows=rows, note=note)


def _largest(entry: JsonView) -> str:
    values = {name: view.number() for name, view in entry.items("parameters")}
    known = sorted(((name, v) for name, v in values.items() if v is not None), key=lambda item: -abs(item[1]))
    return ", ".join(f"{name} = {value:.3g}" for name, value in known[:4]) or "–"


def _goodness(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Table:
    rows = []
    for result in results:
        body = JsonView() if result.observed is None else result.observed.view.at("goodness_of_fit")
        if body.value is None:
            continue
        parts = [("all channels", body), *body.items("channels")]
        for name, part in parts:
            freedom, toys = part.number("degrees_of_freedom"), part.number("p_toys")
            rows.append((
                Cell(likelihood_title(analysis, result.name)), Cell(name),
                Cell(part.text("kind") or ("together" if name == "all channels" else "–")),
                Cell(_number(part.number("statistic")), "number"),
                Cell(f"{freedom:.0f}" if freedom else "–", "number"),
                Cell(_number(part.number("p")), "number"), Cell(_number(toys), "number"),
            ))  # fmt: skip
    headers = ("likelihood", "channel", "test", "statistic", "degrees of freedom", "p", "p from pseudo-experiments")
    return Table(title="Goodness of fit", headers=headers, rows=tuple(rows))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")
