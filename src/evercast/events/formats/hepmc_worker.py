"""The process that reads a HepMC file with the library; it runs alone, so that a crash of the library is only its own.

Usage: ``python -I hepmc_worker.py PATH VERSION BATCH [history]``; it imports nothing of evercast, so that it starts
quickly. Each batch goes to standard output as its length (8 bytes, little endian) and an npz archive; a batch of length
0 is the end. With ``history`` all particles are written, each with its first mother, else those of the final state.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyhepmc

__all__ = ["main"]


def main(path: Path, version: str, batch: int, out: BinaryIO, *, history: bool = False) -> None:
    """Write the particles and the weights of every event of `path` to `out`."""
    with path.open("rb") as head:
        packed = head.read(2) == b"\x1f\x8b"
    with (
        gzip.GzipFile(path, "rb") if packed else path.open("rb") as stream,
        pyhepmc.io.HepMCFile(stream, "r", format=version) as reader,
    ):
        events = iter(reader)
        while chunk := list(islice(_rows(events, history=history), batch)):
            _write(out, chunk)
    out.write((0).to_bytes(8, "little"))
    out.flush()


def _rows(events: Iterator[pyhepmc.GenEvent], *, history: bool) -> Iterator[dict[str, np.ndarray]]:
    for event in events:
        particles = event.numpy.particles
        kept = np.ones(len(particles.status), dtype=np.bool_) if history else particles.status == 1
        scale = 1e-3 if event.momentum_unit == pyhepmc.Units.MEV else 1.0
        momentum = np.column_stack([particles.px, particles.py, particles.pz, particles.e])[kept] * scale
        yield {
            "pdg": np.asarray(particles.pid)[kept].astype(np.int64),
            "status": np.asarray(particles.status)[kept].astype(np.int64),
            "mother": _mothers(event, len(kept)) if history else np.zeros(0, dtype=np.int64),
            "momentum": momentum.astype(np.float64),
            "weights": np.asarray(event.weights or [1.0], dtype=np.float64),
            "names": np.array(_weight_names(event), dtype=np.str_),
        }


def _mothers(event: pyhepmc.GenEvent, count: int) -> np.ndarray:
    """Return the place of the first mother of each particle, -1 without one."""
    mother = np.full(count, -1, dtype=np.int64)
    for vertex in event.vertices:
        before = vertex.particles_in
        if before:
            mother[[particle.id - 1 for particle in vertex.particles_out]] = before[0].id - 1
    return mother


def _weight_names(event: pyhepmc.GenEvent) -> list[str]:
    try:
        return list(event.weight_names)
    except RuntimeError:
        return []


def _write(out: BinaryIO, rows: list[dict[str, np.ndarray]]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        count=np.array([len(row["pdg"]) for row in rows], dtype=np.int64),
        pdg=np.concatenate([row["pdg"] for row in rows]),
        status=np.concatenate([row["status"] for row in rows]),
        mother=np.concatenate([row["mother"] for row in rows]),
        momentum=np.concatenate([row["momentum"] for row in rows]),
        weight_count=np.array([len(row["weights"]) for row in rows], dtype=np.int64),
        weights=np.concatenate([row["weights"] for row in rows]),
        names=rows[0]["names"],
    )
    content = buffer.getvalue()
    out.write(len(content).to_bytes(8, "little") + content)


if __name__ == "__main__":
    # The library prints warnings to standard output: they go to standard error, the events alone to where it led.
    with os.fdopen(os.dup(1), "wb") as events_out:
        os.dup2(2, 1)
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), events_out, history="history" in sys.argv[4:])
