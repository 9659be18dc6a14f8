"""What options add to a record that is wrapped: numbers of tables, and a preserved selection."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.reinterpretation.wrapped.model import WrappedAnalysis

__all__ = ["Added", "added_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What is added, as the options say it."""

    cross_sections: Path | None
    published: Path | None
    tolerance: float
    selection: Path | None
    regions: tuple[str, ...]
    b_hadrons: bool

    def to(self, analysis: WrappedAnalysis) -> tuple[WrappedAnalysis, dict[str, bytes]]:
        """Return the analysis with what is added, and the files that lie beside its document: name -> content.

        Raises:
            UsageError: an option lacks the one that it goes with.
            InvalidInput: ``wrap.table``, ``wrap.selection``, ``wrap.region``.
            InvalidDocument: a table or the selection cannot be read.
        """
        from evercast.reinterpretation.wrapped.numbers import with_cross_sections, with_published
        from evercast.reinterpretation.wrapped.preserved import SELECTION_FILE, with_selection

        if self.cross_sections is not None:
            analysis = with_cross_sections(analysis, self.cross_sections)
        if self.published is not None:
            analysis = with_published(analysis, self.published, tolerance=self.tolerance)
        if self.selection is None:
            if self.regions or self.b_hadrons:
                raise UsageError("--region and --b-hadrons go with --selection")
            return analysis, {}
        analysis, content = with_selection(
            analysis, self.selection, regions=self.regions, requires=self.b_hadrons
        )  # fmt: skip
        return analysis, {SELECTION_FILE: content}


def added_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of what is added."""
    table = click.Path(path_type=Path)
    options = [
        click.option(
            "--cross-sections", type=table, metavar="FILE",
            help="Table (CSV or YAML) of cross-sections of points: cross_section_pb, relative_uncertainty, and `point` "
            "or values of axes; `# source: TEXT` says where they were published.",
        ),
        click.option(
            "--published", type=table, metavar="FILE",
            help="Table of published numbers, with which answers are compared: kind, value, uncertainty or tolerance, "
            "and `point` or values of axes.",
        ),
        click.option(
            "--tolerance", type=click.FloatRange(0, 1, min_open=True), default=0.05, show_default=True,
            help="Relative tolerance of published numbers that state none.",
        ),
        click.option(
            "--selection", type=table, metavar="FILE",
            help="Analysis document that selects events, copied beside: signals may then be events.",
        ),
        click.option(
            "--region", "regions", multiple=True, metavar="CHANNEL=REGION[:OBSERVABLE:EDGE,...]",
            help="Region of the selection that fills CHANNEL; by default that of its name. With + at the end the last "
            "bin holds what lies above it too.",
        ),
        click.option(
            "--b-hadrons", is_flag=True, help="Events must have b hadrons: the selection tags b jets by them."
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function
