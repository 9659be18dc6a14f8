"""What every reader of event files has in common: its interface, the facts a file states, damage and compression."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import awkward as ak

from evercast.errors import EnvironmentUnfit, InvalidInput

__all__ = [
    "EventSource",
    "FileFacts",
    "FormatName",
    "bounded_lines",
    "chosen_columns",
    "damaged",
    "empty",
    "is_gzip",
    "open_text",
    "stream_errors",
    "truncated",
]

FormatName = Literal["root", "parquet", "csv", "hepmc", "lhe", "zarr"]

_MAX_LINE: Final = 1 << 22
_MAX_RATIO: Final = 400
_RATIO_FROM: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a file says about itself; None where it does not say.

    Args:
        n_events: events in the file.
        n_generated: events generated to make it, also those that were not kept.
        sum_of_weights: over the generated events.
        cross_section_pb: in pb.
        cross_section_error_pb: its uncertainty in pb.
        program: what made it.
        remarks: what a reader should know, one sentence each.
    """

    n_events: int | None = None
    n_generated: int | None = None
    sum_of_weights: float | None = None
    cross_section_pb: float | None = None
    cross_section_error_pb: float | None = None
    program: str | None = None
    remarks: tuple[str, ...] = ()


@runtime_checkable
@runtime_checkable
class EventSource(Protocol):
    """An opened event file."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def format(self) -> FormatName:
        """Its format, as its content shows."""

    @property
    def facts(self) -> FileFacts:
        """What it says about itself."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns and collections."""

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns (default: all), `step` events at a time; damage raises, it never ends early."""


def chosen_columns(path: Path, columns: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to read, without repetition.

    Raises:
        InvalidInput: ``sample.column``, one of them is not in the file.
    """
    if columns is None:
        return tuple(there)
    missing = [name for name in columns if name not in there]
    if missing:
        shown = ", ".join(there[:40]) + (f" and {len(there) - 40} more" if len(there) > 40 else "")
        raise InvalidInput(
            f"there is no column {missing[0]!r}; the file has: {shown or 'none'}", code="sample.column", where=str(path)
        )
    return tuple(dict.fromkeys(columns))


def truncated(path: Path, problem: str) -> InvalidInput:
    """Return the error for a file that ends too early."""
    return InvalidInput(problem, code="sample.truncated", where=str(path), hint="fetch or make the file again")


def damaged(path: Path, problem: str) -> InvalidInput:
    """Return the error for a file that is not what its format demands."""
    return InvalidInput(problem, code="sample.format", where=str(path), hint="fetch or make the file again")


def empty(path: Path, problem: str = "the file holds no events") -> InvalidInput:
    """Return the error for a file without events."""
    return InvalidInput(problem, code="sample.empty", where=str(path))


@contextmanager
def stream_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading bytes from `path` into errors that name it.

    Raises:
        InvalidInput: ``sample.truncated`` or ``sample.format`` (a gzip stream that ends early or is damaged),
            ``sample.missing``.
        EnvironmentUnfit: ``file.unreadable``.
    """
    try:
        yield
    except EOFError as err:
        raise truncated(path, "the gzip stream ends before its end marker") from err
    except (gzip.BadGzipFile, zlib.error) as err:
        raise damaged(path, f"the gzip stream is damaged: {err}") from err
    except FileNotFoundError as err:
        raise InvalidInput("there is no such file", code="sample.missing", where=str(path)) from err
    except PermissionError as err:
        raise EnvironmentUnfit(
            "the file cannot be read: no permission", code="file.unreadable", where=str(path)
        ) from err


def is_gzip(path: Path) -> bool:
    """Return whether the file starts with the mark of gzip."""
    with stream_errors(path), path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


class _Guarded(io.RawIOBase):
    """A decompressed stream whose errors name the file and which refuses to grow without end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packed = path.stat().st_size
        self._stream = gzip.GzipFile(path, "rb")
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with stream_errors(self._path):
            content = self._stream.read(len(buffer))
        self._total += len(content)
        if self._total > _RATIO_FROM and self._total > _MAX_RATIO * self._packed:
            raise InvalidInput(
                f"the gzip stream unpacks to more than {_MAX_RATIO} times its size",
                code="sample.limit",
                where=str(self._path),
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


@contextmanager
def open_text(path: Path) -> Iterator[io.BufferedReader]:
    """Open a text file, also a gzipped one, as a stream of bytes.

    Raises:
        InvalidInput: as `stream_errors`, also while reading; ``sample.limit`` for a stream that unpacks without end.
    """
    packed = is_gzip(path)
    with stream_errors(path):
        stream: io.BufferedReader = io.BufferedReader(_Guarded(path), 1 << 18) if packed else path.open("rb")
    with stream:
        yield stream


def bounded_lines(path: Path, stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Yield line numbers from 1 and lines with their line end.

    Raises:
        InvalidInput: ``sample.format``, a line longer than 4 MiB.
    """
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            raise damaged(path, f"line {number} is longer than {_MAX_LINE} bytes")
        yield number, line
