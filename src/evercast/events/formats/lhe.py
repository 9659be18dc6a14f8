"""Les Houches event files (XML), read by pylhe after a scan of the text of our own.

The scan counts events, compares the number of particles of each with what it declares, wants the end tag, and refuses
document types and entities, because the reader itself would end silently or expand them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from xml.etree.ElementTree import ParseError

import awkward as ak
import numpy as np
import pylhe

from evercast.events.formats.base import (
    FileFacts,
    bounded_lines,
    chosen_columns,
    damaged,
    empty,
    open_text,
    truncated,
)
from evercast.events.formats.records import Batch, batch_array, weight_columns

__all__ = ["LheFile", "open_lhe"]

_MAX_PARTICLES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LheFile:
    """An LHE file: ``particles`` (status 1), ``record`` (every line), ``weight`` and the named weights."""

    path: Path
    columns: tuple[str, ...]
    weight_names: tuple[str, ...]
    facts: FileFacts
    format: Literal["lhe"] = "lhe"

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time.

        Raises:
            InvalidInput: ``sample.format`` with the event, or ``sample.truncated``.
        """
        chosen = chosen_columns(self.path, columns, self.columns)
        held: list[pylhe.LHEEvent] = []
        number = 0
        for number, event in enumerate(self._events(named=_wants_named(chosen)), start=1):
            held.append(event)
            if len(held) == step:
                yield self._array(held, chosen, number)
                held = []
        if held:
            yield self._array(held, chosen, number)
        if number != self.facts.n_events:
            raise truncated(self.path, f"{number} events were read; the file has {self.facts.n_events}")

    def _events(self, *, named: bool) -> Iterator[pylhe.LHEEvent]:
        """Yield the events; the named weights, which cost most of the time, only where they are wanted."""
        with open_text(self.path) as stream:
            events: Iterator[pylhe.LHEEvent] | None = None
            while True:
                try:
                    with warnings.catch_warnings():  # not around the yield, where it would hold for the caller too
                        warnings.simplefilter("error", RuntimeWarning)
                        if events is None:
                            events = iter(pylhe.LHEFile.frombuffer(stream, with_attributes=named).events)
                        event = next(events, None)
                except (ValueError, KeyError, IndexError, TypeError, ParseError, RuntimeWarning) as err:
                    raise damaged(self.path, f"pylhe cannot read the file: {err}") from err
                if event is None:
                    return
                yield event

    def _array(self, events: list[pylhe.LHEEvent], columns: Sequence[str], last: int) -> ak.Array:
        particles = [particle for event in events for particle in event.particles]
        expected = self.weight_names if _wants_named(columns) else ()
        for number, event in enumerate(events, start=last - len(events) + 1):
            if tuple(event.weights) != expected:
                raise damaged(self.path, f"event {number} has other weights than the first event")
        batch = Batch(
            count=np.array([len(event.particles) for event in events], dtype=np.int64),
            pdg=np.array([particle.id for particle in particles], dtype=np.int64),
            status=np.array([particle.status for particle in particles], dtype=np.int64),
            momentum=np.array([[p.px, p.py, p.pz, p.e] for p in particles], dtype=np.float64).reshape(-1, 4),
            weights=np.array([[e.eventinfo.weight, *e.weights.values()] for e in events], dtype=np.float64),
        )
        return batch_array(batch, ("weight", *weight_columns(self.weight_names)), columns)


def _wants_named(columns: Sequence[str]) -> bool:
    return not set(columns) <= {"particles", "record", "weight"}


def open_lhe(path: Path) -> LheFile:
    """Open an LHE file after a scan of its text.

    Raises:
        InvalidInput: ``sample.truncated``, ``sample.format`` or ``sample.empty``.
    """
    scan = _Scan(path)
    with open_text(path) as stream:
        for number, line in bounded_lines(path, stream):
            scan.line(number, line)
    scan.finish()
    reader = LheFile(path=path, columns=(), weight_names=(), facts=scan.facts())
    first = next(reader._events(named=True), None)
    if first is None:
        raise damaged(path, f"pylhe reads no events; the file has {scan.events}")
    names = tuple(first.weights)
    named = weight_columns(names)
    if len(set(named)) != len(named):
        raise damaged(path, f"two weights have the same name: {', '.join(names)}")
    columns = ("particles", "record", "weight", *named)
    return LheFile(path=path, columns=columns, weight_names=names, facts=scan.facts())


class _Scan:
    """Line by line through the text of an LHE file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = 0
        self.cross_sections: list[tuple[float, float]] = []
        self._ended = False
        self._place: Literal["outside", "init", "start", "particles", "rest"] = "outside"
        self._left = 0
        self._processes: int | None = None

    def line(self, number: int, line: bytes) -> None:
        """Take one line.

        Raises:
            InvalidInput: ``sample.format``.
        """
        if b"<!DOCTYPE" in line or b"<!ENTITY" in line:
            raise damaged(self.path, f"line {number}: document types and entities are refused")
        text = line.strip()
        if text.startswith(b"<"):
            self._tag(number, text)
        elif self._ended and text:
            raise damaged(self.path, f"line {number}: text after the end tag; are these two files in one?")
        elif text and not text.startswith(b"#"):
            self._content(number, text)

    def _tag(self, number: int, text: bytes) -> None:
        if self._ended:
            raise damaged(self.path, f"line {number}: a tag after the end tag; are these two files in one?")
        self._leave_particles(number)
        if text.startswith((b"<event>", b"<event ")):
            if self._place not in ("outside",):
                raise damaged(self.path, f"line {number}: event {self.events + 1} starts inside another element")
            self._place = "start"
        elif text.startswith(b"</event>"):
            if self._place != "rest":
                raise damaged(self.path, f"line {number}: event {self.events + 1} ends without content")
            self.events += 1
            self._place = "outside"
        elif text.startswith((b"<init>", b"<init ")):
            self._place = "init"
        elif text.startswith(b"</init>"):
            self._place = "outside"
        elif text.startswith(b"</LesHouchesEvents>"):
            self._ended = True

    def _leave_particles(self, number: int) -> None:
        if self._place == "particles" and self._left:
            raise damaged(
                self.path, f"line {number}: event {self.events + 1} has {self._left} particles fewer than it declares"
            )
        if self._place == "particles":
            self._place = "rest"

    def _content(self, number: int, text: bytes) -> None:
        if self._place == "init":
            self._init(number, text)
        elif self._place == "start":
            self._left = int(_numbers(self.path, number, text, 6)[0])
            if not 0 < self._left <= _MAX_PARTICLES:
                raise damaged(self.path, f"line {number}: event {self.events + 1} declares {self._left} particles")
            self._place = "particles"
        elif self._place == "particles":
            if self._left == 0:
                raise damaged(self.path, f"line {number}: event {self.events + 1} has more particles than it declares")
            _numbers(self.path, number, text, 13)
            self._left -= 1

    def _init(self, number: int, text: bytes) -> None:
        if self._processes is None:
            self._processes = int(_numbers(self.path, number, text, 10)[9])
        elif len(self.cross_sections) < self._processes:
            values = _numbers(self.path, number, text, 4)
            self.cross_sections.append((values[0], values[1]))

    def finish(self) -> None:
        """Take the end of the file.

        Raises:
            InvalidInput: ``sample.truncated`` or ``sample.empty``.
        """
        if not self._ended:
            raise truncated(self.path, f"the file ends after event {self.events} without </LesHouchesEvents>")
        if self.events == 0:
            raise empty(self.path)

    def facts(self) -> FileFacts:
        """Return what the file states."""
        known = bool(self.cross_sections)
        return FileFacts(
            n_events=self.events,
            cross_section_pb=math.fsum(value for value, _ in self.cross_sections) if known else None,
            cross_section_error_pb=math.hypot(*(error for _, error in self.cross_sections)) if known else None,
        )


def _numbers(path: Path, number: int, text: bytes, least: int) -> list[float]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError as err:
        raise damaged(path, f"line {number}: not a number: {text[:60]!r}") from err
    if len(values) < least:
        raise damaged(path, f"line {number}: {len(values)} numbers; expected {least}")
    return values
