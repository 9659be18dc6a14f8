"""SLHA files for Pythia: read with their digest; what Pythia makes of them is checked, since it does not say."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.model import SlhaFile

if TYPE_CHECKING:
    import awkward as ak
    import pythia8mc

__all__ = ["SLHA_LARGEST", "SlhaFacts", "check_decays", "check_masses", "read_slha", "slha_facts"]

SLHA_LARGEST: Final = 10_000_000
"""Size of a file, byte."""
_NEW: Final = 1_000_000
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SlhaFacts:
    """What a file states, by PDG identity.

    Args:
        masses: GeV.
        widths: of the DECAY blocks, GeV.
    """

    masses: Mapping[int, float] = field(default_factory=dict)
    widths: Mapping[int, float] = field(default_factory=dict)


def read_slha(pythia: pythia8mc.Pythia, declared: SlhaFile, path: Path | None, *, name: str) -> SlhaFacts:
    """Give the file to Pythia and return what it states.

    Raises:
        InvalidInput: ``generator.slha``, the file is not there, too large, no text, or states no mass.
        IntegrityError: ``generator.slha-checksum``.
    """
    where = f"$.generators.{name}.slha"
    if path is None or not path.is_file() or path.stat().st_size > SLHA_LARGEST:
        raise InvalidInput(
            f"there is no SLHA file {declared.path!r} of ordinary size", code="generator.slha", where=where
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != declared.sha256:
        raise IntegrityError(
            f"the SLHA file has sha256 {found}; expected {declared.sha256}",
            code="generator.slha-checksum",
            where=str(path),
            hint="restore the file, or correct the digest if it was meant to change",
        )
    facts = slha_facts(content, where=str(path))
    pythia.settings.word("SLHA:file", str(path))
    pythia.readString("SLHA:verbose = 0")
    return facts


def slha_facts(content: bytes, *, where: str) -> SlhaFacts:
    """Return what the content of a file states.

    Raises:
        InvalidInput: ``generator.slha``, it is too large, or states no mass, or one that is not finite.
    """
    if len(content) > SLHA_LARGEST:
        message = f"the SLHA file is too large: at most {SLHA_LARGEST} bytes are read"
        raise InvalidInput(message, code="generator.slha", where=where)
    text = content.decode("utf-8", errors="replace")
    facts = SlhaFacts(masses=dict(_numbers(text, "BLOCK MASS")), widths=dict(_numbers(text, "DECAY")))
    if not facts.masses or not all(map(math.isfinite, (*facts.masses.values(), *facts.widths.values()))):
        message = "the SLHA file states no masses (a line 'BLOCK MASS', then lines of a PDG identity and a mass in GeV)"
        raise InvalidInput(message, code="generator.slha", where=where)
    return facts


def _numbers(text: str, wanted: str) -> Iterator[tuple[int, float]]:
    """Yield identities with what follows them: in the lines of block MASS, or in the first line of each DECAY."""
    block = ""
    for line in text.splitlines():
        words = line.partition("#")[0].upper().split()
        starts = bool(words) and words[0] in ("BLOCK", "DECAY", "XSECTION")
        if starts:
            block = " ".join(words[:2]) if words[0] == "BLOCK" else words[0]
        pair = words[1:3] if starts else words[:2]
        if block == wanted and len(pair) == 2 and starts == (wanted == "DECAY"):
            try:
                yield int(pair[0]), float(pair[1])
            except ValueError:
                continue


def check_masses(pythia: pythia8mc.Pythia, masses: Mapping[int, float], *, name: str) -> None:
    """Refuse to go on where Pythia did not take the masses of new particles from the file.

    Raises:
        InvalidInput: ``generator.slha``.
    """
    for pdg, mass in masses.items():
        used = pythia.particleData.m0(abs(pdg))
        if abs(pdg) > _NEW and not math.isclose(used, abs(mass), rel_tol=_TOLERANCE):
            raise InvalidInput(
                f"Pythia has a mass of {used:g} GeV for particle {pdg}; the SLHA file states {mass:g} GeV",
                code="generator.slha",
                where=f"$.generators.{name}.slha",
                hint="no setting may change a mass that the file states; is the file complete?",
            )


def check_decays(widths: Mapping[int, float], events: ak.Array, *, name: str) -> None:
    """Refuse events in which a particle that has a width in the file is of the final state: all its decays are closed.

    Pythia then sets its width to zero and goes on.

    Raises:
        InvalidInput: ``generator.undecayed``.
    """
    import awkward as ak  # noqa: PLC0415  (light `import evercast.stages.generation`)

    pdg = np.abs(ak.to_numpy(ak.flatten(events.prt.id[events.prt.status > 0])))
    for one in np.unique(pdg[pdg > _NEW]).tolist():
        if widths.get(one, 0.0) > 0:
            raise InvalidInput(
                f"particle {one} does not decay, though the SLHA file states a width of {widths[one]:g} GeV: no "
                "channel has room for the masses of its products",
                code="generator.undecayed",
                where=f"$.generators.{name}",
                hint="compare its mass with those of the products in its DECAY block; particles of the Standard Model, "
                "as the Higgs boson 25, have the masses of Pythia unless the settings change them",
            )
