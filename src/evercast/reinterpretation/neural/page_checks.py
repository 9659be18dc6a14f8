"""The diagnostics of new terms, with the tables and figures that reports of runs have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evercast.publication.plots.figure import PALETTE
from evercast.publication.report.blocks import Block, Gallery, Group, Section
from evercast.publication.report.diagnostic_figures import FigureStyle
from evercast.publication.report.figures import Drawing
from evercast.publication.report.sections_diagnostics import diagnostics_section
from evercast.reinterpretation.neural.answers import ProcessAnswer
from evercast.reinterpretation.neural.point_parts import PointParts

__all__ = ["checks_sections"]


def checks_sections(parts: Sequence[PointParts]) -> list[Section]:
    """Return a section for each point whose derived run has diagnostics; the first one is where lights lead to."""
    found: list[Section] = []
    for place, part in enumerate(parts):
        if part.contents is None:
            continue
        section = diagnostics_section(part.checks, _style(part))
        if section is not None:
            anchor = "checks" if not found else f"checks-{place}"
            title = f"Diagnostics of {part.answer.name}" if len(parts) > 1 else "Diagnostics of the new term"
            blocks = tuple(_renamed(block, f"p{place}") for block in section.blocks)
            lead = "Checks of the new term and of the likelihood it stands in, as evercast makes them of every run."
            found.append(replace(section, anchor=anchor, title=title, blocks=blocks, lead=lead))
    return found


def _style(part: PointParts) -> FigureStyle:
    analysis = part.contents.analysis if part.contents is not None else None
    if analysis is None:
        return FigureStyle(colors={}, axes={}, poi="parameter")
    names = list(analysis.processes)
    colors = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}
    answer = part.answer
    networks = [(name, process) for name, ensemble in analysis.ensembles.items() for process in ensemble.processes]
    return FigureStyle(
        colors={f"{name}: {process}": colors[process] for name, process in networks if process in colors},
        axes={name: observable.label or name for name, observable in analysis.selection.observables.items()},
        poi=answer.parameter if isinstance(answer, ProcessAnswer) else "parameter",
    )  # fmt: skip


def _renamed(block: Block, prefix: str) -> Block:
    """Return a block whose figures have names of their own in the page."""
    if isinstance(block, Gallery):
        return replace(block, drawings=tuple(_drawing(drawing, prefix) for drawing in block.drawings))
    if isinstance(block, Group):
        inner = tuple(_renamed(one, prefix) for one in block.blocks)
        return replace(block, blocks=inner)  # type: ignore[arg-type]
    return block


def _drawing(drawing: Drawing, prefix: str) -> Drawing:
    old, new = drawing.name, f"{prefix}-{drawing.name}"
    svg = drawing.svg
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(f"{before}{old}-", f"{before}{new}-")
    return replace(drawing, name=new, svg=svg)
