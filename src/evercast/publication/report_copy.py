"""The report of the run in a published bundle, with how the binned projection compares with the likelihood itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_bytes, disk_errors
from evercast.errors import InvalidInput
from evercast.publication.bundle_context import BundleContext
from evercast.publication.report.blocks import Block, Cell, Paragraph, Section, Table
from evercast.publication.report.page import add_section, without_marks
from evercast.publication.report.view import JsonView
from evercast.runtime.receipts import check_files, read_receipt

__all__ = ["REPORT_FILE", "add_report", "projection_report"]

REPORT_FILE: Final = "report.html"
_SIDES: Final = (("expected", "Asimov data, all parameters at their initial values"), ("observed", "observed data"))
_MODELS: Final = (("unbinned", "unbinned likelihood"), ("projection", "binned projection"))


def add_report(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``report.html``: that of the run, with a section on the binned projection; call it after the projection.

    Raises:
        IntegrityError: the report of the run is not what its receipt says.
        InvalidInput: ``publication.nothing``: the run has no report.
        EnvironmentUnfit: the disk refuses.
    """
    units = context.frozen.plan.of_stage("report")
    if not units:
        raise InvalidInput("the run has no report", code="publication.nothing", where=str(context.frozen.folder.root))
    source = context.frozen.folder.unit(units[0])
    check_files(read_receipt(context.frozen.folder.receipt(units[0])), folder=source, only=[REPORT_FILE])
    with disk_errors(source):
        html = (source / REPORT_FILE).read_text(encoding="utf-8")
    section = projection_report(context.said.get("projection", {}), likelihood=context.likelihood)
    atomic_write_bytes(folder / REPORT_FILE, without_marks(add_section(html, section)).encode())
    return {"file": REPORT_FILE}


def projection_report(said: Mapping[str, object], *, likelihood: str) -> Section:
    """Return the section: best values, uncertainties and intervals of both, and how far apart they are.

    Args:
        said: what `evercast.publication.projection_files.add_projection` puts in the manifest.
        likelihood: name of the likelihood that was projected.
    """
    view = JsonView(dict(said))
    none = Paragraph(text=f"There is none: {view.text('reason') or 'the bundle was made without one'}.")
    blocks = tuple(_blocks(view)) if view.flag("made") else (none,)
    lead = (
        f"projection.json of the bundle holds the likelihood {likelihood} once more, its unbinned channels as "
        "histograms of the learned observable, for readers of pyhf workspaces. Here it is compared in numbers."
    )
    return Section(anchor="binned-projection", title="Binned projection", lead=lead, blocks=blocks)


def _blocks(view: JsonView) -> Iterator[Block]:
    poi = view.text("observable", "parameter") or "parameter of interest"
    level = view.number("comparison", "confidence_level")
    interval = "interval" if level is None else f"{100 * level:.4g} % interval"
    yield Table(
        title=f"{poi}: the likelihood and its projection",
        headers=("data", "model", "best fit", "uncertainty", interval, "significance Z"),
        rows=tuple(_numbers(view)),
        note="Profile likelihood intervals; the uncertainty on Asimov data is the expected one. Asimov data of the "
        "unbinned likelihood are the simulated events, those of the projection its own templates, so only the latter "
        "must give back the initial value.",
    )
    yield Table(
        title="Agreement of the two",
        headers=("data", "length of the interval, projection / unbinned", "shift of the best fit, in uncertainties"),
        rows=tuple(
            (Cell(title), _cell(side.number("interval_length_ratio")), _cell(side.number("shift_in_uncertainties")))
            for kind, title in _SIDES
            if (side := view.at("comparison", kind)).value is not None
        ),
        note="Shift: projection minus unbinned, over the uncertainty of the unbinned likelihood.",
    )
    yield Table(
        title=f"Expected information on {poi} in the bins, all other parameters known",
        headers=("channel", "bins", "bins / events"),
        rows=tuple(_information(name, channel) for name, channel in view.items("channels")),
        note="That of the bins is less by the statistical uncertainty of the simulation too.",
    )
    notes = "; ".join(entry.text() or "" for entry in view.entries("approximations"))
    if notes:
        yield Paragraph(text=f"Left out or approximated in the projection: {notes}.")


def _numbers(view: JsonView) -> Iterator[tuple[Cell, ...]]:
    for kind, title in _SIDES:
        for model, name in _MODELS:
            side = view.at("comparison", kind, model)
            if side.value is None:
                continue
            low, high = (_text(side.number(end)) for end in ("low", "high"))
            yield (
                Cell(title), Cell(name), _cell(side.number("value")), _cell(side.number("uncertainty")),
                Cell(f"[{low}, {high}]", "number"), _cell(side.number("z")),
            )  # fmt: skip


def _information(name: str, channel: JsonView) -> tuple[Cell, ...]:
    binned, unbinned = channel.number("information"), channel.number("information_of_events")
    kept = None if binned is None or not unbinned else binned / unbinned
    return Cell(name, "code"), _cell(len(channel.numbers("inner_edges")) + 1), _cell(kept)


def _cell(value: float | None) -> Cell:
    return Cell(_text(value), "number")


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
