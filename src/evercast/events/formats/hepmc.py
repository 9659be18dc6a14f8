"""HepMC2 and HepMC3 text files, read by pyhepmc in a process of its own after a scan of the text."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

import awkward as ak
import numpy as np

from evercast.errors import InvalidInput
from evercast.events.formats.base import FileFacts, chosen_columns, damaged, truncated
from evercast.events.formats.hepmc_scan import Version, scan_hepmc
from evercast.events.formats.records import Batch, batch_array, weight_columns
from evercast.events.truth import TRUTH_COLUMNS, has_history, no_heavy_flavour

__all__ = ["HepmcFile", "open_hepmc", "read_batches"]


_MAX_FRAME: Final = 1 << 32
_WORKER: Final = Path(__file__).with_name("hepmc_worker.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class HepmcFile:
    """A HepMC file: ``particles`` (status 1), ``weight`` (the first one), the named weights, and the history.

    The history is read on demand alone: to follow it takes time, and not every file has one.
    """

    path: Path
    version: Version
    columns: tuple[str, ...]
    weight_names: tuple[str, ...]
    facts: FileFacts
    format: Literal["hepmc"] = "hepmc"
    on_demand: tuple[str, ...] = tuple(TRUTH_COLUMNS)

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time.

        Raises:
            InvalidInput: ``sample.format``, ``sample.truncated``, or ``sample.no-b-hadrons`` where the history is
                chosen and the whole file has none.
        """
        there = self.columns if columns is None else (*self.columns, *self.on_demand)
        chosen = chosen_columns(self.path, columns, there)
        wanted = [name for name in chosen if name in TRUTH_COLUMNS]
        number, found = 0, not wanted
        for batch, names in read_batches(self.path, self.version, step, history=bool(wanted)):
            number += len(batch)
            found = found or has_history(batch.record())
            if names != self.weight_names:
                raise damaged(self.path, f"the names of the weights change before event {number}")
            yield batch_array(batch, weight_columns(names), chosen)
        if number != self.facts.n_events:
            raise truncated(self.path, f"pyhepmc reads {number} events; the file has {self.facts.n_events}")
        if not found:
            raise no_heavy_flavour(str(self.path), wanted[0])


def open_hepmc(path: Path) -> HepmcFile:
    """Open a HepMC file after a scan of its text.

    Raises:
        InvalidInput: ``sample.truncated``, ``sample.format`` or ``sample.empty``.
    """
    scan = scan_hepmc(path)
    facts = scan.facts()
    first = read_batches(path, scan.version, 1)
    try:
        _, names = next(first)
    except StopIteration:
        raise truncated(path, f"pyhepmc reads no events; the file has {facts.n_events}") from None
    finally:
        first.close()
    named = weight_columns(names)
    if len(set(named)) != len(named):
        raise damaged(path, f"two weights have the same name: {', '.join(names)}")
    columns = ("particles", "weight", *named)
    return HepmcFile(path=path, version=scan.version, columns=columns, weight_names=names, facts=facts)


def read_batches(
    path: Path, version: Version, step: int, *, history: bool = False
) -> Generator[tuple[Batch, tuple[str, ...]], None, None]:
    """Yield batches of `step` events and the names of their weights, as the library reads them in a process of its own.

    Raises:
        InvalidInput: ``sample.format``, the library cannot read the file or crashes on it.
    """
    # Isolated (-I): the folder of the worker, with modules named as in the standard library, is not on the path.
    command = [
        sys.executable,
        "-I",
        str(_WORKER),
        str(path.resolve()),
        version,
        str(step),
        *(["history"] if history else []),
    ]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process,  # noqa: S603 - our own
    ):
        try:
            while (content := _frame(process.stdout)) is not None:
                if not content:
                    return
                yield _unpacked(path, content, history=history)
            code = process.wait()
            complaints.seek(0)
            raise _died(path, code, complaints.read()[-10_000:])
        finally:
            process.kill()


def _frame(stream: IO[bytes] | None) -> bytes | None:
    """Return the next batch, empty at the end, or None where the process ended before it said so."""
    if stream is None:
        return None
    head = stream.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > _MAX_FRAME:
        return None
    content = stream.read(length)
    return content if len(content) == length else None


def _unpacked(path: Path, content: bytes, *, history: bool) -> tuple[Batch, tuple[str, ...]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        count, weight_count = arrays["count"], arrays["weight_count"]
        if (weight_count != weight_count[0]).any():
            raise damaged(path, "events have different numbers of weights")
        pdg, names = arrays["pdg"], arrays["names"]
        if len(names) not in (0, weight_count[0]):
            raise damaged(path, f"an event has {weight_count[0]} weights and {len(names)} names of weights")
        batch = Batch(
            count=count,
            pdg=pdg,
            status=arrays["status"],
            momentum=arrays["momentum"].reshape(-1, 4),
            weights=arrays["weights"].reshape(len(count), -1),
            mother=arrays["mother"] if history else None,
        )
        return batch, tuple(str(name) for name in names)


def _died(path: Path, code: int, complaint: bytes) -> InvalidInput:
    if code < 0:
        return damaged(path, f"the HepMC library crashed on the file ({signal.Signals(-code).name})")
    last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    return damaged(path, f"the HepMC library cannot read the file: {last[0][:300]}")
