"""The graph of the stages as an inline drawing: a column per stage, units that do the same drawn as one box."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from html import escape

from evercast.publication.report.units import STAGE_ORDER, Unit

__all__ = ["Box", "draw_graph", "group_units"]

WIDTH, HEIGHT, GAP_X, GAP_Y, TOP = 148, 40, 46, 12, 30
MOST_BOXES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Units drawn as one: of one stage, alike (same name but for a number, files with the same readers) or too many."""

    stage: str
    title: str
    members: tuple[str, ...]


def group_units(units: tuple[Unit, ...]) -> tuple[Box, ...]:
    """Return the boxes of the drawing, at most `MOST_BOXES` a stage."""
    boxes: list[Box] = []
    for stage in dict.fromkeys(unit.stage for unit in units):
        members = tuple(unit for unit in units if unit.stage == stage)
        grouped: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for unit in members:
            likeness = ("files", *_readers(unit, units)) if stage == "fetch" else (_stem(unit.name),)
            grouped[likeness].append(unit.name)
        if len(grouped) > MOST_BOXES:
            grouped = {("files" if stage == "fetch" else "units",): [unit.name for unit in members]}
        boxes += [
            Box(
                stage=stage,
                title=names[0] if len(names) == 1 else f"{likeness[0]} × {len(names)}",
                members=tuple(names),
            )
            for likeness, names in grouped.items()
        ]
    return tuple(boxes)


def _stem(name: str) -> str:
    return re.sub(r"[-_.]?(?:b|block|part)?\d+$", "", name) or name


def _readers(unit: Unit, units: tuple[Unit, ...]) -> tuple[str, ...]:
    """Return the units that read the output of a unit."""
    return tuple(f"{other.stage}/{other.name}" for other in units if unit.key in other.inputs.values())


def draw_graph(units: tuple[Unit, ...]) -> str:
    """Return the graph as an ``<svg>`` element, coloured by the style sheet of the page; all text escaped.

    Edges are those recorded in the receipts. The report itself stands at the end and reads everything.
    """
    boxes = (*group_units(units), Box(stage="report", title="report", members=()))
    columns = [stage for stage in (*STAGE_ORDER, *_others(boxes)) if any(box.stage == stage for box in boxes)]
    rows = {stage: [box for box in boxes if box.stage == stage] for stage in columns}
    tallest = max(len(column) for column in rows.values())
    total = TOP + tallest * (HEIGHT + GAP_Y)
    places = {
        box: (index * (WIDTH + GAP_X), _row_y(row, len(rows[stage]), total))
        for index, stage in enumerate(columns)
        for row, box in enumerate(rows[stage])
    }
    width = len(columns) * (WIDTH + GAP_X) - GAP_X
    head = (
        f'<svg class="graph" viewBox="-2 0 {width + 4} {total}" style="min-width:{width * 0.62:.0f}px" '
        f'xmlns="http://www.w3.org/2000/svg" role="img" aria-label="graph of the stages">'
    )
    parts = [head]
    parts += [_edge(places[a], places[b]) for a, b in _edges(boxes, units)]
    parts += [
        f'<text class="stage" x="{index * (WIDTH + GAP_X) + WIDTH / 2}" y="14">{escape(stage)}</text>'
        for index, stage in enumerate(columns)
    ]
    parts += [_box(box, place) for box, place in places.items()]
    return "".join([*parts, "</svg>"])


def _others(boxes: tuple[Box, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(box.stage for box in boxes if box.stage not in STAGE_ORDER))


def _row_y(row: int, count: int, total: int) -> float:
    height = count * (HEIGHT + GAP_Y) - GAP_Y
    return TOP + (total - TOP - GAP_Y - height) / 2 + row * (HEIGHT + GAP_Y)


def _edges(boxes: tuple[Box, ...], units: tuple[Unit, ...]) -> list[tuple[Box, Box]]:
    home = {(box.stage, name): box for box in boxes for name in box.members}
    by_key = {unit.key: home[unit.stage, unit.name] for unit in units if unit.key}
    edges: dict[tuple[Box, Box], None] = {}
    for unit in units:
        target = home[unit.stage, unit.name]
        for key in unit.inputs.values():
            if key in by_key and by_key[key] != target:
                edges[by_key[key], target] = None
    report = boxes[-1]
    last = [box for box in boxes if box.stage == "fit"] or [box for box in boxes if box.stage != "report"][-1:]
    return [*edges, *((box, report) for box in last)]


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT / 2
    x2, y2 = end[0], end[1] + HEIGHT / 2
    bend = max(GAP_X / 2, (x2 - x1) / 2)
    return f'<path class="edge" d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"/>'


def _box(box: Box, place: tuple[float, float]) -> str:
    x, y = place
    title = box.title if len(box.title) <= 20 else f"{box.title[:19]}…"
    full = escape(f"{box.stage}: {', '.join(box.members) or box.title}"[:400])
    return (
        f'<g class="box s-{escape(re.sub("[^a-z]", "", box.stage))}"><title>{full}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 4.5:g}">{escape(title)}</text></g>'
    )
