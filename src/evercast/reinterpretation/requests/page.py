"""The page of a response: one HTML file that loads nothing, made of the blocks of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evercast import __version__
from evercast.publication.report.blocks import Block, Cell, Light, Page, Paragraph, Section, Table
from evercast.publication.report.page import render_page, without_marks
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.requests.answers import Answer, Answers
from evercast.reinterpretation.requests.backgrounds import ChannelContent
from evercast.reinterpretation.requests.frozen import FrozenRequest
from evercast.reinterpretation.requests.page_limits import limits_section
from evercast.reinterpretation.requests.page_shared import cite_section, label_of, number, provenance_section
from evercast.reinterpretation.requests.page_signal import selection_section, signal_section

__all__ = ["response_page"]


def response_page(
    frozen: FrozenRequest, answers: Answers, contents: Sequence[ChannelContent], body: Mapping[str, object]
) -> str:
    """Return the response as HTML.

    Args:
        frozen: the request.
        answers: of all its points.
        contents: the channels without signal.
        body: of response.json.
    """
    metadata, view = frozen.analysis.metadata, JsonView(body)
    label = label_of(view)
    sections = [
        limits_section(frozen, answers, label),
        _points_section(frozen, answers, view),
        selection_section(view),
        signal_section(answers, contents, label),
        _consistency_section(answers, view),
        provenance_section(view),
        cite_section(view),
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
        verdicts=_lights(answers, view),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by evercast {__version__}; run {frozen.run[:12]}. The same numbers stand in response.json.",
    )  # fmt: skip
    return without_marks(render_page(page))


def _lights(answers: Answers, body: JsonView) -> tuple[Light, ...]:
    guarded = [answer for answer in answers.answers if isinstance(answer.body.get("guard"), Mapping)]
    lights = [Light(tone="good", text=f"{len(guarded)} passed the guard of the fits")] if guarded else []
    if failed := len(answers.having("failed")):
        lights.append(Light(tone="bad", text=f"{failed} without a number"))
    if doubtful := sum(bool(list(point.entries("remarks"))) for point in body.entries("points")):
        lights.append(Light(tone="look", text=f"{doubtful} with remarks"))
    if differ := sum(not entry.agrees for entry in answers.compared):
        lights.append(Light(tone="look", text=f"the record contradicts itself: {differ} of {len(answers.compared)}"))
    return tuple(lights)


def _points_section(frozen: FrozenRequest, answers: Answers, body: JsonView) -> Section:
    headers = (
        "point", *(axis.name for axis in frozen.analysis.axes), "CLs", "expected", "limit on μ", "expected",
        "limit [pb]", "verdict",
    )  # fmt: skip
    count = len(frozen.analysis.axes)
    points = body.entries("points")
    rows = tuple(_row(answer, count, point) for answer, point in zip(answers.answers, points, strict=True))
    mu = f"CLs at signal strength {frozen.wanted.mu:g}."
    many = "1 point" if len(rows) == 1 else f"{len(rows)} points"
    table = Table(title=many, headers=headers, rows=rows, folded=len(rows) > 20)
    return Section(
        anchor="checks",
        title="All points",
        blocks=(table, *_remarks(body)),
        lead=mu + " Expected values are medians of the background alone.",
    )


def _remarks(body: JsonView) -> list[Block]:
    """Return what is to be known of single points, e.g. few events."""
    rows = tuple(
        (Cell(point.text("name") or "", "code"), Cell(remark.text() or ""))
        for point in body.entries("points")
        for remark in point.entries("remarks")
    )
    return [Table(title="Remarks", headers=("point", "remark"), rows=rows, folded=len(rows) > 20)] if rows else []


def _row(answer: Answer, axes: int, entry: JsonView) -> tuple[Cell, ...]:
    point = answer.point
    values = [f"{value:g}" for value in point.values] or ["–"] * axes
    sigma, limit = point.cross_section_pb, answer.limit_observed
    numbers = (
        number(answer.cls_observed),
        number(answer.cls_expected[2] if answer.cls_expected else None),
        number(limit),
        number(answer.limit_expected[2] if answer.limit_expected else None),
        number(None if sigma is None or limit is None else sigma * limit),
    )
    return (
        Cell(point.name, "code"), *(Cell(value, "number") for value in values),
        *(Cell(text, "number") for text in numbers), _verdict(answer, entry),
    )  # fmt: skip


def _verdict(answer: Answer, entry: JsonView) -> Cell:
    if answer.status == "no-events":
        limit = entry.number("efficiency_limit")
        return Cell("no event expected" + (f", efficiency below {number(limit, 3)}" if limit else ""), "look")
    if answer.excluded is None:
        failure = answer.body.get("failure")
        return Cell(str(failure.get("message")) if isinstance(failure, Mapping) else "no number", "bad")
    return Cell("excluded" if answer.excluded else "not excluded", "good" if answer.excluded else "plain")


def _consistency_section(answers: Answers, body: JsonView) -> Section | None:
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
        *(Paragraph(text=entry.text() or "") for entry in body.entries("consistency", "contradictions")),
        Table(title=f"{len(rows)} published numbers", headers=headers, rows=rows, folded=len(rows) > 20),
    )
    agree = sum(entry.agrees for entry in answers.compared)
    lead = f"{agree} of {len(rows)} published numbers agree with what the published likelihood gives."
    return Section(anchor="consistency", title="The record against itself", blocks=blocks, lead=lead)
