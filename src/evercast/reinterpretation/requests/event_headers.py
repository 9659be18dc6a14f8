"""The beams that a file of events states: in the init block of LHE, and as the incoming particles of HepMC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.events.formats.base import bounded_lines, open_text

__all__ = ["Beams", "stated_beams"]

_INCOMING: Final = b"4"
_MOST_LINES: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Beams:
    """Two beams as a file states them.

    Args:
        pdg: of both, the smaller number first.
        sqrt_s_tev: centre-of-mass energy of both, TeV.
    """

    pdg: tuple[int, int]
    sqrt_s_tev: float


def stated_beams(path: Path, *, format: str) -> Beams | None:  # noqa: A002 - as in the document
    """Return the beams that an LHE or HepMC file states, of its first event; None where it does not say.

    The file was read as a whole before, so what cannot be understood here is no damage: it counts as not said.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        return _lhe(path) if format == "lhe" else _hepmc(path) if format == "hepmc" else None
    except (ValueError, IndexError):
        return None


def _lhe(path: Path) -> Beams | None:
    inside = False
    with open_text(path) as stream:
        for _, line in bounded_lines(path, stream):
            text = line.strip()
            if text.startswith((b"<init>", b"<init ")):
                inside = True
            elif text.startswith((b"</init", b"<event")):
                return None
            elif inside and text and not text.startswith(b"#"):
                words = text.split()
                energies = abs(float(words[2])), abs(float(words[3]))
                return _beams((int(words[0]), int(words[1])), 2.0 * math.sqrt(energies[0] * energies[1]))
    return None


def _hepmc(path: Path) -> Beams | None:
    """Of beams against each other: s = (E1 + E2)^2 - (p1 + p2)^2."""
    found: list[tuple[int, tuple[float, ...]]] = []
    third, scale, events = True, 1.0, 0
    with open_text(path) as stream:
        for number, line in bounded_lines(path, stream):
            words = line.split()
            if not words or number > _MOST_LINES:
                continue
            if words[0].startswith(b"HepMC::IO_GenEvent"):
                third = False
            elif words[0] == b"U":
                scale = 1e-3 if words[1] == b"MEV" else 1.0
            elif words[0] == b"E":
                events += 1
                if events > 1:
                    break
            elif words[0] == b"P":
                pdg, momentum, status = (3, 4, 9) if third else (2, 3, 8)
                if words[status] == _INCOMING:
                    found.append((int(words[pdg]), tuple(float(word) for word in words[momentum : momentum + 4])))
    if len(found) != 2:
        return None
    px, py, pz, energy = (scale * sum(parts) for parts in zip(*(each[1] for each in found), strict=True))
    return _beams((found[0][0], found[1][0]), math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0)))


def _beams(pdg: tuple[int, int], sqrt_s_gev: float) -> Beams | None:
    if sqrt_s_gev <= 0 or not math.isfinite(sqrt_s_gev) or 0 in pdg:
        return None
    return Beams(pdg=(min(pdg), max(pdg)), sqrt_s_tev=sqrt_s_gev / 1000.0)
