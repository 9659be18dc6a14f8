"""Comma-separated numbers with one line of names."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import awkward as ak
import pyarrow as pa
import pyarrow.csv

from evercast.errors import InvalidInput
from evercast.events.formats.base import (
    FileFacts,
    bounded_lines,
    chosen_columns,
    damaged,
    empty,
    is_gzip,
    open_text,
    truncated,
)

__all__ = ["CsvFile", "open_csv"]

_MAX_COLUMNS: Final = 10_000
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A CSV file; every column that is read holds numbers, delivered in double precision."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    facts: FileFacts
    format: Literal["csv"] = "csv"

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time.

        Raises:
            InvalidInput: ``sample.format`` with the line: a row of another length, or a field that is no number;
                ``sample.empty``.
        """
        names = chosen_columns(self.path, columns, self.columns)
        rows = 0
        held: list[pa.RecordBatch] = []
        for batch in self._batches(names):
            held.append(batch)
            rows += len(batch)
            while sum(map(len, held)) >= step:
                table = pa.Table.from_batches(held)
                yield _records(table.slice(0, step), names)
                held = table.slice(step).combine_chunks().to_batches()
        if held and sum(map(len, held)):
            yield _records(pa.Table.from_batches(held), names)
        if rows == 0:
            raise empty(self.path, "the file has a line of names and no events")

    def _batches(self, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        with open_text(self.path) as stream:
            try:
                yield from pyarrow.csv.open_csv(
                    pa.PythonFile(stream, mode="r"),
                    read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.float64()),
                        include_columns=names,
                        null_values=[],
                        strings_can_be_null=False,
                    ),
                )
            except (pa.ArrowInvalid, pa.ArrowKeyError) as err:
                raise self._explained(str(err)) from err

    def _explained(self, message: str) -> InvalidInput:
        """Return the reader's complaint with the number of the line and the name of the column."""
        line = re.search(r"Row #(\d+)", message)
        column = re.search(r"column #(\d+)", message)
        text = re.sub(r"^.*(?:CSV parse error|CSV conversion error[^:]*): (?:Row #\d+: )?", "", message)
        place = f"line {line[1]}: " if line else ""
        place += f"column {self.columns[int(column[1])]!r}: " if column and int(column[1]) < len(self.columns) else ""
        if "Expected" in text:
            return (
                truncated(self.path, f"{place}{text[:200]}")
                if self._is_last(line)
                else damaged(self.path, place + text[:200])
            )
        return damaged(self.path, f"{place}not a number: {text[:200]}")

    def _is_last(self, line: re.Match[str] | None) -> bool:
        if line is None:
            return False
        with open_text(self.path) as stream:
            number = sum(1 for _ in bounded_lines(self.path, stream))
        return int(line[1]) == number


def _records(table: pa.Table, names: tuple[str, ...]) -> ak.Array:
    return ak.Array({name: table.column(name).to_numpy() for name in names})


def open_csv(path: Path, *, verified: bool) -> CsvFile:
    """Open a CSV file: commas, semicolons or tabs between numbers, and names in the first line.

    Args:
        path: the file.
        verified: whether a digest shows that the file is whole. The format has no end mark: without a digest the last
            line must have its line end, and a cut between two lines cannot be seen, which is remarked.

    Raises:
        InvalidInput: ``sample.format``: no line of names, an empty or repeated name, too many columns;
            ``sample.truncated``.
    """
    with open_text(path) as stream:
        header, delimiter = _header(path, stream)
    names = tuple(name.strip().strip('"') for name in header.split(delimiter))
    if len(names) > _MAX_COLUMNS:
        raise damaged(path, f"line 1 has {len(names)} columns; this reader takes {_MAX_COLUMNS}")
    if all(_is_number(name) for name in names):
        raise damaged(path, f"line 1 holds numbers where the names of the columns are expected: {header[:60]!r}")
    if not all(names):
        raise damaged(path, f"line 1: the name of column {names.index('') + 1} is empty")
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if repeated:
        raise damaged(path, f"line 1: the column {repeated[0]!r} stands {names.count(repeated[0])} times")
    if not verified and not _ends_with_line_end(path):
        raise truncated(path, "the last line has no line end; the file may be cut: if it is whole, add one")
    remarks = () if verified else ("CSV has no end mark: only a declared sha256 shows that the file is whole",)
    return CsvFile(path=path, columns=names, delimiter=delimiter, facts=FileFacts(remarks=remarks))


def _header(path: Path, stream: io.BufferedReader) -> tuple[str, str]:
    _, line = next(bounded_lines(path, stream))
    try:
        header = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise damaged(path, f"line 1 is not UTF-8 at byte {err.start}") from err
    if not header.isprintable() and "\t" not in header:
        raise damaged(path, "line 1 holds control characters")
    delimiter = next((mark for mark in (",", ";", "\t") if mark in header), ",")
    return header, delimiter


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ends_with_line_end(path: Path) -> bool:
    last = b""
    with open_text(path) as stream:
        if not is_gzip(path):
            stream.seek(max(0, path.stat().st_size - 1))
        while block := stream.read(1 << 20):
            last = block[-1:]
    return last in (b"\n", b"\r")
