"""The page of a replay, ``replay.html``: verdicts, why, old and new over each other; and both files written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json
from evercast.publication.report.blocks import Block, Cell, Gallery, Page, Paragraph, Section, Table, Tone
from evercast.publication.report.figures import Drawing
from evercast.publication.report.page import render_page
from evercast.publication.report.view import JsonView, read_view
from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.causes import Cause, grouped
from evercast.reinterpretation.figures import Curve, profile_overlay
from evercast.reinterpretation.record import replay_record
from evercast.reinterpretation.replay import Replay
from evercast.reinterpretation.results import ResultRow
from evercast.reinterpretation.units import UnitComparison
from evercast.reinterpretation.verdict import WORDS, Verdict
from evercast.runtime.folders import RunFolder

__all__ = ["write_replay"]

_TONES: Final[Mapping[Verdict, Tone]] = {
    "same-bits": "good", "numeric": "good", "statistical": "good", "differs": "bad", "not-compared": "plain",
}  # fmt: skip
_SENTENCES: Final[Mapping[Verdict, str]] = {
    "same-bits": "The same came out, bit for bit.",
    "numeric": "The same came out, within the tolerance for rounding.",
    "statistical": "The same came out, within what networks trained anew may differ by.",
    "differs": "Something else came out than what was archived.",
    "not-compared": "Nothing was compared.",
}


def write_replay(replay: Replay, archived: ArchivedRun) -> dict[str, Any]:
    """Write ``replay.json`` and ``replay.html`` into the folder of a replay, and return the content of the first.

    Raises:
        IntegrityError: a result is not JSON.
        EnvironmentUnfit: the disk refuses.
    """
    record = replay_record(replay, archived)
    page = render_page(_page(replay, archived)).encode()
    atomic_write_bytes(replay.request.output / "replay.html", page)
    atomic_write_json(replay.request.output / "replay.json", record)
    return record


def _page(replay: Replay, archived: ArchivedRun) -> Page:
    comparison, analysis = replay.comparison, archived.side.analysis
    made = sum(stage.seconds[1] for stage in comparison.stages)
    before = sum(stage.seconds[0] for stage in comparison.stages)
    sections = (
        _reasons(replay),
        _results(replay, archived),
        _declared(replay),
        _stages(replay),
        _networks(replay, archived),
        _cut_flows(replay, archived),
        _units(replay),
    )
    return Page(
        title=f"Replay: {analysis.title}",
        name=analysis.name,
        facts=(
            f"archive {replay.archive[:16]}",
            f"signed by {archived.signed_by}",
            "all stages" if replay.request.stage is None else f"stage {replay.request.stage}",
            f"{replay.ran} units made anew in {made:.0f} s ({before:.0f} s in the archive)",
            *((f"{replay.imported} taken from the archive",) if replay.imported else ()),
        ),
        banners=tuple(_banners(replay, archived)),
        sentence=_sentence(replay),
        headlines=(),
        verdicts=(),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by evercast {version('evercast')}; replay.json holds every number of this page.",
    )


def _banners(replay: Replay, archived: ArchivedRun) -> Iterator[str]:
    if replay.request.change:
        yield "The document was changed for this replay."
    if replay.request.allow_unsigned and not archived.trusted:
        yield "Nobody who is trusted signed the archive; what it holds was run all the same, with --allow-unsigned."


def _sentence(replay: Replay) -> str:
    """Return the verdict in words, and where the first difference begins."""
    said, origins = _SENTENCES[replay.comparison.verdict], replay.comparison.reasons.origins
    if replay.comparison.reproduced is False and replay.comparison.verdict != "differs":
        said = "Not every result of the archive was compared, so that nothing is said to be reproduced."
    if replay.comparison.not_compared:
        said += f" Not compared: {replay.comparison.not_compared} of {len(replay.comparison.units)} units."
    if not origins:
        return said
    first = origins[0]
    return f"{said} The first difference is in {first.stage}/{first.name}: {first.causes[0]}."


def _verdict(verdict: Verdict) -> Cell:
    return Cell(WORDS[verdict], _TONES[verdict])


def _reasons(replay: Replay) -> Section | None:
    reasons, comparison = replay.comparison.reasons, replay.comparison
    blocks: list[Block] = []
    if reasons.origins:
        rows = tuple(
            (Cell(", ".join(f"{origin.stage}/{origin.name}" for origin in origins), "code"), *_cause_cells(cause))
            for origins, causes in grouped(reasons.origins)
            for cause in causes
        )
        headers = ("unit", "what differs", "where", "archived", "now")
        note = (
            "Units that read only what is the same and gave something else, and what differs about later ones as well. "
            "All else follows."
        )
        blocks.append(Table(title="Where differences begin", headers=headers, rows=rows, note=note))
    else:
        blocks.append(Paragraph(text="No unit gives anything else than what was archived."))
    if reasons.without_effect:
        idle = tuple(_cause_cells(cause) for cause in reasons.without_effect)
        of_run = ("what differs", "where", "archived", "now")
        blocks.append(Table(title="Different, without effect", headers=of_run, rows=idle))
    if comparison.document:
        leaves = tuple(
            (
                Cell(change.path, "code"),
                Cell("–" if change.line is None else str(change.line), "number"),
                Cell(_leaf(change.old)),
                Cell(_leaf(change.new)),
            )
            for change in comparison.document
        )
        of_document = ("place in the document", "line", "archived", "now")
        blocks.append(Table(title="The documents", headers=of_document, rows=leaves, folded=len(leaves) > 12))
    return Section(anchor="why", title="Why", blocks=tuple(blocks))


def _cause_cells(cause: Cause) -> tuple[Cell, ...]:
    place = cause.name if cause.line is None else f"{cause.name}, line {cause.line}"
    return Cell(cause.kind), Cell(place, "code"), Cell(cause.old), Cell(cause.new)


def _leaf(value: object) -> str:
    return "nothing" if value is None else str(value)[:200]


def _results(replay: Replay, archived: ArchivedRun) -> Section | None:
    fits = [unit for unit in replay.comparison.units if unit.stage == "fit" and unit.new and unit.old]
    made = [unit for unit in fits if unit.verdict != "not-compared"]
    if not made:
        return None
    drawings = tuple(drawing for unit in made for drawing in _drawings(unit, replay, archived))
    blocks: list[Block] = [Gallery(drawings=drawings)] if drawings else []
    for unit in made:
        main = [row for row in unit.rows if row.main]
        other = [row for row in unit.rows if not row.main]
        if not unit.rows:
            blocks.append(Paragraph(text=f"{unit.name}: {WORDS[unit.verdict]}; {unit.text}."))
            continue
        blocks.append(_rows_table(f"{unit.name}: {WORDS[unit.verdict]}", main, note=unit.text))
        blocks.append(_rows_table(f"{unit.name}: other numbers ({len(other)})", other, folded=True))
    blocks += _later_tables(replay)
    return Section(anchor="results", title="Results", blocks=tuple(blocks))


def _later_tables(replay: Replay) -> list[Table]:
    """Return the tables of what follows networks trained anew, with what differs unfolded."""
    later = [unit for unit in replay.comparison.units if unit.stage != "fit" and unit.rows]
    return [
        _rows_table(
            f"{unit.stage}/{unit.name}: {WORDS[unit.verdict]}", list(unit.rows), note=unit.text,
            folded=unit.verdict != "differs",
        )
        for unit in later
    ]  # fmt: skip


def _drawings(unit: UnitComparison, replay: Replay, archived: ArchivedRun) -> Iterator[Drawing]:
    new_folder = RunFolder(replay.request.output.absolute() / "run").work / "fit" / str(unit.new)
    old_folder = archived.side.units / "fit" / str(unit.old)
    old, new = read_view(old_folder / "result.json"), read_view(new_folder / "result.json")
    poi = old.text("poi") or new.text("poi") or "parameter of interest"
    parameter = archived.side.analysis.parameters.get(poi)
    axis = (parameter.label if parameter else None) or poi
    for side in ("observed", "expected"):
        curves = [_curve(view.at(side), poi) for view in (old, new)]
        if curves[0].values.size or curves[1].values.size:
            name = f"profile-{unit.name}-{side}"
            yield profile_overlay(name, curves[0], curves[1], axis=axis, title=f"{unit.name}, {side}")


def _curve(outcome: JsonView, poi: str) -> Curve:
    return Curve(
        values=outcome.numbers("scan", "values"), t=outcome.numbers("scan", "t"),
        best=outcome.number("fit", "parameters", poi, "value"),
    )  # fmt: skip


def _rows_table(title: str, rows: list[ResultRow], *, note: str | None = None, folded: bool = False) -> Table:
    cells = tuple(
        (
            Cell(row.quantity, "code"),
            Cell(_number(row.old), "number"),
            Cell(_number(row.new), "number"),
            Cell("–" if row.difference is None else f"{row.difference:+.2g}", "number"),
            Cell("–" if row.tolerance is None else f"{row.tolerance:.2g}", "number"),
            Cell(row.rule),
            _verdict(row.verdict),
        )
        for row in rows
    )
    headers = ("number", "archived", "now", "difference", "allowed", "rule", "verdict")
    return Table(title=title, headers=headers, rows=cells, note=note, folded=folded)


def _number(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _declared(replay: Replay) -> Section | None:
    rows = tuple(
        (
            Cell(row.key, "code"),
            Cell(f"{row.value:g} ± {row.tolerance:g}", "number"),
            Cell(_number(row.old), "number"),
            Cell(_number(row.new), "number"),
            Cell("within", "good") if row.verdict in ("numeric", "same-bits") else _verdict(row.verdict),
        )
        for row in replay.comparison.declared
    )
    if not rows:
        return None
    headers = ("number", "declared", "archived", "now", "verdict")
    table = Table(title="Numbers that the document declares under expected", headers=headers, rows=rows)
    return Section(anchor="expected", title="Expected", blocks=(table,))


def _stages(replay: Replay) -> Section:
    rows = tuple(
        (
            Cell(stage.stage, "code"),
            _verdict(stage.verdict),
            Cell(", ".join(f"{count} {WORDS[verdict]}" for verdict, count in stage.counts.items())),
            Cell(f"{stage.seconds[0]:.1f}", "number"),
            Cell(f"{stage.seconds[1]:.1f}", "number"),
        )
        for stage in replay.comparison.stages
    )
    headers = ("stage", "verdict", "units", "archived [s]", "now [s]")
    return Section(anchor="stages", title="Stages", blocks=(Table(title="Every stage", headers=headers, rows=rows),))


def _networks(replay: Replay, archived: ArchivedRun) -> Section | None:
    found = {
        unit.retrained.name: (unit.retrained, unit.verdict)
        for unit in replay.comparison.units
        if unit.retrained is not None
    }
    if not found:
        return None
    allowed = archived.side.analysis.tolerances.retraining.spread
    rows = tuple(
        (
            Cell(name),
            Cell(str(item.networks), "number"),
            Cell(f"{item.rms:.3g}", "number"),
            Cell("–" if item.noise is None else f"{item.noise:.3g}", "number"),
            Cell("–" if item.ratio is None else f"{item.ratio:.2f}", "number"),
            _verdict(verdict),
        )
        for name, (item, verdict) in found.items()
    )
    headers = ("networks of", "networks", "rms difference", "spread / √members", "ratio", "verdict")
    note = (
        "Root mean square over events of the difference of the ensemble means of the log ratio, against the spread of "
        f"the archived members over the root of their number; a ratio up to {allowed:g} is allowed."
    )
    table = Table(title="Networks trained anew", headers=headers, rows=rows, note=note)
    return Section(anchor="networks", title="Networks", blocks=(table,))


def _cut_flows(replay: Replay, archived: ArchivedRun) -> Section | None:
    """Return the cut flows that are not the archived ones, step by step."""
    tables = []
    for unit in replay.comparison.units:
        if unit.stage != "selection" or unit.verdict != "differs" or not unit.old or not unit.new:
            continue
        new_folder = RunFolder(replay.request.output.absolute() / "run").work / "selection" / unit.new
        old = read_view(archived.side.units / "selection" / unit.old / "summary.json")
        new = read_view(new_folder / "summary.json")
        flows = [_flow(view) for view in (old, new)]
        rows = tuple(_step(step, flows[0].get(step), flows[1].get(step)) for step in {**flows[0], **flows[1]})
        headers = ("step", "archived events", "events now", "")
        tables.append(Table(title=unit.name, headers=headers, rows=rows))
    if not tables:
        return None
    return Section(anchor="cut-flows", title="Cut flows", blocks=tuple(tables))


def _flow(summary: JsonView) -> dict[str, int | None]:
    return {step.text("step") or "": step.whole("events") for step in summary.entries("cut_flow")}


def _step(step: str, old: int | None, new: int | None) -> tuple[Cell, ...]:
    counts = (Cell("–" if count is None else f"{count:,}", "number") for count in (old, new))
    return Cell(step), *counts, Cell("same", "good") if old == new else Cell("differs", "bad")


def _units(replay: Replay) -> Section:
    rows = tuple(
        (Cell(unit.stage, "code"), Cell(unit.name, "code"), _verdict(unit.verdict), Cell(unit.text))
        for unit in replay.comparison.units
    )
    headers = ("stage", "unit", "verdict", "what was found")
    table = Table(title=f"All units ({len(rows)})", headers=headers, rows=rows, folded=len(rows) > 30)
    return Section(anchor="units", title="Units", blocks=(table,))
