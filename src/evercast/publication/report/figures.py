"""The figures of the report: panels put together, labelled and turned into inline drawings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec

from evercast.inference.impacts import Impact
from evercast.publication.plots.diagnostics import Points, draw_points
from evercast.publication.plots.distributions import (
    Shape,
    Stack,
    draw_ratio,
    draw_shape_ratio,
    draw_shapes,
    draw_stack,
)  # fmt: skip
from evercast.publication.plots.figure import Label, add_label, figure_style, safe_text, to_svg
from evercast.publication.plots.impacts import draw_impacts, draw_ranked_pulls
from evercast.publication.plots.inference import (
    Interval,
    ProfileCurve,
    Pull,
    draw_intervals,
    draw_profiles,
    draw_pulls,
)  # fmt: skip
from evercast.publication.plots.networks import (
    Closure,
    LossCurve,
    RatioDistribution,
    draw_closure,
    draw_closure_ratio,
    draw_losses,
    draw_ratios,
)  # fmt: skip
from evercast.publication.plots.variations import Variation, draw_variation, draw_variation_ratio

__all__ = [
    "Drawing", "Frame", "closures", "impacts", "intervals", "labelled", "losses", "panels", "points", "profiles",
    "pulls", "ratios", "shapes", "stack", "variations",
]  # fmt: skip

COLUMNS = 4
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure in the page: `svg` is safe markup."""

    name: str
    svg: str
    caption: str | Markup
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Size of one panel and its margins, in inches: fixed, so that nothing has to be measured before drawing."""

    width: float
    height: float
    left: float = 0.95
    right: float = 0.25
    bottom: float = 0.72
    top: float = 0.45

    def figure(self, rows: int = 1, columns: int = 1) -> tuple[Figure, GridSpec]:
        """Return a figure of `rows` x `columns` such panels and the grid they lie on."""
        width, height = self.width * columns, self.height * rows
        inner_width, inner_height = self.width - self.left - self.right, self.height - self.bottom - self.top
        figure = Figure(figsize=(width, height))
        grid = figure.add_gridspec(
            rows, columns, left=self.left / width, right=1 - self.right / width, bottom=self.bottom / height,
            top=1 - self.top / height, wspace=(self.left + self.right) / inner_width,
            hspace=(self.bottom + self.top) / inner_height,
        )  # fmt: skip
        return figure, grid


_MAIN = Frame(width=8.2, height=7.0)
_SMALL = Frame(width=5.4, height=5.0)
_PROFILE = Frame(width=7.4, height=6.2)
_LOSS = Frame(width=4.2, height=3.6, top=0.4)
_RATIO = Frame(width=5.0, height=4.2, top=0.2)
_CLOSURE = Frame(width=3.9, height=4.0, left=0.85, right=0.15, bottom=0.65, top=0.15)


def stack(name: str, content: Stack, label: Label, *, caption: str | Markup, small: bool = False) -> Drawing:
    """Return a stacked distribution above its ratio to the data (no ratio without data)."""

    def build() -> Figure:
        figure, grid = (_SMALL if small else _MAIN).figure()
        if content.observed is None:
            add_label(
                draw_stack(figure.add_subplot(grid[0]), content, compact=small), label, size=15 if small else None
            )
            return figure
        upper, lower = _with_ratio(figure, grid[0])
        add_label(draw_stack(upper, content, compact=small), label, size=15 if small else None)
        upper.set_xlabel("")
        draw_ratio(lower, content)
        return _plain_ticks(figure) if small else figure

    return _drawing(name, build, caption=caption, wide=not small)


def shapes(
    name: str, edges: Float[np.ndarray, " edges"], content: tuple[Shape, ...], label: Label, *, axis: str,
    unit: str, caption: str | Markup,
) -> Drawing:  # fmt: skip
    """Return distributions of unit area above the ratios of the others to the first."""

    def build() -> Figure:
        figure, grid = _SMALL.figure()
        upper, lower = _with_ratio(figure, grid[0])
        add_label(draw_shapes(upper, edges, content, axis=axis, unit=unit), label, size=15)
        text = upper.get_xlabel()
        upper.set_xlabel("")
        for other in content[1:]:
            draw_shape_ratio(lower, edges, content[0], other, axis=text)
        return figure

    return _drawing(name, build, caption=caption)


def profiles(name: str, curves: tuple[ProfileCurve, ...], label: Label, *, axis: str, caption: str | Markup) -> Drawing:
    """Return all profile likelihoods in one frame."""

    def build() -> Figure:
        figure, grid = _PROFILE.figure()
        add_label(draw_profiles(figure.add_subplot(grid[0]), curves, axis=axis), label)
        return figure

    return _drawing(name, build, caption=caption, wide=True)


def intervals(name: str, items: tuple[Interval, ...], label: Label, *, axis: str, caption: str | Markup) -> Drawing:
    """Return best values with intervals, a line each."""

    def build() -> Figure:
        figure, grid = Frame(width=5.4, height=1.4 + 0.72 * len(items), left=0.3).figure()
        add_label(draw_intervals(figure.add_subplot(grid[0]), items, axis=axis), label, size=15)
        return figure

    return _drawing(name, build, caption=caption, wide=True)


def pulls(name: str, items: tuple[Pull, ...], *, caption: str | Markup) -> Drawing:
    """Return fitted nuisance parameters against their constraints."""

    def build() -> Figure:
        figure, grid = Frame(width=5.4, height=1.1 + 0.36 * len(items), left=1.5, top=0.2).figure()
        draw_pulls(figure.add_subplot(grid[0]), items)
        return figure

    return _drawing(name, build, caption=caption)


def losses(name: str, panels: Sequence[tuple[str, tuple[LossCurve, ...]]], *, caption: str | Markup) -> Drawing:
    """Return the loss curves of all networks, a panel a process."""

    def draw(ax: Axes, panel: tuple[str, tuple[LossCurve, ...]]) -> None:
        draw_losses(ax, panel[1])
        ax.set_title(safe_text(panel[0]), loc="left", fontsize="medium")

    return _drawing(name, lambda: _grid(panels, draw, _LOSS), caption=caption, wide=True)


def panels(
    name: str, content: Sequence[P], draw: Callable[[Axes, P], None], frame: Frame, *, caption: str | Markup
) -> Drawing:
    """Return panels side by side, one for each item of `content`, drawn by `draw`."""
    return _drawing(name, lambda: _grid(content, draw, frame), caption=caption, wide=len(content) > 1)


def labelled(
    name: str, content: P, draw: Callable[[Axes, P], None], frame: Frame, label: Label, *, caption: str | Markup
) -> Drawing:
    """Return one panel with the line of the experiment above it."""

    def build() -> Figure:
        figure, grid = frame.figure()
        ax = figure.add_subplot(grid[0])
        draw(ax, content)
        add_label(ax, label, size=15)
        return figure

    return _drawing(name, build, caption=caption, wide=True)


def impacts(name: str, items: tuple[Impact, ...], *, axis: str, caption: str | Markup) -> Drawing:
    """Return ranked impacts beside the pulls of the same parameters."""

    def build() -> Figure:
        left = 0.5 + 0.105 * max(len(safe_text(item.parameter)) for item in items)
        width, height = left + 6.4, 1.85 + 0.36 * len(items)
        figure = Figure(figsize=(width, height))
        grid = figure.add_gridspec(
            1, 2, left=left / width, right=1 - 0.25 / width, bottom=0.75 / height, top=1 - 0.45 / height, wspace=0.13,
            width_ratios=(2, 3),
        )  # fmt: skip
        draw_ranked_pulls(figure.add_subplot(grid[0]), items)
        draw_impacts(figure.add_subplot(grid[1]), items, poi=axis).set_yticks([])
        return _plain_ticks(figure)

    return _drawing(name, build, caption=caption, wide=True)


def points(name: str, content: Points, *, caption: str | Markup) -> Drawing:
    """Return named values against what is wanted, a line each."""

    def build() -> Figure:
        left = 0.5 + 0.105 * max(len(text) for text in content.names)
        figure, grid = Frame(width=3.9 + left, height=1.1 + 0.36 * len(content.names), left=left, top=0.2).figure()
        draw_points(figure.add_subplot(grid[0]), content)
        return _plain_ticks(figure)

    return _drawing(name, build, caption=caption)


def ratios(
    name: str,
    panels: Sequence[tuple[str, tuple[RatioDistribution, ...], Float[np.ndarray, " observed"] | None]],
    *,
    caption: str | Markup,
) -> Drawing:
    """Return the log ratio of each process: (axis, expected by process, observed)."""

    def draw(ax: Axes, panel: tuple[str, tuple[RatioDistribution, ...], Float[np.ndarray, " observed"] | None]) -> None:
        draw_ratios(ax, panel[1], panel[2], axis=panel[0])

    return _drawing(name, lambda: _grid(panels, draw, _RATIO), caption=caption, wide=True)


def closures(
    name: str, panels: Sequence[tuple[str, Closure]], *, title: str, color: str, caption: str | Markup
) -> Drawing:
    """Return the reweighting closure of one process, a panel an observable with its ratio below."""

    def build() -> Figure:
        columns = min(COLUMNS, len(panels))
        figure, grid = _CLOSURE.figure(-(-len(panels) // columns), columns)
        for index, (axis, closure) in enumerate(panels):
            upper, lower = _with_ratio(figure, grid[index // columns, index % columns])
            draw_closure(upper, closure, title=title, color=color)
            draw_closure_ratio(lower, closure, axis=axis)
        return _plain_ticks(figure)

    return _drawing(name, build, caption=caption, wide=True)


def variations(name: str, panels: Sequence[Variation], *, caption: str | Markup) -> Drawing:
    """Return systematic variations of a process, a panel an observable with the ratio to the nominal below."""

    def build() -> Figure:
        columns = min(COLUMNS, len(panels))
        figure, grid = _CLOSURE.figure(-(-len(panels) // columns), columns)
        for index, panel in enumerate(panels):
            upper, lower = _with_ratio(figure, grid[index // columns, index % columns])
            draw_variation(upper, panel)
            draw_variation_ratio(lower, panel)
        return _plain_ticks(figure)

    return _drawing(name, build, caption=caption, wide=len(panels) > 1)


def _with_ratio(figure: Figure, place: SubplotSpec) -> tuple[Axes, Axes]:
    inner = place.subgridspec(2, 1, height_ratios=(3, 1), hspace=0.07)
    upper = figure.add_subplot(inner[0])
    lower = figure.add_subplot(inner[1], sharex=upper)
    upper.tick_params(axis="x", which="both", labelbottom=False)
    return upper, lower


def _grid(panels: Sequence[P], draw: Callable[[Axes, P], None], frame: Frame) -> Figure:
    columns = min(COLUMNS if frame.width < 4.5 else 3, len(panels))
    figure, grid = frame.figure(-(-len(panels) // columns), columns)
    for index, panel in enumerate(panels):
        draw(figure.add_subplot(grid[index // columns, index % columns]), panel)
    return _plain_ticks(figure)


def _plain_ticks(figure: Figure) -> Figure:
    """Take away minor ticks: in small frames they cost much time and size and show nothing."""
    for ax in figure.axes:
        ax.minorticks_off()
    return figure


def _drawing(name: str, build: Callable[[], Figure], *, caption: str | Markup, wide: bool = False) -> Drawing:
    with figure_style():
        svg = to_svg(build(), name=name, alt=str(escape(_plain(caption))))
    return Drawing(name=name, svg=svg, caption=caption, wide=wide)


def _plain(caption: str | Markup) -> str:
    return (caption.striptags() if isinstance(caption, Markup) else caption)[:200]
