"""All files of a sample, read in order through its selection."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from evercast.errors import IntegrityError, InvalidInput
from evercast.events.columns import read_scopes
from evercast.events.formats import EventSource, FileFacts, open_events
from evercast.events.identity import content_digest, file_identity
from evercast.events.inputs import input_file, parts_of
from evercast.events.selector import SelectedEvents, Selector
from evercast.spec.model import EventFile, Sample

__all__ = ["InputFile", "SampleEvents", "read_sample"]

_log = logging.getLogger(__name__)

_STEP: Final[Mapping[str, int]] = {"hepmc": 1000, "lhe": 5000}
_STEP_OTHERS: Final = 50_000
_STEP_JETS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file of a sample as it was read.

    Args:
        name: without folders.
        format: as its content shows.
        facts: what it states.
        n_events: events read.
        sum_of_weights: of the events read.
    """

    name: str
    format: str
    facts: FileFacts
    n_events: int
    sum_of_weights: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEvents:
    """The selected events of a sample with what was read for them."""

    selected: SelectedEvents
    files: tuple[InputFile, ...]

    @property
    def n_read(self) -> int:
        """Events read from all files."""
        return sum(file.n_events for file in self.files)

    @property
    def sum_read(self) -> float:
        """Sum of weights of all events read."""
        return sum(file.sum_of_weights for file in self.files)

    @property
    def sum_stated(self) -> float | None:
        """Sum of weights of all generated events as the files state it; None where one does not."""
        stated = [file.facts.sum_of_weights for file in self.files]
        return (
            None
            if any(value is None for value in stated)
            else float(sum(value for value in stated if value is not None))
        )

    @property
    def n_generated(self) -> int:
        """Events generated: as each file states, else those read from it."""
        return sum(file.n_events if file.facts.n_generated is None else file.facts.n_generated for file in self.files)

    @property
    def skimmed(self) -> tuple[InputFile, ...]:
        """Files that state more generated events than they hold."""
        return tuple(file for file in self.files if (file.facts.n_generated or 0) > file.n_events)

    @property
    def cross_section_stated(self) -> float | None:
        """Mean of the cross-sections in pb that the files state, by events; None where one does not."""
        stated = [(file.facts.cross_section_pb, file.n_events) for file in self.files]
        if not stated or any(value is None for value, _ in stated):
            return None
        total = sum(events for _, events in stated)
        return sum(value * events for value, events in stated if value is not None) / total


def read_sample(
    sample: Sample, selector: Selector, inputs: Mapping[str, Path], *, digests: Mapping[str, str]
) -> SampleEvents:
    """Return the selected events of all files, in the order of the document.

    Args:
        sample: of the document.
        selector: counts the cut flow.
        inputs: ``file_0``, ``file_1``... or ``file_0_0``... for parts.
        digests: input -> sha256 that the file must have.

    Raises:
        InvalidInput: ``sample.repeated-file``, or what is wrong with a file or with an expression.
        IntegrityError: ``sample.checksum``, or ``sample.changed`` where a file changes while it is read.
    """
    parts: list[SelectedEvents] = []
    files: list[InputFile] = []
    seen: dict[tuple[str, str | None], Path] = {}
    for entry, name, path in _paths(sample, inputs):
        digest = content_digest(path)
        _check_digest(path, digest, digests.get(name) or entry.sha256)
        files.append(_read_file(entry, path, selector, parts, digest=digest, seen=seen))
    return SampleEvents(selected=_joined(parts), files=tuple(files))


def _paths(sample: Sample, inputs: Mapping[str, Path]) -> Iterator[tuple[EventFile, str, Path]]:
    for position, entry in enumerate(sample.files):
        name = f"file_{position}"
        for path in parts_of(inputs, name):
            yield entry, name, input_file(path)


def _check_digest(path: Path, found: str, expected: str | None) -> None:
    if expected is not None and not path.is_dir() and found != expected:
        raise IntegrityError(
            f"the file has sha256 {found}; expected {expected}",
            code="sample.checksum",
            where=str(path),
            hint="restore the file, or plan again if it was meant to change",
        )


def _check_new(path: Path, identity: tuple[str, str | None], seen: dict[tuple[str, str | None], Path]) -> None:
    if identity in seen:
        raise InvalidInput(
            f"the sample reads the same events twice: this file has the content of {seen[identity]}",
            code="sample.repeated-file",
            where=str(path),
            hint="name each file once; to weigh its events up, declare it in the weight",
        )
    seen[identity] = path


def _read_file(
    entry: EventFile,
    path: Path,
    selector: Selector,
    parts: list[SelectedEvents],
    *,
    digest: str,
    seen: dict[tuple[str, str | None], Path],
) -> InputFile:
    verified = entry.path is None or entry.sha256 is not None
    source = open_events(path, format=entry.format, tree=entry.tree, verified=verified)
    before = _stamp(path)
    tree: str | None = getattr(source, "tree", None)  # only ROOT files have one
    _check_new(path, (digest, tree), seen)
    first = file_identity(digest, tree=tree)
    for remark in source.facts.remarks:
        _log.warning("%s: %s", path, remark)
    everything = selector.cut_flow.steps[0]
    events, weights = everything.events, everything.sum_of_weights
    step = min(_STEP.get(source.format, _STEP_OTHERS), _STEP_JETS if selector.makes_jets else _STEP_OTHERS)
    with tqdm(total=source.facts.n_events, unit="event", desc=path.name, disable=not sys.stderr.isatty()) as bar:
        for scope in read_scopes(source, selector.inputs(), entry.collections, step=step, first_event=first):
            parts.append(selector.select(scope))
            bar.update(len(scope))
    events, weights = everything.events - events, everything.sum_of_weights - weights
    _check_read(path, source, events, unchanged=_stamp(path) == before)
    return InputFile(name=path.name, format=source.format, facts=source.facts, n_events=events, sum_of_weights=weights)


def _check_read(path: Path, source: EventSource, events: int, *, unchanged: bool) -> None:
    if not unchanged:
        raise IntegrityError("the file changed while it was read", code="sample.changed", where=str(path))
    stated = source.facts.n_events
    if stated is not None and events != stated:
        raise InvalidInput(
            f"{events} events were read; the file states {stated}", code="sample.truncated", where=str(path)
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _joined(parts: list[SelectedEvents]) -> SelectedEvents:
    return SelectedEvents(
        observables=np.concatenate([part.observables for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        event=np.concatenate([part.event for part in parts]),
        regions=np.concatenate([part.regions for part in parts]),
    )
