"""The observed events of the interference analysis: what an experiment would record at signal strength 1.

    q qbar -> gamma* / Z / Z' -> mu mu with everything interfering (Zprime:gmZmode = 0), and top pairs with two muons

Numbers of events are Poisson distributed around cross-section x luminosity, muons are smeared as in the selection of
the document, and what passes loose cuts is written: two muons per event, negative one first. The signal strength is 1
by construction. All seeds are fixed and differ from those of the simulation.

    python experiment.py --luminosity-fb 0.3 --output observed.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pythia8mc

COMMON = (
    "Print:quiet = on",
    "Random:setSeed = on",
    "Beams:eCM = 13000.",
    "PartonLevel:ISR = off",
    "PartonLevel:FSR = off",
    "PartonLevel:MPI = off",
    "HadronLevel:all = off",
)
DILEPTON = (
    "NewGaugeBoson:ffbar2gmZZprime = on",
    "Zprime:gmZmode = 0",
    "32:m0 = 300.",
    "32:doForceWidth = on",
    "32:mWidth = 30.",
    "32:mMin = 10.",
    "32:onMode = off",
    "32:onIfAny = 13",
    "Zprime:vd = -1.074",
    "Zprime:ad = -1.55",
    "Zprime:vu = 0.6",
    "Zprime:au = 1.55",
    "Zprime:ve = -0.124",
    "Zprime:ae = -1.55",
)
TOP = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 13")
PARTS = {
    "peak": (*DILEPTON, "PhaseSpace:mHatMin = 75.", "PhaseSpace:mHatMax = 135."),
    "high": (*DILEPTON, "PhaseSpace:mHatMin = 135.", "PhaseSpace:mHatMax = 270."),
    "top": TOP,
}
CROSS_SECTION_PB = {"peak": 1420.2, "high": 9.466, "top": 5.953}  # as Pythia computes them, to 0.1 %
SEED = 20_001
BATCH = 10_000
NEGATIVE_MUON, POSITIVE_MUON = 13, -13


def generate(settings: tuple[str, ...], *, events: int, seed: int) -> np.ndarray:
    """Return momenta (events, 2, 4): px, py, pz, energy in GeV of the negative and the positive muon."""
    pythia = pythia8mc.Pythia("", False)  # noqa: FBT003  (no banner)
    for setting in (*COMMON, f"Random:seed = {seed}", *settings):
        if not pythia.readString(setting):
            raise SystemExit(f"Pythia does not accept {setting!r}")
    if not pythia.init():
        raise SystemExit("Pythia could not be initialised")
    found, done = [np.zeros((0, 2, 4))], 0
    while done < events:
        batch = pythia.nextBatch(min(BATCH, events - done), "skip")
        done += len(batch)
        found.append(muons_of(batch.prt))
    return np.concatenate(found)


def muons_of(particles: ak.Array) -> np.ndarray:
    """Return the momenta (events, 2, 4) of the negative and the positive muon of the final state."""
    final = particles[particles.status > 0]
    pair = [final[final.id == pdg][:, 0].p for pdg in (NEGATIVE_MUON, POSITIVE_MUON)]
    return np.stack([np.stack([ak.to_numpy(p[name]) for name in ("px", "py", "pz", "e")], axis=-1) for p in pair], 1)


def smeared(momenta: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the momenta with the resolution of the document: the direction and the mass of a muon stay as they are."""
    pt = np.hypot(momenta[..., 0], momenta[..., 1])
    factor = 1.0 + (0.015 + 0.0001 * pt) * generator.standard_normal(pt.shape)
    vector = momenta[..., :3] * factor[..., None]
    mass_squared = momenta[..., 3] ** 2 - (momenta[..., :3] ** 2).sum(-1)
    energy = np.sqrt(np.maximum(mass_squared, 0.0) + (vector**2).sum(-1))
    return np.concatenate([vector, energy[..., None]], axis=-1)


def recorded(momenta: np.ndarray) -> np.ndarray:
    """Return the events with both muons above 15 GeV and within 2.5 in pseudorapidity."""
    pt = np.hypot(momenta[..., 0], momenta[..., 1])
    return momenta[(pt > 15).all(1) & (np.abs(np.arcsinh(momenta[..., 2] / pt)) < 2.5).all(1)]


def observe(luminosity_fb: float) -> np.ndarray:
    """Return what the experiment records: (events, 2, 4)."""
    generator = np.random.default_rng(SEED)
    parts = []
    for number, (name, settings) in enumerate(PARTS.items()):
        events = generator.poisson(1000.0 * luminosity_fb * CROSS_SECTION_PB[name])
        momenta = generate(settings, events=events, seed=SEED + number)
        parts.append(recorded(smeared(momenta, generator)))
    return generator.permutation(np.concatenate(parts))


def write(momenta: np.ndarray, output: Path) -> None:
    """Write a row per event: pdg, px, py, pz, energy of the two muons."""
    columns: dict[str, np.ndarray] = {}
    for item, pdg in enumerate((NEGATIVE_MUON, POSITIVE_MUON)):
        columns[f"pdg_{item}"] = np.full(len(momenta), pdg, dtype=np.int32)
        for place, name in enumerate(("px", "py", "pz", "energy")):
            columns[f"{name}_{item}"] = momenta[:, item, place]
    pq.write_table(pa.table(columns), output, compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--luminosity-fb", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write(observe(arguments.luminosity_fb), arguments.output)


if __name__ == "__main__":
    main()
