"""The section on the checks: traffic lights by kind, each with its table and its plots."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.publication.diagnostics.check import NUMBERED
from evercast.publication.gate import publication_line
from evercast.publication.report.blocks import Block, Cell, Gallery, Group, Light, Paragraph, Section, Table, Tone
from evercast.publication.report.checks import Diagnostics, ReportedCheck, Status
from evercast.publication.report.diagnostic_figures import FigureStyle, check_figures

__all__ = ["TONES", "diagnostics_section"]

TONES: Mapping[Status, Tone] = {"green": "good", "amber": "look", "red": "bad", "not-applicable": "plain"}
_WORDS: Mapping[Status, str] = {
    "green": "green", "amber": "amber", "red": "red", "not-applicable": "not applicable"
}  # fmt: skip
_ORDER: Mapping[Status, int] = {"red": 0, "amber": 1, "green": 2, "not-applicable": 3}
_OTHER = "inputs, fits and declared numbers"


def diagnostics_section(diagnostics: Diagnostics, style: FigureStyle) -> Section | None:
    """Return all checks, the poor ones first; None where the run has no diagnostics.

    Args:
        diagnostics: of the run.
        style: titles and colours of processes.
    """
    if not diagnostics.checks:
        return None
    blocks: list[Block] = []
    poor = [check for check in diagnostics.checks if check.status in ("red", "amber")]
    if poor:
        ordered = sorted(poor, key=lambda check: _ORDER[check.status])
        blocks.append(_table("To be looked at", ordered, diagnostics.overridden, named=True))
    for number in [*NUMBERED, None]:
        chosen = [check for check in diagnostics.checks if check.number == number]
        if chosen:
            blocks.append(_group(number, chosen, diagnostics, style))
    body = diagnostics.document.value
    lead = publication_line(body if isinstance(body, dict) else {})
    explained = (
        "Green: as it should be. Amber: to be looked at. Red: the result must not be published, unless the document "
        "gives a written reason. The thresholds and their reasons stand in the documentation."
    )
    return Section(
        anchor="checks", title="Diagnostics", lead=f"{lead[:1].upper()}{lead[1:]}.",
        blocks=(Paragraph(text=explained), *blocks),
    )  # fmt: skip


def _group(number: int | None, checks: list[ReportedCheck], diagnostics: Diagnostics, style: FigureStyle) -> Group:
    ordered = sorted(checks, key=lambda check: _ORDER[check.status])
    lights = tuple(
        Light(tone=TONES[status], text=f"{count} {_WORDS[status]}" + _excused(status, checks, diagnostics))
        for status in _ORDER
        if (count := sum(check.status == status for check in checks))
    )
    drawings = check_figures(number, checks, style)
    blocks: list[Table | Gallery | Paragraph] = [_table("Checks", ordered, diagnostics.overridden, named=False)]
    if drawings:
        blocks.append(Gallery(drawings=drawings))
    name = _OTHER if number is None else NUMBERED[number]
    title = f"{name[:1].upper()}{name[1:]}"
    return Group(title=title if number is None else f"{number} · {title}", lights=lights, blocks=tuple(blocks))


def _table(title: str, checks: list[ReportedCheck], overridden: Mapping[str, str], *, named: bool) -> Table:
    rows = tuple(
        (
            Cell(_WORDS[check.status], TONES[check.status]),
            Cell(check.subject),
            *((Cell(check.name),) if named else (Cell(check.name.partition(": ")[2] or check.name),)),
            Cell(_number(check.value), "number"),
            Cell(" · ".join(_number(limit) for limit in (check.amber, check.red)), "number"),
            Cell(check.message + _reason(check, overridden)),
            Cell(check.id, "code"),
        )
        for check in checks
    )
    headers = ("outcome", "of", "check", "value", "amber · red from", "found", "id")
    return Table(title=title, headers=headers, rows=rows, stacked=True)


def _excused(status: str, checks: list[ReportedCheck], diagnostics: Diagnostics) -> str:
    """Return what is said behind a count of red checks that all have a written reason."""
    red = [check for check in checks if check.status == "red"]
    return " (overridden)" if status == "red" and all(check.id in diagnostics.overridden for check in red) else ""


def _reason(check: ReportedCheck, overridden: Mapping[str, str]) -> str:
    return f" Overridden in the document: {overridden[check.id]}" if check.id in overridden else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")
