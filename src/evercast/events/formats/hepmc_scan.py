"""A scan of the text of a HepMC file, before the library sees it.

The library ends silently at damage and crashes on a reference to a vertex that is not there. So every event is
counted here, its particles and vertices are compared with what it declares, and every reference is followed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from evercast.errors import InvalidInput
from evercast.events.formats.base import FileFacts, bounded_lines, damaged, empty, open_text, truncated

__all__ = ["HepmcScan", "Version", "scan_hepmc"]

Version = Literal["hepmc2", "hepmc3"]

_LISTINGS: Final[dict[bytes, Version]] = {
    b"HepMC::Asciiv3-START_EVENT_LISTING": "hepmc3",
    b"HepMC::IO_GenEvent-START_EVENT_LISTING": "hepmc2",
}
_ENDS: Final[dict[Version, bytes]] = {
    "hepmc3": b"HepMC::Asciiv3-END_EVENT_LISTING",
    "hepmc2": b"HepMC::IO_GenEvent-END_EVENT_LISTING",
}


def scan_hepmc(path: Path) -> HepmcScan:
    """Return what a scan of the whole file found.

    Raises:
        InvalidInput: ``sample.truncated``, ``sample.format`` or ``sample.empty``, with the line and the event.
    """
    scan = HepmcScan(path)
    with open_text(path) as stream:
        for number, line in bounded_lines(path, stream):
            scan.line(number, line.rstrip())
    scan.finish()
    return scan


class HepmcScan:
    """Line by line through the text of a HepMC file; `finish` ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version: Version = "hepmc3"
        self.events = 0
        self.cross_section: tuple[float, float] | None = None
        self._started = False
        self._ended = False
        self._in_event = False
        self._declared_particles = 0
        self._declared_vertices = 0
        self._particles = 0
        self._vertices: set[int] = set()
        self._wanted: set[int] = set()
        self._units = True

    def line(self, number: int, line: bytes) -> None:
        """Take one line.

        Raises:
            InvalidInput: ``sample.format``.
        """
        if line.startswith(b"HepMC::"):
            self._mark(number, line)
            return
        if not line:
            return
        if not self._started or self._ended:
            raise damaged(self.path, f"line {number}: text outside of the event listing: {line[:40]!r}")
        kind, _, rest = line.partition(b" ")
        try:
            self._record(number, kind, rest)
        except (ValueError, IndexError) as err:
            raise damaged(self.path, f"line {number} (event {self.events}): cannot be read: {line[:60]!r}") from err

    def _mark(self, number: int, line: bytes) -> None:
        if line in _LISTINGS:
            if self._started:
                raise damaged(self.path, f"line {number}: a second event listing starts; are these two files in one?")
            self.version, self._started = _LISTINGS[line], True
        elif self._started and line == _ENDS[self.version]:
            self._close_event(number)
            self._ended = True
        elif not line.startswith((b"HepMC::Version", b"HepMC::Ascii", b"HepMC::IO_GenEvent")):
            raise damaged(self.path, f"line {number}: {line[:60]!r} is not a mark of HepMC2 or HepMC3")

    def _record(self, number: int, kind: bytes, rest: bytes) -> None:
        if kind == b"E":
            self._close_event(number)
            self._open_event(rest.split())
        elif kind in (b"P", b"V") and not self._in_event:
            raise damaged(self.path, f"line {number}: a particle or vertex outside of an event")
        elif kind == b"P":
            self._particle(number, rest.split())
        elif kind == b"V":
            self._vertex(number, rest)
        elif kind == b"C" or (kind == b"A" and b"GenCrossSection" in rest):
            values = rest.replace(b"GenCrossSection", b"").split()
            start = 0 if kind == b"C" else 1
            self.cross_section = (float(values[start]), float(values[start + 1]))
        elif len(kind) != 1 and self.version == "hepmc2":
            raise damaged(self.path, f"line {number}: {kind[:20]!r} is not a record of HepMC2")

    def _open_event(self, words: list[bytes]) -> None:
        self.events += 1
        self._in_event = True
        self._vertices, self._wanted, self._particles = set(), set(), 0
        if self.version == "hepmc3":
            self._declared_vertices, self._declared_particles = int(words[1]), int(words[2])
        else:
            self._declared_vertices, self._declared_particles = int(words[7]), 0

    def _particle(self, number: int, words: list[bytes]) -> None:
        self._particles += 1
        for word in words[3:8] if self.version == "hepmc3" else words[2:7]:
            float(word)
        if self.version == "hepmc2":
            if len(words) < 12:
                raise ValueError(f"{len(words)} fields")
            int(words[1]), int(words[7])
            if int(words[10]):
                self._wanted.add(int(words[10]))
            return
        int(words[2]), int(words[8])
        identity, parent = int(words[0]), int(words[1])
        if identity != self._particles or not (parent in self._vertices or 0 <= parent < identity):
            raise damaged(
                self.path,
                f"line {number}: event {self.events}: particle {identity} refers to {parent}, which is not there",
            )

    def _vertex(self, number: int, rest: bytes) -> None:
        words = rest.split()
        identity = int(words[0])
        if identity >= 0 or identity in self._vertices:
            raise damaged(self.path, f"line {number}: event {self.events}: vertex {identity} is no new negative number")
        self._vertices.add(identity)
        if self.version == "hepmc2":
            self._declared_particles += int(words[6]) + int(words[7])
            return
        incoming = re.fullmatch(rb"-?\d+ -?\d+ \[([\d,]*)\](?: @.*)?", rest)
        if incoming is None:
            raise damaged(self.path, f"line {number}: event {self.events}: the vertex cannot be read: {rest[:60]!r}")
        for word in filter(None, incoming[1].split(b",")):
            if not 0 < int(word) <= self._particles:
                raise damaged(
                    self.path,
                    f"line {number}: event {self.events}: vertex {identity} refers to particle {int(word)}, "
                    "which is not there",
                )

    def _close_event(self, number: int) -> None:
        if not self._in_event:
            return
        self._in_event = False
        few = self._particles < self._declared_particles
        if self._particles != self._declared_particles or len(self._vertices) > self._declared_vertices:
            raise damaged(
                self.path,
                f"line {number}: event {self.events} has {self._particles} particles and {len(self._vertices)} "
                f"vertices; it declares {self._declared_particles} and {self._declared_vertices}"
                + ("; the file may be cut" if few else ""),
            )
        if dangling := self._wanted - self._vertices:
            raise damaged(
                self.path, f"event {self.events}: particles end in vertex {min(dangling)}, which is not there"
            )
        if self._particles == 0:
            raise damaged(self.path, f"line {number}: event {self.events} has no particles")

    def finish(self) -> None:
        """Take the end of the file.

        Raises:
            InvalidInput: ``sample.format`` (no listing), ``sample.truncated`` (no end), ``sample.empty``.
        """
        if not self._started:
            raise damaged(self.path, "no event listing of HepMC2 or HepMC3 starts in the file")
        if not self._ended:
            raise self._cut()
        if self.events == 0:
            raise empty(self.path)

    def _cut(self) -> InvalidInput:
        end = _ENDS[self.version].decode()
        return truncated(self.path, f"the file ends in or after event {self.events} without {end}")

    def facts(self) -> FileFacts:
        """Return what the file states."""
        value, error = self.cross_section or (None, None)
        return FileFacts(n_events=self.events, cross_section_pb=value, cross_section_error_pb=error)
