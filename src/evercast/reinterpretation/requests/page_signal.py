"""The signal of a response: how it was selected, beside the published cut flow, and what it adds to the regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from evercast.publication.plots.distributions import Component, Shape, Stack, draw_shapes
from evercast.publication.plots.figure import Label, add_label
from evercast.publication.plots.signals import BACKGROUNDS, SIGNALS, draw_named_ratio, draw_signals
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.requests.answers import Answer, Answers
from evercast.reinterpretation.requests.backgrounds import ChannelContent
from evercast.reinterpretation.requests.page_shared import drawing, number

__all__ = ["cut_flow_tables", "selection_section", "signal_section"]

_SHOWN_BINS: Final = 12
_TOGETHER: Final = 40
"""Bins of channels with one bin each in one figure."""
_FIGURES: Final = 12
"""Channels with more bins that get a figure."""
_FOLDED: Final = 20


def signal_section(answers: Answers, contents: Sequence[ChannelContent], label: Label) -> Section:
    """Return the signal in the regions, over the backgrounds and beside them, and as numbers."""
    shown = _chosen(answers)
    blocks: list[Block] = []
    if shown and contents:
        single = [content for content in contents if len(content.expected) == 1][:_TOGETHER]
        several = [content for content in contents if len(content.expected) > 1][:_FIGURES]
        drawings = [_over("regions", single, shown, label)] if single else []
        drawings += [_over(f"channel-{place}", [content], shown, label) for place, content in enumerate(several)]
        blocks.append(Gallery(drawings=tuple(drawings)))
        shapes = [drawn for place, content in enumerate(several) if (drawn := _shape(place, content, shown, label))]
        blocks += [Gallery(drawings=tuple(shapes), title="Shapes of signal and background")] if shapes else []
        blocks.append(_backgrounds(contents))
    blocks.append(_events(answers))
    lead = "Events of the signal in the bins of each region at signal strength 1, as they enter the likelihood."
    return Section(anchor="signal", title="The signal in the regions", blocks=tuple(blocks), lead=lead)


def _chosen(answers: Answers) -> tuple[Answer, ...]:
    """Return up to three signals: those of the requester first, then the most and the least excluded and the border."""
    able = [answer for answer in answers.answers if any(any(bins) for bins in answer.point.events.values())]
    own = [answer for answer in able if answer.point.origin != "published"]
    tested = sorted((a for a in able if a.cls_expected), key=lambda a: (_decisive(a), a.point.name))
    border = sorted(tested, key=lambda answer: abs(np.log(max(_decisive(answer), 1e-12) / 0.05)))
    ordered = [*own, *tested[:1], *border[:1], *tested[-1:], *able]
    return tuple({answer.point.name: answer for answer in ordered}.values())[: len(SIGNALS)]


def _decisive(answer: Answer) -> float:
    return answer.cls_observed if answer.cls_observed is not None else answer.cls_expected[2]


def _over(name: str, contents: Sequence[ChannelContent], shown: Sequence[Answer], label: Label) -> Drawing:
    names = [
        content.name if len(content.expected) == 1 else f"{bin_ + 1}"
        for content in contents
        for bin_ in range(len(content.expected))
    ]
    stack = _stack(contents)
    signals = [
        Component(title=answer.point.name, color=color, events=_of(answer, contents))
        for answer, color in zip(shown, SIGNALS, strict=False)
    ]

    def build() -> Figure:
        single = len(contents) > 1 or len(names) == 1
        bottom = 0.4 + 0.085 * max(map(len, names)) if single and len(names) > 3 else 0.8
        figure, grid = Frame(width=max(7.4, 2.2 + 0.5 * len(names)), height=6.0 + bottom, bottom=bottom).figure()
        if stack.observed is None:
            ax = figure.add_subplot(grid[0])
            add_label(draw_signals(ax, stack, signals, names), label)
            lower = ax
        else:
            inner = grid[0].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.07)
            ax = figure.add_subplot(inner[0])
            add_label(draw_signals(ax, stack, signals, names), label)
            ax.tick_params(axis="x", which="both", labelbottom=False)
            lower = draw_named_ratio(figure.add_subplot(inner[1]), stack, names)
        if not single:
            lower.set_xlabel(f"bin of {contents[0].name}")
        return figure

    fitted = all(content.uncertainty is not None for content in contents)
    made = "of the fit of the backgrounds alone" if fitted else "as the workspace states them, not fitted"
    what = "All regions" if len(contents) > 1 else f"Region {contents[0].name}"
    caption = f"{what}: backgrounds {made}, stacked; the signals as lines, not stacked on them."
    return drawing(name, build, caption=caption, wide=len(contents) > 1 or len(names) > 8)


def _stack(contents: Sequence[ChannelContent]) -> Stack:
    totals: dict[str, float] = {}
    for content in contents:
        for name, bins in content.samples.items():
            totals[name] = totals.get(name, 0.0) + float(bins.sum() / max(content.expected.sum(), 1e-12))
    largest = sorted(totals, key=lambda name: -totals[name])
    room = len(BACKGROUNDS)
    kept = largest if len(largest) <= room else largest[: room - 1]
    others = [name for name in largest if name not in kept]

    def of(names: Sequence[str]) -> Float[np.ndarray, " bins"]:
        empty = [np.zeros(len(content.expected)) for content in contents]
        return np.concatenate([
            sum((c.samples[name] for name in names if name in c.samples), zero)
            for c, zero in zip(contents, empty, strict=True)
        ])  # fmt: skip

    named = [(name, [name]) for name in kept] + ([("others", others)] if others else [])
    components = tuple(
        Component(title=title, color=BACKGROUNDS[index], events=of(names))
        for index, (title, names) in reversed(list(enumerate(named)))
    )
    uncertainty = [np.zeros(len(c.expected)) if c.uncertainty is None else c.uncertainty for c in contents]
    observed = (
        None if any(c.observed is None for c in contents) else [c.observed for c in contents if c.observed is not None]
    )
    total = len(np.concatenate(uncertainty))
    return Stack(
        edges=np.arange(total + 1, dtype=float), components=components, uncertainty=np.concatenate(uncertainty),
        observed=None if observed is None else np.concatenate(observed), axis="", unit="1",
    )  # fmt: skip


def _of(answer: Answer, contents: Sequence[ChannelContent]) -> Float[np.ndarray, " bins"]:
    empty = ((content, np.zeros(len(content.expected))) for content in contents)
    return np.concatenate(
        [np.array(answer.point.events.get(content.name, zero), dtype=float) for content, zero in empty]
    )


def _shape(place: int, content: ChannelContent, shown: Sequence[Answer], label: Label) -> Drawing | None:
    total = content.expected
    signals = [(answer, _of(answer, [content])) for answer in shown]
    if not total.sum() > 0 or not any(bins.sum() > 0 for _, bins in signals):
        return None
    error = np.zeros(len(total)) if content.uncertainty is None else content.uncertainty / total.sum()
    shapes = [Shape(title="backgrounds", color=BACKGROUNDS[0], fraction=total / total.sum(), error=error)]
    shapes += [
        Shape(title=answer.point.name, color=color, fraction=bins / bins.sum(), error=np.zeros(len(bins)))
        for (answer, bins), color in zip(signals, SIGNALS, strict=False)
        if bins.sum() > 0
    ]

    def build() -> Figure:
        figure, grid = Frame(width=5.4, height=4.6).figure()
        edges = np.arange(len(total) + 1, dtype=float)
        ax = draw_shapes(figure.add_subplot(grid[0]), edges, tuple(shapes), axis=f"bin of {content.name}", unit="1")
        ax.set_xticks(np.arange(len(total)) + 0.5, [f"{index + 1}" for index in range(len(total))])
        ax.tick_params(axis="x", which="both", length=0)
        add_label(ax, label, size=15)
        return figure

    caption = f"{content.name}: each of unit area; the hatched band is the uncertainty of the backgrounds."
    return drawing(f"shape-{place}", build, caption=caption, wide=False)


def _backgrounds(contents: Sequence[ChannelContent]) -> Table:
    rows = tuple(
        (
            Cell(content.name, "code"), Cell(_bins(content.expected), "number"),
            Cell("–" if content.uncertainty is None else _bins(content.uncertainty), "number"),
            Cell("–" if content.observed is None else _bins(content.observed), "number"),
        )
        for content in contents
    )  # fmt: skip
    headers = ("region", "expected without a signal", "uncertainty", "observed")
    return Table(title="Without a signal", headers=headers, rows=rows, folded=len(rows) > _FOLDED)


def _events(answers: Answers) -> Table:
    channels = list(dict.fromkeys(name for answer in answers.answers for name in answer.point.events))
    rows = tuple(
        (
            Cell(answer.point.name, "code"),
            *(Cell(_bins(answer.point.events.get(name, ())), "number") for name in channels),
        )
        for answer in answers.answers
    )
    return Table(title="Expected signal events", headers=("point", *channels), rows=rows, folded=len(rows) > _FOLDED)


def _bins(bins: Sequence[float] | Float[np.ndarray, " bins"]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in bins[:_SHOWN_BINS])
    return (shown + (", ..." if len(bins) > _SHOWN_BINS else "")) or "–"


def selection_section(body: JsonView) -> Section | None:
    """Return how the events of the points were selected, beside what the record publishes; None without events."""
    points = [point for point in body.entries("points") if point.at("selection").value is not None]
    if not points:
        return None
    blocks: list[Block] = [_samples(points)]
    for point in points:
        blocks += cut_flow_tables(point, folded=len(points) > 2)
    lead = "The events of the requester, selected as the preserved analysis selects."
    return Section(anchor="selection", title="Selection of the signal", blocks=tuple(blocks), lead=lead)


def _samples(points: Sequence[JsonView]) -> Table:
    rows = tuple(
        (
            Cell(point.text("name") or "", "code"),
            Cell(number(point.number("selection", "generated_events"), 9), "number"),
            Cell(number(point.number("selection", "effective_events")), "number"),
            Cell(number(point.number("cross_section_pb")), "number"),
            Cell(number(point.number("efficiency")), "number"),
            Cell(", ".join(f"{file.text('name')} (sha256 {(file.text('sha256') or '')[:12]}…)"
                           for file in point.entries("selection", "files")) or "generated", "code"),
        )
        for point in points
    )  # fmt: skip
    headers = ("point", "simulated events", "effective, selected", "cross-section [pb]", "efficiency", "files")
    return Table(title="Samples", headers=headers, rows=rows, stacked=True)


def cut_flow_tables(point: JsonView, *, folded: bool) -> list[Block]:
    """Return the cut flow of a point, beside the published one where the record has it; nothing without a selection."""
    cuts = list(point.entries("selection", "cut_flow"))
    if not cuts:
        return []
    published = any(cut.number("published") is not None for cut in cuts)
    rows = tuple(
        (
            Cell(cut.text("name") or ""), Cell(number(cut.number("events"), 9), "number"),
            Cell(number(cut.number("expected")), "number"),
            *(
                (Cell(number(cut.number("published")), "number"), Cell(number(cut.number("ratio"), 3), "number"))
                if published
                else ()
            ),
        )
        for cut in cuts
    )  # fmt: skip
    headers = ("after", "simulated events", "expected", *(("published", "ratio") if published else ()))
    title = f"Cut flow of {point.text('name')}"
    without = "" if published else " The record has none of this point."
    note = f"Expected events at the luminosity of the analysis.{without}"
    return [Table(title=title, headers=headers, rows=rows, note=note, folded=folded)]
