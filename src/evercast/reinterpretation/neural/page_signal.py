"""The new signal of a response: where the networks were trained, its shapes, what an injected one gives back."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from evercast.publication.plots.figure import INK, MUTED, PALETTE, Label
from evercast.publication.plots.requests import (
    Injection,
    Line,
    Share,
    draw_injection,
    draw_lines,
    draw_shares,
)
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Frame
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.point_parts import PointParts
from evercast.reinterpretation.neural.shapes import Curve, Distribution
from evercast.reinterpretation.requests.page_shared import number, percent
from evercast.spec.model import Analysis

__all__ = ["domain_section", "injection_section", "is_inside", "shapes_section"]

_KINDS = ("process", "model_point")
_SIGNAL = "#bd1f01"
_PROCESSES = tuple(color for color in PALETTE if color not in {_SIGNAL, MUTED})
_SHAPE = Frame(width=5.0, height=4.4, top=0.45)
_NOISE = 1.5
"""Over the rate of events that belong there: what small samples scatter."""
_FULL = 3
"""Points up to which every figure of each is on the page."""


def is_inside(share: JsonView) -> bool:
    """Return whether no more of a signal is outside than of events that belong there, within what samples scatter."""
    return (share.number("outside") or 0.0) <= _NOISE * (share.number("expected_rate") or 0.0)


def domain_section(body: JsonView) -> Section | None:
    """Return how much of each signal lies where the networks were not trained, with the share that is allowed."""
    blocks: list[Block] = []
    entries = [
        (point.text("name") or "", share)
        for point in body.entries("points")
        for kind in _KINDS
        for share in point.entries(kind, "domain")
    ]
    if not entries:
        return None
    blocks.append(_overall(entries))
    for place, (name, share) in enumerate(entries):
        if place < 2 * _FULL:
            blocks.append(Gallery(drawings=(_shares(place, name, share),)))
        blocks.append(_observables(name, share, folded=len(entries) > 2))
    lead = (
        "Networks answer only where they were trained. An event is outside if an observable is beyond the range of the "
        "reference events, or if it is far from all of them. A request is refused where the share is too large."
    )
    return Section(anchor="domain", title="Domain check", blocks=tuple(blocks), lead=lead)


def _overall(entries: Sequence[tuple[str, JsonView]]) -> Table:
    rows = []
    for name, share in entries:
        refused, outside = share.flag("refused"), share.number("outside") or 0.0
        rows.append((
            Cell(name, "code"), Cell(f"{share.text('ensemble')} in {share.text('region')}"),
            Cell(f"{share.whole('events') or 0}", "number"), Cell(number(share.number("effective_events")), "number"),
            Cell(percent(share.number("outside_range")), "number"),
            Cell(percent(share.number("outside_support")), "number"),
            Cell(percent(share.number("expected_rate")), "number"), Cell(percent(outside), "number"),
            Cell(percent(share.number("largest")), "number"),
            Cell("refused" if refused else "inside" if is_inside(share) else "partly outside",
                 "bad" if refused else "good" if is_inside(share) else "look"),
        ))  # fmt: skip
    headers = (
        "signal", "networks", "events", "effective", "beyond a range", "far from all", "of events that belong",
        "outside", "allowed", "verdict",
    )  # fmt: skip
    note = "Shares are weighted. Of events that belong there, the test itself calls the stated share far from all."
    return Table(title="Share outside of the training", headers=headers, rows=tuple(rows), note=note, stacked=True)


def _shares(place: int, name: str, share: JsonView) -> figures.Drawing:
    shares = tuple(
        Share(name=e.text("name") or "", below=e.number("below") or 0.0, above=e.number("above") or 0.0)
        for e in share.entries("observables")
    )
    outside, largest = share.number("outside") or 0.0, share.number("largest") or 0.0

    def draw(ax: Axes, content: tuple[Share, ...]) -> None:
        draw_shares(ax, content, overall=outside, largest=largest)

    left = 0.5 + 0.115 * max([12, *(len(entry.name) for entry in shares)])
    frame = Frame(width=4.9 + left, height=1.9 + 0.36 * len(shares), left=left, top=0.2)
    caption = f"{name}: share of the signal outside of the domain of {share.text('ensemble')}, and the share allowed."
    return figures.panels(f"domain-{place}", (shares,), draw, frame, caption=caption)


def _observables(name: str, share: JsonView, *, folded: bool) -> Table:
    rows = tuple(
        (
            Cell(entry.text("name") or "", "code"),
            Cell(f"{number(entry.number('low'))} to {number(entry.number('high'))}"
                 f"{'' if entry.text('unit') == '1' else ' ' + (entry.text('unit') or '')}", "number"),
            Cell(percent(entry.number("below")), "number"), Cell(percent(entry.number("above")), "number"),
        )
        for entry in share.entries("observables")
    )  # fmt: skip
    title = f"{name}: observables of {share.text('ensemble')}"
    return Table(
        title=title, headers=("observable", "range of the training", "below", "above"), rows=rows, folded=folded
    )


def shapes_section(analysis: Analysis, parts: Sequence[PointParts]) -> Section | None:
    """Return the new signals beside the archived processes and the reference; None without events."""
    blocks: list[Block] = []
    for place, part in enumerate(parts):
        for kind, title in (("observable", "observables"), ("log_ratio", "log density ratios")):
            chosen = [shape for shape in part.shapes if shape.kind == kind]
            if chosen:
                name = f"shapes-{place}-{kind.replace('_', '-')}"
                caption = (
                    f"{part.answer.name}: {title} in the region of the networks, each of unit area; area: the "
                    "reference, thick line: the new signal, points: the data. The first and last bin hold what "
                    "lies beyond."
                )

                def draw(ax: Axes, shape: Distribution) -> None:
                    draw_lines(ax, shape.edges, [_line(curve, analysis) for curve in _ordered(shape)],
                               axis=shape.axis, unit=shape.unit)  # fmt: skip

                drawn = figures.panels(name, chosen, draw, _SHAPE, caption=caption)
                blocks.append(Gallery(drawings=(drawn,), title=f"{part.answer.name}: {title}", folded=place >= _FULL))
    if not blocks:
        return None
    lead = "The events of the requester beside what the archive has, as the networks see them."
    return Section(anchor="distributions", title="Shapes of the signal", blocks=tuple(blocks), lead=lead)


def _ordered(shape: Distribution) -> list[Curve]:
    order = {"reference": 0, "process": 1, "data": 2, "signal": 3}
    return sorted(shape.curves, key=lambda curve: order[curve.role])


def _line(curve: Curve, analysis: Analysis) -> Line:
    kind, color, title = "line", INK, curve.name
    if curve.role == "signal":
        kind, color = "thick", _SIGNAL
    elif curve.role == "reference":
        kind, color = "area", MUTED
    elif curve.role == "data":
        kind, title = "points", "Data"
    else:
        names = list(analysis.processes)
        color = _PROCESSES[names.index(curve.name) % len(_PROCESSES)] if curve.name in names else PALETTE[0]
        known = analysis.processes.get(curve.name)
        title = (known.title if known else None) or curve.name
    return Line(title=title, color=color, fraction=curve.fraction, error=curve.error, kind=kind)


def injection_section(body: JsonView, label: Label) -> Section | None:
    """Return what pseudo-experiments with the signal put in give back, and the training-statistics uncertainty."""
    blocks: list[Block] = []
    for place, point in enumerate(body.entries("points")):
        name, parameter = point.text("name") or "", point.text("process", "parameter") or ""
        injected = list(point.entries("process", "injection"))
        if injected:
            blocks += _injected(place, name, parameter, injected, label)
        blocks += _training(name, list(point.entries("process", "training_statistics")))
    if not blocks:
        return None
    lead = (
        "The signal is put into pseudo-experiments with the events of its generator, weighted by no network, and "
        "fitted like data: what comes back tells whether the new term is right."
    )
    return Section(anchor="injection", title="Injection test and training statistics", blocks=tuple(blocks), lead=lead)


def _injected(place: int, name: str, parameter: str, injected: Sequence[JsonView], label: Label) -> list[Block]:
    items = tuple(
        Injection(
            value=entry.number("value") or 0.0, mean=entry.number("mean") or 0.0, error=entry.number("error") or 0.0,
            spread=entry.number("spread") or 0.0,
        )
        for entry in injected
    )  # fmt: skip

    def draw(ax: Axes, content: tuple[Injection, ...]) -> None:
        draw_injection(ax, content, axis=parameter)

    caption = f"{name}: {parameter} put in and recovered, {injected[0].whole('toys')} pseudo-experiments at each value."
    frame = Frame(width=6.2, height=5.4)
    drawn = figures.labelled(f"injection-{place}", items, draw, frame, label, caption=caption)
    rows = []
    for entry in injected:
        coverage = ", ".join(
            f"{100 * (c.number('share') or 0):.3g} ± {percent(c.number('error'))} "
            f"of {percent(c.number('confidence_level'))}"
            for c in entry.entries("coverage")
        )
        rows.append((
            Cell(number(entry.number("value")), "number"),
            Cell(f"{number(entry.number('mean'))} ± {number(entry.number('error'), 2)}", "number"),
            Cell(number(entry.number("median")), "number"), Cell(number(entry.number("spread"), 3), "number"),
            Cell(percent(entry.number("at_bound")), "number"), Cell(coverage or "–", "number"),
            Cell(f"{entry.whole('toys')}, {entry.whole('failed')}", "number"),
        ))  # fmt: skip
    headers = ("put in", "mean recovered", "median", "spread", "at a bound", "coverage", "toys, failed")
    table = Table(title=f"{name}: {parameter} put in and recovered", headers=headers, rows=tuple(rows), stacked=True)
    return [Gallery(drawings=(drawn,)), table]


def _training(name: str, entries: Sequence[JsonView]) -> list[Block]:
    if not entries:
        return []
    rows = tuple(
        (
            Cell(entry.text("label") or entry.text("estimator") or ""), Cell(entry.text("data") or ""),
            Cell(number(entry.number("sigma"), 3), "number"), Cell(number(entry.number("error"), 2), "number"),
            Cell(number(entry.number("total_sigma"), 3), "number"),
            Cell(", ".join(covered.text() or "" for covered in entry.entries("covers")) or "–", "code"),
            Cell(entry.text("reason") or "–"),
        )
        for entry in entries
    )  # fmt: skip
    headers = ("estimator", "data", "uncertainty", "its error", "with that of the data", "trained again", "remark")
    note = "Uncertainty of the best value that comes from the finite samples the networks learned from."
    return [Table(title=f"{name}: training statistics", headers=headers, rows=rows, note=note, stacked=True)]
