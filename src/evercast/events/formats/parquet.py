"""Parquet files: flat columns, lists, and lists of records as collections."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import awkward as ak
import pyarrow as pa
import pyarrow.parquet

from evercast.events.formats.base import FileFacts, chosen_columns, damaged, empty, stream_errors, truncated

__all__ = ["METADATA_KEY", "ParquetFile", "open_parquet"]

METADATA_KEY: Final = b"evercast"
"""Key of the file's metadata under which a generation stage states numbers, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetFile:
    """A Parquet file."""

    path: Path
    columns: tuple[str, ...]
    facts: FileFacts
    format: Literal["parquet"] = "parquet"

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time; checksums of pages are checked where there are any.

        Raises:
            InvalidInput: ``sample.format`` or ``sample.truncated``.
        """
        names = list(chosen_columns(self.path, columns, self.columns))
        rows = 0
        with _arrow_errors(self.path), self.path.open("rb") as stream:
            opened = pyarrow.parquet.ParquetFile(stream, page_checksum_verification=True)
            for batch in opened.iter_batches(batch_size=step, columns=names, use_threads=False):
                rows += len(batch)
                yield ak.from_arrow(batch)
        if rows != self.facts.n_events:
            raise truncated(self.path, f"{rows} events were read; the file states {self.facts.n_events}")


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        with stream_errors(path):
            yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as err:
        raise damaged(path, f"the Parquet file cannot be read: {str(err)[:300]}") from err


def open_parquet(path: Path) -> ParquetFile:
    """Open a Parquet file.

    Raises:
        InvalidInput: ``sample.truncated`` (no footer), ``sample.format``, ``sample.empty``.
    """
    with stream_errors(path), path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4))
        if stream.read() != b"PAR1":
            raise truncated(path, "the Parquet file ends without its footer")
    with _arrow_errors(path), path.open("rb") as stream:
        opened = pyarrow.parquet.ParquetFile(stream)
        rows, schema = opened.metadata.num_rows, opened.schema_arrow
        stated, program = _stated(path, (opened.metadata.metadata or {}).get(METADATA_KEY))
    if rows == 0:
        raise empty(path)
    facts = FileFacts(
        n_events=rows,
        n_generated=int(stated["n_generated"]) if "n_generated" in stated else None,
        sum_of_weights=stated.get("sum_of_weights"),
        cross_section_pb=stated.get("cross_section_pb"),
        cross_section_error_pb=stated.get("cross_section_error_pb"),
        program=program,
    )
    return ParquetFile(path=path, columns=tuple(schema.names), facts=facts)


def _stated(path: Path, text: bytes | None) -> tuple[Mapping[str, float], str | None]:
    """Return the numbers and the program that a generation stage stated."""
    if text is None:
        return {}, None
    try:
        body = json.loads(text)
    except ValueError as err:
        raise damaged(path, f"the metadata {METADATA_KEY.decode()!r} is not JSON: {err}") from err
    if not isinstance(body, dict):
        raise damaged(path, f"the metadata {METADATA_KEY.decode()!r} is not an object")
    numbers = {
        key: float(value)
        for key in ("cross_section_pb", "cross_section_error_pb", "sum_of_weights", "n_generated")
        if isinstance(value := body.get(key), int | float) and math.isfinite(value)
    }
    words = [str(body[key]) for key in ("program", "version") if key in body]
    return numbers, " ".join(words) or None
