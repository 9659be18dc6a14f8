"""SLHA files for Pythia: read with their digest; what Pythia makes of them is checked, since it does not say."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.model import SlhaFile

if TYPE_CHECKING:
    import awkward as ak
    import pythia8mc

__all__ = ["check_decays", "check_masses", "read_slha"]

_LARGEST: Final = 10_000_000
_NEW: Final = 1_000_000
_HADRONS_OF_NEW: Final = range(1_000_500, 1_100_000)
_TOLERANCE: Final = 1e-6


def read_slha(pythia: pythia8mc.Pythia, declared: SlhaFile, path: Path | None, *, name: str) -> Mapping[int, float]:
    """Give the file to Pythia and return the masses in GeV that it states, by PDG identity.

    Raises:
        InvalidInput: ``generator.slha``, the file is not there, too large, no text, or states no mass.
        IntegrityError: ``generator.slha-checksum``.
    """
    where = f"$.generators.{name}.slha"
    if path is None or not path.is_file() or path.stat().st_size > _LARGEST:
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
    masses = dict(_masses(content.decode("utf-8", errors="replace")))
    if not masses or not all(math.isfinite(mass) for mass in masses.values()):
        raise InvalidInput(
            "the SLHA file states no masses (a line 'BLOCK MASS', then lines of a PDG identity and a mass in GeV)",
            code="generator.slha",
            where=str(path),
        )
    pythia.settings.word("SLHA:file", str(path))
    pythia.readString("SLHA:verbose = 0")
    return masses


def _masses(text: str) -> Iterator[tuple[int, float]]:
    block = ""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0].upper() in ("BLOCK", "DECAY", "XSECTION"):
            block = words[1].upper() if words[0].upper() == "BLOCK" and len(words) > 1 else ""
        elif block == "MASS" and len(words) >= 2:
            try:
                yield int(words[0]), float(words[1])
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


def check_decays(pythia: pythia8mc.Pythia, events: ak.Array, *, name: str) -> None:
    """Refuse events in which a particle with a width is of the final state: all its decays are closed.

    Raises:
        InvalidInput: ``generator.undecayed``.
    """
    import awkward as ak  # noqa: PLC0415  (light `import evercast.stages.generation`)

    pdg = np.abs(ak.to_numpy(ak.flatten(events.prt.id[events.prt.status > 0])))
    for one in np.unique(pdg[(pdg > _NEW) & (pdg < 10 * _NEW)]).tolist():
        width = pythia.particleData.mWidth(one)
        if one not in _HADRONS_OF_NEW and width > 0:
            raise InvalidInput(
                f"particle {one} ({pythia.particleData.m0(one):g} GeV, width {width:g} GeV) does not decay: no channel "
                "has room for the masses of its products",
                code="generator.undecayed",
                where=f"$.generators.{name}",
                hint="an SLHA file also states the mass of the Higgs boson 25, which Pythia takes where it is above "
                "SLHA:minMassSM. To keep the known one: 'SLHA:minMassSM = 10000', '25:m0 = 125.0'",
            )
