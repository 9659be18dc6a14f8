"""Cross-sections of points and published numbers, taken from tables into a wrapped analysis, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from evercast.errors import InvalidInput
from evercast.reinterpretation.wrapped.model import Point, Published, PublishedKind, WrappedAnalysis
from evercast.reinterpretation.wrapped.tables import Row, Table, read_table
from evercast.spec.report import did_you_mean

__all__ = ["with_cross_sections", "with_published"]

_UNITS: Final = {"pb": 1.0, "fb": 1e-3}
_SECTION: Final = tuple(f"cross_section_{unit}" for unit in _UNITS)
_ABSOLUTE: Final = tuple(f"uncertainty_{unit}" for unit in _UNITS)
_OF_PUBLISHED: Final = (
    "point", "kind", "value", "uncertainty", "tolerance", "likelihood", "channel", "bin", "step", "source",
)  # fmt: skip


def with_cross_sections(analysis: WrappedAnalysis, path: Path) -> WrappedAnalysis:
    """Return an analysis with the cross-sections of a table.

    Columns: ``cross_section_pb`` or ``cross_section_fb``; ``relative_uncertainty``, or ``uncertainty_pb`` or
    ``uncertainty_fb``; ``source``, where the table has none for all; and which points are meant: ``point``, or some or
    all of the axes. A row with some axes is for every point with these values; one that fits none is left out.

    Raises:
        InvalidInput: ``wrap.table``: a row cannot be read, fits no point that it names, or two fit one point.
    """
    axes = [axis.name for axis in analysis.axes]
    columns = ("point", *axes, *_SECTION, "relative_uncertainty", *_ABSOLUTE, "source")
    table = read_table(path, columns=columns)
    priced: dict[str, Point] = {}
    for row in table.rows:
        point = _cross_section(row, table)
        for name in _points_of(row, analysis, axes):
            if name in priced:
                raise InvalidInput(f"the point {name} has a cross-section already", code="wrap.table", where=row.place)
            priced[name] = replace(point, values=analysis.points[name].values)
    if not priced:
        message = "no row of the table fits a signal point of the record"
        raise InvalidInput(message, code="wrap.table", where=str(path), hint=f"axes: {', '.join(axes) or 'none'}")
    return replace(analysis, points={name: priced.get(name, point) for name, point in analysis.points.items()})


def _cross_section(row: Row, table: Table) -> Point:
    value = _one_of(row, _SECTION, "cross-section")
    if value is None or value <= 0:
        message = f"a cross-section must be positive, found {'none' if value is None else f'{value:g} pb'}"
        raise InvalidInput(message, code="wrap.table", where=row.place, hint=f"columns: {' or '.join(_SECTION)}")
    absolute, relative = _one_of(row, _ABSOLUTE, "uncertainty"), row.number("relative_uncertainty")
    if absolute is not None and relative is not None:
        raise InvalidInput("the uncertainty is stated twice", code="wrap.table", where=row.place)
    found = relative if absolute is None else absolute / value
    if found is not None and found < 0:
        raise InvalidInput(f"the uncertainty {found:g} is negative", code="wrap.table", where=row.place)
    return Point(cross_section_pb=value, cross_section_uncertainty=found, cross_section_source=_source(row, table))


def _one_of(row: Row, columns: Sequence[str], what: str) -> float | None:
    """Return the number in pb that one of some columns holds."""
    found = [(column, number) for column in columns if (number := row.number(column)) is not None]
    if len(found) > 1:
        raise InvalidInput(f"the {what} is stated twice", code="wrap.table", where=row.place)
    if not found:
        return None
    column, number = found[0]
    return number * _UNITS[column.rpartition("_")[2]]


def _source(row: Row, table: Table) -> str:
    found = row.text("source") or table.source
    if found is None:
        message = "the table does not say where its numbers were published"
        hint = "a column `source`, a first line `# source: TEXT` in CSV, or the key `source` in YAML"
        raise InvalidInput(message, code="wrap.table", where=row.place, hint=hint)
    return found


def _points_of(row: Row, analysis: WrappedAnalysis, axes: Sequence[str]) -> Iterator[str]:
    """Yield the points that a row is for."""
    name = row.text("point")
    values = {number: value for number, axis in enumerate(axes) if (value := row.number(axis)) is not None}
    if (name is None) == (not values):
        message = "a row names either a `point` or values of axes"
        raise InvalidInput(message, code="wrap.table", where=row.place, hint=f"axes: {', '.join(axes) or 'none'}")
    if name is not None:
        if name not in analysis.points:
            hint = did_you_mean(name, analysis.points) or f"e.g. {', '.join(list(analysis.points)[:3])}"
            raise InvalidInput(
                f"the record has no signal point {name!a}", code="wrap.table", where=row.place, hint=hint
            )
        yield name
        return
    for point, found in analysis.points.items():
        if found.values and all(found.values[number] == value for number, value in values.items()):
            yield point


def with_published(analysis: WrappedAnalysis, path: Path, *, tolerance: float) -> WrappedAnalysis:
    """Return an analysis with the published numbers of a table, with which answers are compared.

    Columns: ``kind``, ``value``; ``tolerance``, relative, or ``uncertainty``, in the unit of the value; ``source``;
    ``point`` or all axes; ``likelihood``, ``channel``, ``bin`` and ``step`` where the kind has them. An end of an
    excluded range has the axes but for the first.

    Args:
        analysis: to which they are added.
        path: of the table.
        tolerance: of rows that state none.

    Raises:
        InvalidInput: ``wrap.table``.
    """
    axes = [axis.name for axis in analysis.axes]
    table = read_table(path, columns=(*_OF_PUBLISHED, *axes))
    added = tuple(_published(row, table, analysis, axes, tolerance) for row in table.rows)
    return replace(analysis, published=(*analysis.published, *added))


def _published(row: Row, table: Table, analysis: WrappedAnalysis, axes: Sequence[str], tolerance: float) -> Published:
    kinds: tuple[PublishedKind, ...] = get_args(PublishedKind)
    kind = next((known for known in kinds if known == row.text("kind")), None)
    value = row.number("value")
    if kind is None or value is None:
        said = row.text("kind")
        message = "a row needs a `value`" if kind else f"unknown kind {said!a}"
        raise InvalidInput(message, code="wrap.table", where=row.place, hint=f"kinds: {', '.join(kinds)}")
    number = row.number("bin")
    if number is not None and number != int(number):
        raise InvalidInput(f"the bin {number:g} is no whole number", code="wrap.table", where=row.place)
    ends = kind.startswith("excluded")
    return Published(
        kind=kind, value=value, tolerance=_tolerance(row, value, tolerance), source=_source(row, table),
        likelihood=row.text("likelihood"), channel=row.text("channel"), bin=None if number is None else int(number),
        step=row.text("step"), point=None if ends else _point(row, analysis, axes),
        at=_others(row, axes) if ends else (),
    )  # fmt: skip


def _tolerance(row: Row, value: float, default: float) -> float:
    stated, absolute = row.number("tolerance"), row.number("uncertainty")
    if stated is not None and absolute is not None:
        raise InvalidInput("state either a tolerance or an uncertainty", code="wrap.table", where=row.place)
    found = stated if stated is not None else default
    if absolute is not None:
        found = absolute / abs(value) if value else 0.0
    if not 0 < found <= 1:
        message = f"the relative tolerance must lie above 0 and not above 1, found {found:g}"
        raise InvalidInput(message, code="wrap.table", where=row.place)
    return found


def _point(row: Row, analysis: WrappedAnalysis, axes: Sequence[str]) -> str:
    found = list(_points_of(row, analysis, axes))
    if len(found) != 1:
        message = f"{len(found)} signal points have these values; a published number belongs to one"
        raise InvalidInput(message, code="wrap.table", where=row.place)
    return found[0]


def _others(row: Row, axes: Sequence[str]) -> tuple[float, ...]:
    """Return the values of all axes but the first, along which a range is excluded."""
    found = [row.number(axis) for axis in axes]
    others = tuple(value for value in found[1:] if value is not None)
    if row.text("point") is not None or found[:1] != [None] or len(others) != len(axes) - 1:
        message = f"an end of an excluded range along {axes[0] if axes else 'the first axis'} is at all other axes"
        raise InvalidInput(message, code="wrap.table", where=row.place, hint=f"others: {', '.join(axes[1:]) or 'none'}")
    return others
