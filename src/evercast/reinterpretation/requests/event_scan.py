"""One file of events read as a whole, for what a request must know of it before anything is run.

It runs in a process of its own with bounded memory (`event_worker`), since the file is a stranger's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import awkward as ak
import numpy as np
from jaxtyping import Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.columns import read_scopes
from evercast.events.evaluate import Scope
from evercast.events.formats import EventSource, open_events
from evercast.reinterpretation.requests.event_headers import stated_beams
from evercast.reinterpretation.requests.model import SampleFile

__all__ = ["ScannedFile", "scan_file"]

_STEP: Final = {"hepmc": 1000, "lhe": 5000}
_STEP_OTHERS: Final = 20_000
_NOMINAL: Final = frozenset({"nominal", "default", "weight", "central"})
_RECORDS: Final = ("hepmc", "lhe")
_SUSPECT: Final = frozenset({"weight", "weights", "event_weight", "eventweight", "mc_weight", "mcweight", "genweight"})
"""Names of columns that look like a weight, so that one that is not declared is asked about."""
_MIX: Final = 0x9E3779B97F4A7C15
_ALL: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedFile:
    """What a file of events holds and states.

    Args:
        format: as its content shows.
        events: that were read.
        weight: column of the nominal weight; None where events have none.
        sum_of_weights, sum_of_squares: of that weight.
        largest_weight: in size.
        all_one: whether every weight is exactly 1.
        columns: of the file.
        codes: PDG code -> particles of the final state that have it; empty where there is no such column.
        largest_energy_gev: largest total energy of the final state of an event; None without particles.
        identical: events that are as one before them in this file, without their weights.
        continuous: whether a column has values that are no integers, so that two events cannot be equal by chance.
        cross_section_pb, cross_section_error_pb: that it states; None where it does not.
        generated: events generated to make it, that it states.
        beams: PDG codes that it states; empty where it does not.
        sqrt_s_tev: likewise.
    """

    format: str
    events: int
    weight: str | None
    sum_of_weights: float
    sum_of_squares: float
    largest_weight: float
    all_one: bool
    columns: tuple[str, ...]
    codes: Mapping[str, int] = field(default_factory=dict)
    largest_energy_gev: float | None = None
    identical: int = 0
    continuous: bool = False
    cross_section_pb: float | None = None
    cross_section_error_pb: float | None = None
    generated: int | None = None
    beams: tuple[int, ...] = ()
    sqrt_s_tev: float | None = None


def scan_file(
    path: Path, stated: SampleFile, *, weight: str | None, wanted: Sequence[str], seen: set[int]
) -> ScannedFile:
    """Read a file of events and return what it holds.

    Args:
        path: where it lies.
        stated: what the request says of it.
        weight: name of the nominal weight, or of its column; None where the request does not say.
        wanted: columns and collections that the selection reads.
        seen: fingerprints of the events of the files before it; those of this one are added.

    Raises:
        InvalidInput: what is wrong with the file; ``request.nominal-weight``.
    """
    source = open_events(path, format=stated.format, tree=stated.tree, verified=True)
    column = _weight_column(source, weight)
    watched = column or next((name for name in source.columns if name.lower() in _SUSPECT), None)
    names = tuple(dict.fromkeys((*wanted, *(() if watched is None else (watched,)))))
    step = _STEP.get(source.format, _STEP_OTHERS)
    counts = _Counts(weight=watched, seen=seen)
    for scope in read_scopes(source, names, stated.collections, step=step, first_event=0):
        counts.add(scope)
    beams, facts = stated_beams(path, format=source.format), source.facts
    known = facts.cross_section_pb is not None and facts.cross_section_pb > 0  # 0 is written where none was computed
    return ScannedFile(
        format=source.format, events=counts.events, weight=watched, sum_of_weights=math.fsum(counts.sums),
        sum_of_squares=math.fsum(counts.squares), largest_weight=counts.largest, all_one=counts.all_one,
        columns=source.columns[:1000], codes={str(code): number for code, number in counts.codes.items()},
        largest_energy_gev=counts.energy, identical=counts.identical, continuous=counts.continuous,
        cross_section_pb=facts.cross_section_pb if known else None,
        cross_section_error_pb=facts.cross_section_error_pb if known else None, generated=facts.n_generated,
        beams=() if beams is None else beams.pdg, sqrt_s_tev=None if beams is None else beams.sqrt_s_tev,
    )  # fmt: skip


def _weight_column(source: EventSource, named: str | None) -> str | None:
    """Return the column of the nominal weight.

    Raises:
        InvalidInput: ``request.nominal-weight``: there are several, and none is known to be it, or no such one.
    """
    if source.format not in _RECORDS:
        if named is not None and named not in source.columns:
            raise _no_weight(source, named, source.columns)
        return named
    names: tuple[str, ...] = getattr(source, "weight_names", ())
    columns = tuple(name for name in source.columns if name.startswith("weight_"))
    by_name = dict(zip(names, columns, strict=False))
    if named is not None:
        if named in by_name or named in source.columns:
            return by_name.get(named, named)
        raise _no_weight(source, named, names or columns)
    if source.format == "lhe" or len(names) <= 1:
        return "weight"  # of LHE the weight of the event itself, whatever others are listed
    nominal = [name for name in names if name.strip().lower() in _NOMINAL]
    if len(nominal) != 1:
        some = ", ".join(names[:8])
        message = f"the file has {len(names)} weights, and none of them alone is named as the nominal one: {some}"
        raise InvalidInput(
            message, code="request.nominal-weight", where=source.path.name, hint="say which: events: {weight: NAME}"
        )
    return by_name[nominal[0]]


def _no_weight(source: EventSource, named: str, there: Sequence[str]) -> InvalidInput:
    some = ", ".join(there[:20]) or "none"
    message = f"there is no weight {named!r}; the file has: {some}"
    return InvalidInput(message, code="request.nominal-weight", where=source.path.name)


class _Counts:
    """Counts what chunks of events hold."""

    def __init__(self, *, weight: str | None, seen: set[int]) -> None:
        self.events = 0
        self.sums: list[float] = []
        self.squares: list[float] = []
        self.largest = 0.0
        self.all_one = True
        self.codes: dict[int, int] = {}
        self.energy: float | None = None
        self.identical = 0
        self.continuous = False
        self._weight = weight
        self._seen = seen

    def add(self, scope: Scope) -> None:
        """Count a chunk."""
        self.events += len(scope)
        weight = np.ones(len(scope)) if self._weight is None else _numbers(scope.values[self._weight])
        self.sums.append(float(weight.sum()))
        self.squares.append(float((weight**2).sum()))
        self.largest = max(self.largest, float(np.abs(weight).max(initial=0.0)))
        self.all_one = self.all_one and bool((weight == 1.0).all())
        particles = scope.values.get("particles")
        if particles is not None and "pdg" in particles.fields:
            self._add_particles(particles)
        self._add_fingerprints(scope)

    def _add_particles(self, particles: ak.Array) -> None:
        codes, numbers = np.unique(ak.to_numpy(ak.flatten(particles["pdg"])), return_counts=True)
        for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
            self.codes[int(code)] = self.codes.get(int(code), 0) + int(number)
        if len(particles):
            self.energy = max(self.energy or 0.0, float(ak.max(ak.sum(particles.energy, axis=1))))

    def _add_fingerprints(self, scope: Scope) -> None:
        values = [
            value for name, value in scope.values.items() if not name.startswith("weight") and name != self._weight
        ]
        if not values:
            return
        prints = np.zeros(len(scope), dtype=np.uint64)
        for number, flat, counts in _columns(values):
            self.continuous = self.continuous or bool((flat != np.floor(flat)).any())
            bits = _mixed((flat + 0.0).view(np.uint64) ^ np.uint64(_MIX * (number + 1) & _ALL))
            prints = _mixed(prints ^ (bits if counts is None else _sums(bits, counts)))
        for one in prints.tolist():
            if one in self._seen:
                self.identical += 1
            else:
                self._seen.add(one)


def _columns(values: Sequence[ak.Array]) -> Iterator[tuple[int, Float64[np.ndarray, " items"], np.ndarray | None]]:
    """Yield number, values and, of a collection, items of each event, for every column and every property."""
    parts = [value[name] if name else value for value in values for name in (value.fields or [""])]
    for number, part in enumerate(parts):
        if part.ndim == 1:
            yield number, _numbers(part), None
        elif part.ndim == 2:
            yield number, _numbers(ak.flatten(part)), ak.to_numpy(ak.num(part, axis=1))


def _numbers(column: ak.Array) -> Float64[np.ndarray, " items"]:
    return np.ascontiguousarray(ak.to_numpy(column), dtype=np.float64)


def _mixed(bits: UInt64[np.ndarray, " items"]) -> UInt64[np.ndarray, " items"]:
    """Return the bits spread over all 64 (the finaliser of splitmix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: UInt64[np.ndarray, " items"] = bits ^ (bits >> np.uint64(31))
    return spread


def _sums(bits: UInt64[np.ndarray, " items"], counts: np.ndarray) -> UInt64[np.ndarray, " events"]:
    """Return the sum over the items of each event, modulo 2**64."""
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(bits, dtype=np.uint64)])
    ends = np.cumsum(counts)
    found: UInt64[np.ndarray, " events"] = total[ends] - total[ends - counts]
    return found
