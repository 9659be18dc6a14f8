"""Tables of numbers that people write: CSV with a header, or YAML with rows; strict, every row with its line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput
from evercast.spec.reader import read_document
from evercast.spec.report import did_you_mean, shown

__all__ = ["Row", "Table", "read_table"]

_MOST_BYTES: Final = 5_000_000
_MOST_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table.

    Args:
        place: file and line, for messages.
        cells: column -> text or number; empty cells are left out.
    """

    place: str
    cells: Mapping[str, object]

    def text(self, column: str) -> str | None:
        """Return a cell as text; None where it is empty."""
        value = self.cells.get(column)
        return None if value is None else str(value)

    def number(self, column: str) -> float | None:
        """Return a cell as a finite number; None where it is empty.

        Raises:
            InvalidInput: ``wrap.table``.
        """
        value = self.cells.get(column)
        if value is None:
            return None
        try:
            found = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            message = f"{column} must be a finite number, found {shown(value)}"
            raise InvalidInput(message, code="wrap.table", where=self.place)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows, and where they were published.

    Args:
        source: of all rows; None where each row says it, or none does.
        rows: in order.
    """

    source: str | None
    rows: tuple[Row, ...]


def read_table(path: Path, *, columns: Sequence[str]) -> Table:
    """Return a table.

    A CSV file has a header; lines before it may be comments, and ``# source: TEXT`` says where all rows were published.
    A YAML or JSON file has ``source`` and ``rows``, each a mapping of columns to cells.

    Args:
        path: the file; ``.csv`` is CSV.
        columns: that may stand in it.

    Raises:
        InvalidInput: ``wrap.table``: it cannot be read, has an unknown column, one twice, or no row.
        InvalidDocument: it is no YAML.
    """
    if not path.is_file():
        raise InvalidInput(f"{path} is no file", code="wrap.table", where=str(path))
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInput(f"more than {_MOST_BYTES} bytes", code="wrap.table", where=str(path))
    table = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    if not table.rows or len(table.rows) > _MOST_ROWS:
        message = f"the table has {len(table.rows)} rows; it must have 1 to {_MOST_ROWS}"
        raise InvalidInput(message, code="wrap.table", where=str(path))
    for row in table.rows:
        for column in row.cells:
            if column not in columns:
                hint = did_you_mean(column, columns) or f"columns: {', '.join(columns)}"
                raise InvalidInput(f"unknown column {shown(column)}", code="wrap.table", where=row.place, hint=hint)
    return table


def _csv(path: Path) -> Table:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as err:
        raise InvalidInput(f"the file is not UTF-8: {err}", code="wrap.table", where=str(path)) from err
    source: str | None = None
    lines = text.splitlines()
    comments = 0
    while comments < len(lines) and (lines[comments].startswith("#") or not lines[comments].strip()):
        key, _, value = lines[comments].lstrip("# ").partition(":")
        source = value.strip() if key.strip().lower() == "source" and value.strip() else source
        comments += 1
    reader = csv.reader(io.StringIO("\n".join(lines[comments:])), strict=True, skipinitialspace=True)
    try:
        table = [(reader.line_num + comments, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as err:
        raise InvalidInput(f"the file is no CSV: {err}", code="wrap.table", where=str(path)) from err
    if not table:
        raise InvalidInput("the table has no header", code="wrap.table", where=str(path))
    header = [cell.strip() for cell in table[0][1]]
    if len(set(header)) != len(header) or not all(header):
        message = f"the header {','.join(header)!a} has a column twice, or one without a name"
        raise InvalidInput(message, code="wrap.table", where=f"{path}:{table[0][0]}")
    rows = []
    for line, cells in table[1:]:
        if len(cells) != len(header):
            message = f"the row has {len(cells)} cells, the header {len(header)}"
            raise InvalidInput(message, code="wrap.table", where=f"{path}:{line}")
        pairs = {key: cell.strip() for key, cell in zip(header, cells, strict=True) if cell.strip()}
        rows.append(Row(place=f"{path}:{line}", cells=pairs))
    return Table(source=source, rows=tuple(rows))


def _yaml(path: Path) -> Table:
    document = read_document(path)
    if document.problems:
        first = document.problems[0]
        raise InvalidInput(first.message, code="wrap.table", where=f"{path}:{first.line}", hint=first.hint)
    body = document.value
    source, listed = body.get("source"), body.get("rows")
    unknown = sorted(set(body) - {"source", "rows"})
    if unknown or not isinstance(listed, list) or not isinstance(source, str | None):
        found = f"; found {', '.join(map(shown, unknown))}" if unknown else ""
        raise InvalidInput(f"expected `source` and `rows`{found}", code="wrap.table", where=str(path))
    rows = []
    for number, entry in enumerate(listed):
        place = f"{path}:{document.line(('rows', number))}"
        if not isinstance(entry, Mapping) or any(isinstance(cell, Mapping | list) for cell in entry.values()):
            raise InvalidInput("a row is a mapping of columns to cells", code="wrap.table", where=place)
        rows.append(Row(place=place, cells={key: cell for key, cell in entry.items() if cell is not None}))
    return Table(source=source, rows=tuple(rows))
