"""Pictures of HEPData tables with their thumbnails, drawn here: no other program is called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evercast.artifacts.files import disk_errors
from evercast.publication.hepdata_tables import Column, TableContent
from evercast.publication.plots.figure import PALETTE, figure_style, safe_text

__all__ = ["write_pictures"]

_SIZE: Final = (6.7, 5.0)
_DPI: Final = 150
_THUMBNAIL_DPI: Final = 36
_TOP: Final = 12.0
"""Largest t that is drawn."""


def write_pictures(folder: Path, stem: str, content: TableContent) -> Iterator[tuple[str, str]]:
    """Draw the first column against the others; yield description and file name of the picture and its thumbnail.

    Args:
        folder: of the submission.
        stem: of the file names.
        content: a table whose columns are numbers.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    with figure_style():
        figure = Figure(figsize=_SIZE)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        across, *others = content.columns
        shown: list[float] = []
        for number, column in enumerate(others):
            points = list(_points(across, column))
            shown += [x for x, y in points if y <= _TOP]
            label = safe_text(", ".join(column.qualifiers.values()) or column.name)
            style = "-" if number == 0 else "--"
            axes.plot([x for x, _ in points], [y for _, y in points], style, color=PALETTE[number], label=label)
        axes.set_xlabel(safe_text(across.name))
        axes.set_ylabel(safe_text(others[0].name), fontsize="small")
        axes.set_ylim(0.0, _TOP)
        if shown and min(shown) < max(shown):
            axes.set_xlim(min(shown), max(shown))
        axes.legend()
        figure.tight_layout()
        for name, dpi, description in (
            (f"{stem}.png", _DPI, "Image file"),
            (f"thumb_{stem}.png", _THUMBNAIL_DPI, "Thumbnail image file"),
        ):
            with disk_errors(folder):
                figure.savefig(folder / name, dpi=dpi, format="png", metadata={"Software": None})
            yield description, name


def _points(across: Column, column: Column) -> Iterator[tuple[float, float]]:
    for x, y in zip(across.values, column.values, strict=True):
        if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y):
            yield float(x), float(y)
