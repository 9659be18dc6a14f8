"""A signal of events as it is declared to the engine: a sample, and what its files and its card are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from evercast.artifacts.files import canonical_json
from evercast.spec.codec import to_json
from evercast.spec.model import Generator, Sample

__all__ = ["DeclaredSignal", "InputFile", "generator_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file of a signal: as the request names it, and where the run finds it.

    Args:
        place: in the folder of the derived run.
        path, sha256, size_bytes, events, format: as it was read; 0 and ``slha`` for a card.
    """

    place: str
    path: str
    sha256: str
    size_bytes: int
    events: int = 0
    format: str = "slha"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSignal:
    """A signal of events that was checked.

    Args:
        sample: its name in the derived document, after its content.
        body: the sample.
        generator: that makes its events; None for files.
        inputs: its files.
        cross_section_pb: with all factors.
        systematic: relative, of all selected events.
        file_cross_section_pb: what the files say; None for a card, and where they say nothing.
        effective_events: of those before any cut; None for a card.
        remarks: for people.
    """

    sample: str
    body: Sample
    generator: Generator | None = None
    inputs: tuple[InputFile, ...] = ()
    cross_section_pb: float
    systematic: float = 0.0
    file_cross_section_pb: float | None = None
    effective_events: float | None = None
    remarks: tuple[str, ...] = field(default=())

    def key(self, **beside: object) -> str:
        """Return the digest of the signal and of what else its selected events depend on."""
        body = {"kind": "signal/1.0.0", "signal": to_json(self), **beside}
        return hashlib.sha256(canonical_json(body)).hexdigest()


def generator_name(generator: Generator) -> str:
    """Return a name after the content of a card, so that another cross-section makes no other events."""
    return f"events_{hashlib.sha256(canonical_json(to_json(generator))).hexdigest()[:16]}"
