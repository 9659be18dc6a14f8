"""The page of a response: one HTML file that loads nothing, made of the blocks of the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from markupsafe import escape
from matplotlib.figure import Figure

from evercast import __version__
from evercast.publication.plots.exclusion import ExclusionPlane, draw_exclusion, draw_limits_along
from evercast.publication.plots.figure import Label, add_label, figure_style, to_svg
from evercast.publication.report.blocks import Block, Cell, Gallery, Light, Page, Paragraph, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.page import render_page
from evercast.reinterpretation.requests.answers import Answer, Answers
from evercast.reinterpretation.requests.exclusion import contour_lines
from evercast.reinterpretation.requests.frozen import FrozenRequest

__all__ = ["response_page"]

_COLUMNS: Final = 40
"""Limits drawn side by side: more are a table only."""
_SHOWN_BINS: Final = 12


def response_page(frozen: FrozenRequest, answers: Answers, body: Mapping[str, Any]) -> str:
    """Return the response as HTML.

    Args:
        frozen: the request.
        answers: of all its points.
        body: of response.json.
    """
    metadata = frozen.analysis.metadata
    sections = [
        _result_section(frozen, answers),
        _points_section(frozen, answers),
        _signal_section(answers),
        _consistency_section(answers, body["consistency"]["contradictions"]),
        _provenance_section(frozen, body),
        _citation_section(frozen),
    ]
    page = Page(
        title=str(frozen.request["title"] or frozen.request["name"]),
        name=str(frozen.request["name"]),
        facts=(
            f"asked of {frozen.analysis.name}", metadata.experiment, f"√s = {metadata.sqrt_s_tev:g} TeV",
            f"{metadata.luminosity_fb:g} fb⁻¹",
        ),
        banners=(),
        sentence=str(body["verdict"]),
        headlines=(),
        verdicts=_lights(answers),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by evercast {__version__}; run {frozen.run[:12]}. The same numbers stand in response.json.",
    )  # fmt: skip
    return render_page(page)


def _lights(answers: Answers) -> tuple[Light, ...]:
    guarded = [answer for answer in answers.answers if isinstance(answer.body.get("guard"), Mapping)]
    lights = [Light(tone="good", text=f"{len(guarded)} passed the guard of the fits")] if guarded else []
    if failed := len(answers.having("failed")):
        lights.append(Light(tone="bad", text=f"{failed} without a number"))
    if doubtful := sum(bool(answer.body.get("remarks")) for answer in answers.answers):
        lights.append(Light(tone="look", text=f"{doubtful} with few events"))
    if differ := sum(not entry.agrees for entry in answers.compared):
        lights.append(Light(tone="look", text=f"the record contradicts itself: {differ} of {len(answers.compared)}"))
    return tuple(lights)


def _label(frozen: FrozenRequest) -> Label:
    metadata = frozen.analysis.metadata
    return Label(
        experiment="Reinterpretation", text=f"of {metadata.experiment}", sqrt_s_tev=(metadata.sqrt_s_tev,),
        luminosity_fb=metadata.luminosity_fb,
    )  # fmt: skip


def _drawing(name: str, build: Callable[[], Figure], *, caption: str) -> Drawing:
    with figure_style():
        svg = to_svg(build(), name=name, alt=str(escape(caption[:200])))
    return Drawing(name=name, svg=svg, caption=caption, wide=True)


def _result_section(frozen: FrozenRequest, answers: Answers) -> Section | None:
    drawings = [drawing for drawing in (_contour(frozen, answers), _limits(frozen, answers)) if drawing is not None]
    blocks: list[Block] = [Gallery(drawings=tuple(drawings))] if drawings else []
    ranges = _ranges(frozen, answers)
    blocks += [ranges] if ranges is not None else []
    if not blocks:
        return None
    critical = f"{1.0 - frozen.wanted.confidence_level:.3g}"
    lead = f"CLs with the test statistic q-tilde and asymptotic formulas; excluded means CLs below {critical}."
    return Section(anchor="result", title="Exclusion", blocks=tuple(blocks), lead=lead)


def _axis(frozen: FrozenRequest, number: int) -> str:
    axis = frozen.analysis.axes[number]
    return (axis.title or axis.name) + ("" if axis.unit == "1" else f" [{axis.unit}]")


def _contour(frozen: FrozenRequest, answers: Answers) -> Drawing | None:
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
        add_label(draw_exclusion(figure.add_subplot(grid[0]), content, x=x, y=y), _label(frozen))
        return figure

    caption = (
        "Where CLs crosses its critical value: log CLs is linear on the triangles between the points. The bands are "
        "those of the expected line, one and two standard deviations of the background."
    )
    return _drawing("contour", build, caption=caption)


def _limits(frozen: FrozenRequest, answers: Answers) -> Drawing | None:
    drawn = [answer for answer in answers.answers if answer.limit_expected]
    if not 0 < len(drawn) <= _COLUMNS or answers.plane is not None:
        return None

    def build() -> Figure:
        frame = Frame(width=max(6.0, 2.0 + 0.55 * len(drawn)), height=6.4, bottom=1.9 if len(drawn) > 3 else 0.72)
        figure, grid = frame.figure()
        ax = figure.add_subplot(grid[0])
        expected = np.array([answer.limit_expected for answer in drawn])
        observed = [answer.limit_observed for answer in drawn]
        names = [answer.point.name for answer in drawn]
        add_label(draw_limits_along(ax, names, expected, observed, axis="signal strength"), _label(frozen))
        return figure

    return _drawing("limits", build, caption="Upper limits on the signal strength; a point below 1 is excluded.")


def _ranges(frozen: FrozenRequest, answers: Answers) -> Table | None:
    found = [entry for entry in answers.ranges if entry.observed or entry.expected]
    if not found:
        return None
    first, *others = frozen.analysis.axes
    rows = tuple(
        (
            *(Cell(f"{value:g}", "number") for value in entry.at),
            Cell(_ends(entry.observed, entry.covered)),
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


def _points_section(frozen: FrozenRequest, answers: Answers) -> Section:
    headers = (
        "point", *(axis.name for axis in frozen.analysis.axes), "CLs", "expected", "limit on μ", "expected",
        "limit [pb]", "verdict",
    )  # fmt: skip
    count = len(frozen.analysis.axes)
    rows = tuple(_row(answer, count) for answer in answers.answers)
    mu = f"CLs at signal strength {frozen.wanted.mu:g}."
    return Section(
        anchor="checks",
        title="All points",
        blocks=(Table(title=f"{len(rows)} points", headers=headers, rows=rows, folded=len(rows) > 20),),
        lead=mu + " Expected values are medians of the background alone.",
    )


def _row(answer: Answer, axes: int) -> tuple[Cell, ...]:
    point = answer.point
    values = [f"{value:g}" for value in point.values] or ["–"] * axes
    sigma, limit = point.cross_section_pb, answer.limit_observed
    numbers = (
        _number(answer.cls_observed),
        _number(answer.cls_expected[2] if answer.cls_expected else None),
        _number(limit),
        _number(answer.limit_expected[2] if answer.limit_expected else None),
        _number(None if sigma is None or limit is None else sigma * limit),
    )
    return (
        Cell(point.name, "code"), *(Cell(value, "number") for value in values),
        *(Cell(text, "number") for text in numbers), _verdict(answer),
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _verdict(answer: Answer) -> Cell:
    if answer.status == "no-events":
        return Cell("no event expected", "look")
    if answer.excluded is None:
        failure = answer.body.get("failure")
        return Cell(str(failure.get("message")) if isinstance(failure, Mapping) else "no number", "bad")
    return Cell("excluded" if answer.excluded else "not excluded", "good" if answer.excluded else "plain")


def _signal_section(answers: Answers) -> Section:
    channels = list(dict.fromkeys(name for answer in answers.answers for name in answer.point.events))
    rows = tuple(
        (
            Cell(answer.point.name, "code"),
            *(Cell(_bins(answer.point.events.get(name, ())), "number") for name in channels),
        )
        for answer in answers.answers
    )
    table = Table(title="Expected signal events", headers=("point", *channels), rows=rows, folded=len(rows) > 20)
    lead = "Events of the signal in the bins of each region at signal strength 1, as they enter the likelihood."
    return Section(anchor="signal", title="The signal in the regions", blocks=(table,), lead=lead)


def _bins(bins: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:.3g}" for value in bins[:_SHOWN_BINS])
    return (shown + (", ..." if len(bins) > _SHOWN_BINS else "")) or "–"


def _consistency_section(answers: Answers, sentences: list[str]) -> Section | None:
    if not answers.compared:
        return None
    rows = tuple(
        (
            Cell(entry.title), Cell(entry.published.point or "–", "code"),
            Cell(f"{entry.published.value:.5g}", "number"), Cell(f"{entry.found:.5g}", "number"),
            Cell(f"{entry.ratio:.4f}", "number"),
            Cell("agrees" if entry.agrees else "differs", "good" if entry.agrees else "bad"),
        )
        for entry in sorted(answers.compared, key=lambda entry: entry.agrees)
    )  # fmt: skip
    headers = ("number", "point", "published", "found", "ratio", "verdict")
    blocks: tuple[Block, ...] = (
        *(Paragraph(text=sentence) for sentence in sentences),
        Table(title=f"{len(rows)} published numbers", headers=headers, rows=rows, folded=len(rows) > 20),
    )
    agree = sum(entry.agrees for entry in answers.compared)
    lead = f"{agree} of {len(rows)} published numbers agree with what the published likelihood gives."
    return Section(anchor="consistency", title="The record against itself", blocks=blocks, lead=lead)


def _provenance_section(frozen: FrozenRequest, body: Mapping[str, Any]) -> Section:
    reused = body["reused"]
    computed = sum(point["computed"] for point in body["points"])
    rows = [
        ("analysis", f"{frozen.analysis.name}, sha256 {body['analysis']['digest']}"),
        ("regions", frozen.likelihood),
        ("background", f"sha256 {reused['background']}, as it is"),
        *(("file of the record", f"{name}, sha256 {digest}, as it is") for name, digest in reused["files"].items()),
        ("request", f"sha256 {body['request']['digest']}"),
        ("run", frozen.run),
        ("points computed in this run", str(computed)),
        ("points that were there already", str(len(reused["results"]))),
        ("evercast", __version__),
        *((name, text) for name, text in body["provenance"]["packages"].items()),
    ]  # fmt: skip
    table = Table(
        title="What was used",
        headers=("what", "which"),
        rows=tuple((Cell(what), Cell(which, "code")) for what, which in rows),
        folded=len(rows) > 20,
    )
    return Section(anchor="provenance", title="Provenance", blocks=(table,))


def _citation_section(frozen: FrozenRequest) -> Section:
    metadata = frozen.analysis.metadata
    blocks: list[Block] = [Paragraph(text=metadata.citation)] if metadata.citation else []
    known = [
        (what, text, link)
        for what, text, link in (
            ("publication", metadata.paper, _link(metadata.paper)),
            ("record", metadata.doi, None if metadata.doi is None else f"https://doi.org/{metadata.doi}"),
            ("licence of the record", metadata.license, None),
        )
        if text is not None
    ]
    rows = tuple((Cell(what), Cell(text, link=link)) for what, text, link in known)
    blocks.append(Table(title="Sources", headers=("what", "which"), rows=rows))
    return Section(anchor="cite", title="How to cite", blocks=tuple(blocks))


def _link(paper: str | None) -> str | None:
    return f"https://arxiv.org/abs/{paper[6:]}" if paper is not None and paper.startswith("arXiv:") else None
