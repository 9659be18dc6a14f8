"""The limits of a response as figures: contour in a plane, Brazil bands along its lines, a band for each point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from evercast.publication.plots.exclusion import (
    ExclusionPlane,
    LimitLine,
    draw_exclusion,
    draw_limit_line,
    draw_limits_along,
)
from evercast.publication.plots.figure import Label, add_label
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.reinterpretation.requests.answers import Answer, Answers
from evercast.reinterpretation.requests.exclusion import contour_lines
from evercast.reinterpretation.requests.frozen import FrozenRequest
from evercast.reinterpretation.requests.page_shared import drawing, number

__all__ = ["limits_section"]

_COLUMNS: Final = 40
"""Limits drawn side by side: more are a table only."""
_LINES: Final = 4
"""Lines of a plane that get a figure: those with most points."""
_LEAST: Final = 3
"""Points of a line that is drawn."""
_SINGLE: Final = 3
"""Points up to which all five expected values stand in a table."""


def limits_section(frozen: FrozenRequest, answers: Answers, label: Label) -> Section | None:
    """Return what is excluded as figures and ranges; None where no point has a number."""
    contour = _contour(frozen, answers, label)
    lines = _lines(answers)
    drawings = [contour] if contour else []
    if not drawings and not lines:
        drawings += [found for found in (_columns(answers, label),) if found]
    along = tuple(_line(frozen, number, at, points, label) for number, (at, points) in enumerate(lines))
    blocks: list[Block] = [Gallery(drawings=tuple(drawings))] if drawings else []
    if along:
        blocks.append(Gallery(drawings=along, title="Upper limits along the lines" if contour else None))
    blocks += [table for table in (_numbers(answers), _ranges(frozen, answers)) if table]
    if not blocks:
        return None
    critical = f"{1.0 - frozen.wanted.confidence_level:.3g}"
    lead = f"CLs with the test statistic q-tilde and asymptotic formulas; excluded means CLs below {critical}."
    return Section(anchor="result", title="Exclusion", blocks=tuple(blocks), lead=lead)


def _axis(frozen: FrozenRequest, index: int) -> str:
    axis = frozen.analysis.axes[index]
    return (axis.title or axis.name) + ("" if axis.unit == "1" else f" [{axis.unit}]")


def _contour(frozen: FrozenRequest, answers: Answers, label: Label) -> Drawing | None:
    plane = answers.plane
    if plane is None:
        return None

    def build() -> Figure:
        figure, grid = Frame(width=8.2, height=7.0).figure()
        content = ExclusionPlane(
            x=plane.x, y=plane.y, log_ratio=plane.log_ratio, triangles=plane.triangles,
            observed=contour_lines(plane, 0), expected=contour_lines(plane, 3),
        )  # fmt: skip
        x, y = (_axis(frozen, axis) for axis in plane.axes)
        add_label(draw_exclusion(figure.add_subplot(grid[0]), content, x=x, y=y), label)
        return figure

    caption = (
        "Where CLs crosses its critical value: log CLs is linear on the triangles between the points. The bands are "
        "those of the expected line, one and two standard deviations of the background."
    )
    return drawing("contour", build, caption=caption)


def _lines(answers: Answers) -> list[tuple[tuple[float, ...], tuple[Answer, ...]]]:
    """Return the lines along the first axis with most points: (values of the other axes, points with limits)."""
    placed = [answer for answer in answers.answers if answer.point.values and answer.limit_expected]
    placed.sort(key=lambda answer: (answer.point.values[1:], answer.point.values[0]))
    groups = [(at, tuple(group)) for at, group in itertools.groupby(placed, key=lambda answer: answer.point.values[1:])]
    long = [entry for entry in groups if len({answer.point.values[0] for answer in entry[1]}) >= _LEAST]
    kept = sorted(long, key=lambda entry: (-len(entry[1]), entry[0]))[:_LINES]
    return sorted(kept)


def _line(frozen: FrozenRequest, place: int, at: Sequence[float], points: tuple[Answer, ...], label: Label) -> Drawing:
    sigma = [answer.point.cross_section_pb for answer in points]
    known = np.array([np.nan if value is None else value for value in sigma])
    in_pb = bool(np.isfinite(known).all())
    scale = known if in_pb else np.ones(len(points))
    observed = np.array([np.nan if a.limit_observed is None else a.limit_observed for a in points])
    line = LimitLine(
        at=np.array([answer.point.values[0] for answer in points]),
        expected=np.array([answer.limit_expected for answer in points]) * scale[:, None],
        observed=observed * scale, predicted=scale,
    )  # fmt: skip
    fixed = ", ".join(
        f"{axis.name} = {value:g}{'' if axis.unit == '1' else ' ' + axis.unit}"
        for axis, value in zip(frozen.analysis.axes[1:], at, strict=True)
    )

    def build() -> Figure:
        figure, grid = Frame(width=6.4, height=5.4).figure()
        words = ("the cross-section [pb]", "cross-section of the signal") if in_pb else ("μ", "signal strength 1")
        ax = figure.add_subplot(grid[0])
        draw_limit_line(ax, line, x=_axis(frozen, 0), y=words[0], predicted=words[1])
        add_label(ax, label, size=15)
        return figure

    what = "cross-section" if in_pb else "signal strength"
    caption = f"Upper limits on the {what}{f' for {fixed}' if fixed else ''}, {len(points)} points."
    return drawing(f"line-{place}", build, caption=caption, wide=False)


def _columns(answers: Answers, label: Label) -> Drawing | None:
    drawn = [answer for answer in answers.answers if answer.limit_expected]
    if not 0 < len(drawn) <= _COLUMNS:
        return None

    def build() -> Figure:
        longest = max(len(answer.point.name) for answer in drawn)
        bottom = 0.5 + 0.105 * min(longest, 40) if len(drawn) > 3 else 0.72
        figure, grid = Frame(width=max(6.0, 2.0 + 0.55 * len(drawn)), height=4.9 + bottom, bottom=bottom).figure()
        ax = figure.add_subplot(grid[0])
        expected = np.array([answer.limit_expected for answer in drawn])
        observed = [answer.limit_observed for answer in drawn]
        names = [answer.point.name for answer in drawn]
        add_label(draw_limits_along(ax, names, expected, observed, axis="signal strength"), label)
        return figure

    caption = (
        "Upper limits on the signal strength; a point below 1 is excluded. Bands are of the search without a signal."
    )
    return drawing("limits", build, caption=caption)


def _numbers(answers: Answers) -> Table | None:
    """Return CLs and limits of few points in full: observed, and expected with its bands."""
    shown = [answer for answer in answers.answers if answer.cls_expected]
    if not 0 < len(shown) <= _SINGLE or len(answers.answers) > _SINGLE:
        return None
    rows = []
    for answer in shown:
        sigma = answer.point.cross_section_pb
        lines = [("CLs", answer.cls_observed, answer.cls_expected, 1.0)]
        if answer.limit_expected:
            lines.append(("limit on μ", answer.limit_observed, answer.limit_expected, 1.0))
            if sigma is not None:
                lines.append(("limit [pb]", answer.limit_observed, answer.limit_expected, sigma))
        rows += [
            (
                Cell(answer.point.name, "code"), Cell(what),
                Cell(number(None if observed is None else observed * scale), "number"),
                *(Cell(number(value * scale), "number") for value in expected),
            )
            for what, observed, expected, scale in lines
        ]  # fmt: skip
    headers = ("point", "what", "observed", "−2 σ", "−1 σ", "expected", "+1 σ", "+2 σ")
    note = "Expected values without a signal: the median and fluctuations of the background of one and two σ."
    return Table(title="CLs and upper limits", headers=headers, rows=tuple(rows), note=note, stacked=True)


def _ranges(frozen: FrozenRequest, answers: Answers) -> Table | None:
    found = [entry for entry in answers.ranges if entry.observed or entry.expected]
    if not found:
        return None
    first, *others = frozen.analysis.axes
    rows = tuple(
        (
            *(Cell(f"{value:g}", "number") for value in entry.at),
            Cell(_ends(entry.observed, entry.covered) if frozen.wanted.observed else "not looked at"),
            Cell(_ends(entry.expected, entry.covered)),
        )
        for entry in found
    )
    unit = "" if first.unit == "1" else f" [{first.unit}]"
    headers = (
        *(axis.name + ("" if axis.unit == "1" else f" [{axis.unit}]") for axis in others),
        f"{first.name} excluded{unit}", f"expected{unit}",
    )  # fmt: skip
    return Table(title=f"Excluded ranges of {first.name}", headers=headers, rows=rows)


def _ends(ranges: tuple[tuple[float, float], ...], covered: tuple[float, float]) -> str:
    texts = [
        f"{'≤ ' if low <= covered[0] else ''}{low:.4g} to {'≥ ' if high >= covered[1] else ''}{high:.4g}"
        for low, high in ranges
    ]
    return ", ".join(texts) or "–"
