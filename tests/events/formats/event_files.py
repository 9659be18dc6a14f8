"""Small event files of every format, made here so that tests need no others."""

from __future__ import annotations

import gzip
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pyhepmc
import uproot


def leptons(events: int, seed: int = 1) -> ak.Array:
    """Between two and five massless leptons per event."""
    random = np.random.default_rng(seed)
    counts = random.integers(2, 6, events)
    momentum = np.asfortranarray(random.normal(0, 30, (counts.sum(), 3)))
    columns = {
        "pdg": random.choice([11, -11, 13, -13], counts.sum()),
        "px": momentum[:, 0],
        "py": momentum[:, 1],
        "pz": momentum[:, 2],
        "energy": np.sqrt((momentum**2).sum(axis=1)),
    }
    return ak.unflatten(ak.Array(columns), counts)


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(repr(float(value)) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_parquet(path: Path, particles: ak.Array, weight: np.ndarray, metadata: dict[str, str] | None = None) -> Path:
    table = ak.to_arrow_table(ak.Array({"particles": particles, "weight": weight}), extensionarray=False)
    pa.parquet.write_table(table.replace_schema_metadata(metadata or {}), path, write_page_checksum=True)
    return path


def write_root(path: Path, columns: dict[str, object], *, kind: str = "tree") -> Path:
    with uproot.recreate(path) as file:
        if kind == "tree":
            file.mktree("events", {name: _dtype(column) for name, column in columns.items()})
            file["events"].extend(columns)
        else:
            file.mkrntuple("events", columns)
    return path


def _dtype(column: object) -> object:
    return ak.type(column).content if isinstance(column, ak.Array) else np.asarray(column).dtype


LHE_HEAD = """<LesHouchesEvents version="3.0">
<header>
</header>
<init>
2212 2212 6.5e3 6.5e3 0 0 247000 247000 -4 2
1.5 0.3 1.0 1
2.5 0.4 1.0 2
</init>
"""


def lhe_text(events: int, *, weights: int = 1) -> str:
    """q qbar -> mu+ mu- with an incoming pair, `weights` named ones besides the nominal one."""
    text = LHE_HEAD
    for number in range(events):
        named = "".join(f"<wgt id='{1001 + i}'> {number + i + 0.5} </wgt>\n" for i in range(weights))
        text += (
            "<event>\n4 1 2.0e+00 9.1e+01 7.5e-03 1.3e-01\n"
            "2 -1 0 0 501 0 0 0 50 50 0 0 9\n-2 -1 0 0 0 501 0 0 -50 50 0 0 9\n"
            f"13 1 1 2 0 0 {10 + number} 20 30 {np.sqrt((10 + number) ** 2 + 1300)} 0 0 9\n"
            f"-13 1 1 2 0 0 {-10 - number} -20 -30 {np.sqrt((10 + number) ** 2 + 1300)} 0 0 9\n"
            f"<rwgt>\n{named}</rwgt>\n</event>\n"
        )
    return text + "</LesHouchesEvents>\n"


def write_hepmc(
    path: Path,
    events: int,
    *,
    version: str = "HepMC3",
    names: tuple[str, ...] = ("nominal", "MUR=2.0"),
    mev: bool = False,
) -> Path:
    """p p -> Z -> mu+ mu- with a cross-section of 12.5 +- 0.5 pb."""
    info = pyhepmc.GenRunInfo()
    info.weight_names = list(names)
    with pyhepmc.io.HepMCFile(str(path), "w", format=version) as file:
        for number in range(events):
            file.write(_hepmc_event(number, info, len(names), mev=mev))
    return path


def _hepmc_event(number: int, info: pyhepmc.GenRunInfo, weights: int, *, mev: bool) -> pyhepmc.GenEvent:
    event = pyhepmc.GenEvent(pyhepmc.Units.MEV if mev else pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.run_info = info
    event.event_number = number
    scale = 1000.0 if mev else 1.0

    def particle(px: float, py: float, pz: float, energy: float, pdg: int, status: int) -> pyhepmc.GenParticle:
        return pyhepmc.GenParticle((px * scale, py * scale, pz * scale, energy * scale), pdg, status)

    size = np.sqrt((10.0 + number) ** 2 + 1300.0)
    beams = [particle(0, 0, 4000, 4000, 2212, 4), particle(0, 0, -4000, 4000, 2212, 4)]
    boson = particle(0, 0, 0, 2 * size, 23, 2)
    muons = [particle(10 + number, 20, 30, size, 13, 1), particle(-10 - number, -20, -30, size, -13, 1)]
    first, second = pyhepmc.GenVertex(), pyhepmc.GenVertex((0, 0, 0.1, 0.2))
    for beam in beams:
        first.add_particle_in(beam)
    first.add_particle_out(boson)
    second.add_particle_in(boson)
    for muon in muons:
        second.add_particle_out(muon)
    event.add_vertex(first)
    event.add_vertex(second)
    event.weights = [1.0 + number + 10 * i for i in range(weights)]
    cross_section = pyhepmc.GenCrossSection()
    event.cross_section = cross_section
    cross_section.set_cross_section(12.5, 0.5, 100, 100)
    return event


def zipped(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed
