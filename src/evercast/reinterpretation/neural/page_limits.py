"""Limits and profile likelihoods of new terms: CLs and Neyman construction side by side, best values, points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from evercast.publication.plots.exclusion import draw_limits_along
from evercast.publication.plots.figure import INK, PALETTE, Label
from evercast.publication.plots.inference import ProfileCurve
from evercast.publication.plots.statistics import LimitBand, draw_limits
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.answers import (
    Fitted,
    Limits,
    ModelPointAnswer,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.point_parts import PointParts, Scan
from evercast.reinterpretation.requests.page_shared import number
from evercast.spec.model import Analysis

__all__ = ["parameter_label", "result_section"]

_COLUMNS = 40
_SCANS = 4
"""Profile likelihoods that are drawn."""
_TOP = 12.0
"""-2 ln of the ratio up to which they are drawn."""


def result_section(analysis: Analysis, parts: Sequence[PointParts], body: JsonView, label: Label) -> Section:
    """Return what was found of every point: limits, best values, profile likelihoods."""
    blocks: list[Block] = []
    scans = [drawn for place, part in enumerate(parts[:_SCANS]) if (drawn := _scan(analysis, place, part, label))]
    bands = [drawn for drawn in (_bands(parts, label), _along(parts, label)) if drawn]
    if scans or bands:
        blocks.append(Gallery(drawings=(*bands, *scans)))
    blocks += [table for table in (_limits(parts), _best(parts), _elsewhere(parts), _points(body)) if table]
    level = 100 * (body.number("wanted", "confidence_level") or 0.95)
    lead = (
        f"Limits at {level:.4g} % confidence level: CLs with the test statistic q-tilde and asymptotic formulas; where "
        "it was asked for, beside it the Neyman construction with pseudo-experiments."
    )
    return Section(anchor="result", title="Result", blocks=tuple(blocks), lead=lead)


def parameter_label(analysis: Analysis, name: str) -> str:
    """Return how a parameter is written at an axis."""
    known = analysis.parameters.get(name)
    return (known.label if known is not None else None) or name


def _scan(analysis: Analysis, place: int, part: PointParts, label: Label) -> Drawing | None:
    if not isinstance(part.answer, ProcessAnswer) or not part.scans:
        return None
    curves, end = [], _end(part.scans)
    for scan in part.scans:
        pairs = zip(scan.values, scan.ratio, strict=True)
        kept = [(value, ratio) for value, ratio in pairs if ratio is not None and value <= end]
        if len(kept) > 1:
            observed = scan.data == "observed"
            curves.append(
                ProfileCurve(
                    title=part.answer.name, color=INK if observed else PALETTE[0], expected=not observed,
                    values=np.array([value for value, _ in kept]), t=np.array([ratio for _, ratio in kept]),
                )
            )  # fmt: skip
    if not curves:
        return None
    caption = (
        f"Profile likelihood of {part.answer.parameter}, all other parameters fitted; expected: Asimov data with "
        f"{part.answer.parameter} = {part.answer.nominal:g}. Lines interpolate between the scanned points."
    )
    axis = parameter_label(analysis, part.answer.parameter)
    return figures.profiles(f"profile-{place}", tuple(curves), label, axis=axis, caption=caption)


def _end(scans: Sequence[Scan]) -> float:
    """Return the value up to which scans are drawn: the next one after all of them are above `_TOP` for good."""
    below = [
        value
        for scan in scans
        for value, ratio in zip(scan.values, scan.ratio, strict=True)
        if ratio is not None and ratio < _TOP
    ]
    values = sorted({value for scan in scans for value in scan.values})
    above = [value for value in values if value > max(below, default=values[-1])]
    return above[0] if above else values[-1]


def _bands(parts: Sequence[PointParts], label: Label) -> Drawing | None:
    """Return the limits of one point: CLs with its bands, without what is outside of the domain, Neyman."""
    chosen = [part.answer for part in parts if isinstance(part.answer, ProcessAnswer) and part.answer.limits]
    if len(chosen) != 1 or chosen[0].limits is None:
        return None
    answer, found = chosen[0], chosen[0].limits
    rows = [LimitBand(title="CLs", expected=np.array(found.expected), observed=found.observed)]
    if answer.inside is not None:
        title = "CLs, events outside of the domain left out"
        rows.append(LimitBand(title=title, expected=np.array(answer.inside.expected), observed=answer.inside.observed))
    if answer.neyman is not None and answer.neyman.high is not None and not answer.neyman.open_high:
        rows.append(LimitBand(title="Neyman construction", expected=np.zeros(0), observed=answer.neyman.high))

    def draw(ax: Axes, content: tuple[LimitBand, ...]) -> None:
        draw_limits(ax, content, axis=answer.parameter)

    frame = Frame(width=7.4, height=1.9 + 1.0 * len(rows), left=0.4)
    caption = f"Upper limits on {answer.parameter} for {answer.name}; bands are of the search without a signal."
    return figures.labelled("limits", tuple(rows), draw, frame, label, caption=caption)


def _along(parts: Sequence[PointParts], label: Label) -> Drawing | None:
    """Return a column for each of several points."""
    chosen = [
        (part.answer.name, part.answer.limits)
        for part in parts
        if isinstance(part.answer, ProcessAnswer) and part.answer.limits and len(part.answer.limits.expected) == 5
    ]
    if not 1 < len(chosen) <= _COLUMNS:
        return None
    names = tuple(name for name, _ in chosen)
    expected = np.array([limits.expected for _, limits in chosen])
    observed = [limits.observed for _, limits in chosen]

    def draw(ax: Axes, content: tuple[str, ...]) -> None:
        draw_limits_along(ax, content, expected, observed, axis="signal strength")

    bottom = 0.5 + 0.105 * min(max(map(len, names)), 40) if len(names) > 3 else 0.72
    frame = Frame(width=max(6.4, 2.0 + 0.55 * len(names)), height=4.9 + bottom, bottom=bottom)
    caption = "Upper limits by CLs, each signal alone; bands are of the search without a signal."
    return figures.labelled("limits", names, draw, frame, label, caption=caption)


def _limits(parts: Sequence[PointParts]) -> Table | None:
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        answer = part.answer
        if isinstance(answer, ModelPointAnswer):
            continue
        parameter = answer.parameter
        for what, limits in (("CLs", answer.limits), ("CLs, inside of the domain alone", _inside(answer))):
            if limits is not None:
                bands = limits.expected if len(limits.expected) == 5 else (None,) * 5
                rows.append((
                    Cell(answer.name, "code"), Cell(parameter, "code"), Cell(what),
                    Cell(number(limits.observed), "number"),
                    *(Cell(number(value), "number") for value in bands),
                ))  # fmt: skip
        if isinstance(answer, ProcessAnswer) and answer.neyman is not None:
            found = answer.neyman
            high = "–" if found.high is None else f"{'≥ ' if found.open_high else ''}{number(found.high)}"
            high = high if found.low is None or found.open_low else f"{number(found.low)} to {high}"
            what = f"Neyman construction, {found.toys} pseudo-experiments at each of {len(found.values)} values"
            rows.append((
                Cell(answer.name, "code"), Cell(parameter, "code"), Cell(what), Cell(high, "number"),
                *(Cell("–", "number") for _ in range(5)),
            ))  # fmt: skip
            rows.append((
                Cell(answer.name, "code"), Cell(parameter, "code"), Cell("the same with the quantile of χ²"),
                Cell(number(found.asymptotic_high), "number"), *(Cell("–", "number") for _ in range(5)),
            ))  # fmt: skip
    if not rows:
        return None
    headers = ("signal", "parameter", "method", "observed", "−2 σ", "−1 σ", "expected", "+1 σ", "+2 σ")
    return Table(title="Upper limits", headers=headers, rows=tuple(rows), stacked=True)


def _inside(answer: ProcessAnswer | ParametrisationAnswer) -> Limits | None:
    return answer.inside if isinstance(answer, ProcessAnswer) else None


def _best(parts: Sequence[PointParts]) -> Table | None:
    rows: list[tuple[Cell, ...]] = []
    for part in parts:
        answer = part.answer
        fits: list[tuple[str, Fitted | None]] = [("observed", answer.observed)]
        if isinstance(answer, ModelPointAnswer):
            fits.append(("the sample itself", answer.closure))
        else:
            fits.append(("expected", answer.expected))
        for what, found in fits:
            if found is not None:
                rows.append((
                    Cell(answer.name, "code"), Cell(what), Cell(found.parameter, "code"), Cell(_value(found), "number"),
                    Cell(_interval(found), "number"), Cell(number(found.significance, 3), "number"),
                    Cell("; ".join(found.problems) or found.status, "look" if found.problems else "plain"),
                ))  # fmt: skip
    if not rows:
        return None
    headers = ("signal", "data", "parameter", "best value", "interval", "significance [σ]", "status")
    return Table(title="Best values", headers=headers, rows=tuple(rows), stacked=True)


def _elsewhere(parts: Sequence[PointParts]) -> Table | None:
    """Return the samples of the model at other values: what the data say of these, and whether the sample closes."""
    rows = [
        (
            Cell(answer.name, "code"), Cell(", ".join(f"{name} = {number(v)}" for name, v in answer.declared.items())),
            Cell(number(answer.twice_nll_ratio), "number"), Cell(number(answer.p_value, 3), "number"),
            Cell(", ".join(f"{name}: {number(pull, 2)}" for name, pull in answer.pulls.items()) or "–", "number"),
            Cell(_events(answer.expected_events), "number"), Cell(_events(answer.model_events), "number"),
        )
        for answer in (part.answer for part in parts)
        if isinstance(answer, ModelPointAnswer)
    ]  # fmt: skip
    if not rows:
        return None
    headers = ("signal", "at", "−2 ln λ of the data", "p", "pulls of the sample", "its events", "events of the model")
    note = "The pulls are of a fit to the sample itself: with the archived networks it should give its values back."
    return Table(title="The model at other values", headers=headers, rows=tuple(rows), note=note, stacked=True)


def _events(events: Mapping[str, float]) -> str:
    return ", ".join(f"{channel}: {number(value)}" for channel, value in events.items()) or "–"


def _value(found: Fitted) -> str:
    error = "" if found.uncertainty is None else f" ± {number(found.uncertainty, 3)}"
    return f"{number(found.value)}{error}"


def _interval(found: Fitted) -> str:
    parts = " ∪ ".join(f"[{number(low)}, {number(high)}]" for low, high in found.interval)
    level = "" if found.confidence_level is None else f" at {100 * found.confidence_level:.4g} %"
    return f"{parts}{level}" if parts else "–"


def _points(body: JsonView) -> Table:
    rows = []
    for point in body.entries("points"):
        expected = point.numbers("cls", "expected")
        rows.append((
            Cell(point.text("name") or "", "code"), Cell(number(point.number("cross_section_pb")), "number"),
            Cell(number(_total(point)), "number"), Cell(number(point.number("cls", "mu")), "number"),
            Cell(number(point.number("cls", "observed")), "number"),
            Cell(number(float(expected[2]) if expected.size == 5 else None), "number"), _verdict(point),
        ))  # fmt: skip
    headers = ("signal", "cross-section [pb]", "expected events", "tested value", "CLs", "expected CLs", "verdict")
    return Table(title="Signals", headers=headers, rows=tuple(rows), stacked=True, folded=len(rows) > 20)


def _total(point: JsonView) -> float | None:
    events = [float(view.numbers().sum()) for _, view in point.items("events")]
    return sum(events) if events else None


def _verdict(point: JsonView) -> Cell:
    status, out = point.text("status"), point.flag("excluded")
    if status in {"refused", "failed"}:
        return Cell(f"{status}: {point.text('failure', 'message')}", "bad")
    if status == "no-events":
        return Cell("no event expected", "look")
    if out is None:
        return Cell("answered")
    return Cell("excluded" if out else "not excluded", "good" if out else "plain")
