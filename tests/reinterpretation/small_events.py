"""A small analysis that preserves a selection, and files of events for it: muons whose pt decides the bin."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from evercast.reinterpretation.wrapped.data import json_digest
from small_record import background

SELECTION = """\
schema: analysis/1.0.0
name: small-selection
title: one muon
selection:
  seed: 1
  objects:
    muons: {collection: particles, pdg: [13], cut: "(pt > 10) & (abs(eta) < 2.5)"}
  preselection:
    one muon: "count(muons) >= 1"
  observables:
    pt_mu: {expression: "pt(muons[0])", unit: GeV}
  regions:
    SR: {cut: "pt_mu > 50"}
    CR: {cut: "(pt_mu > 20) & (pt_mu <= 50)"}
"""
FLAT = """\
schema: analysis/1.0.0
name: flat-selection
title: one column
selection:
  columns: [x]
  observables:
    pt_mu: {expression: "x", unit: GeV}
  regions:
    SR: {cut: "pt_mu > 50"}
    CR: {cut: "(pt_mu > 20) & (pt_mu <= 50)"}
"""
CHANNELS = {
    "SR": {"region": "SR", "observable": "pt_mu", "edges": [50.0, 100.0, 200.0, 400.0], "overflow": True},
    "CR": {"region": "CR", "observable": "pt_mu", "edges": [20.0, 35.0, 50.0]},
}


def write_analysis(folder: Path, *, selection: str = SELECTION, requires: Sequence[str] = ()) -> Path:
    """Write a wrapped analysis with a selection beside it, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(background()).encode()
    (folder / "BkgOnly.json").write_bytes(content)
    (folder / "selection.yaml").write_text(selection)
    body = {
        "schema": "wrapped-analysis/1.0.0", "name": "small-selected", "title": "A search that keeps its selection",
        "metadata": {
            "experiment": "TEST", "beams": "pp", "sqrt_s_tev": 13.0, "luminosity_fb": 100.0, "license": "CC0-1.0",
        },
        "files": {
            "background": {
                "filename": "BkgOnly.json", "path": "BkgOnly.json", "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        },
        "likelihoods": {
            "all": {
                "background": {"file": "background", "sha256": json_digest(background())},
                "channels": {"SR": 3, "CR": 2}, "poi": "mu_SIG",
            }
        },
        "axes": [{"name": "mass", "unit": "GeV"}],
        "selection": {
            "file": "selection.yaml", "sha256": hashlib.sha256(selection.encode()).hexdigest(), "channels": CHANNELS,
            "requires": list(requires),
        },
    }  # fmt: skip
    (folder / "wrapped.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    return folder


def momenta(count: int, seed: int = 1, low: float = 5.0, high: float = 300.0) -> list[tuple[float, ...]]:
    """Return pairs of opposite muons: px, py, pz, energy of the first one."""
    source = random.Random(seed)  # noqa: S311 - events, not secrets
    found = []
    for _ in range(count):
        pt, phi = source.uniform(low, high), source.uniform(0.0, 2.0 * math.pi)
        pz = source.uniform(-100.0, 100.0)
        found.append((pt * math.cos(phi), pt * math.sin(phi), pz, math.sqrt(pt**2 + pz**2)))
    return found


def lhe(
    events: Sequence[tuple[float, ...]], *, weights: Sequence[float] = (), cross_section: float = 0.5,
    beam: float = 6500.0, beams: tuple[int, int] = (2212, 2212), code: int = 13,
) -> str:  # fmt: skip
    """Return an LHE file of two muons an event."""
    lines = [
        "<LesHouchesEvents version=\"3.0\">", "<init>",
        f"{beams[0]} {beams[1]} {beam:e} {beam:e} 0 0 0 0 3 1", f"{cross_section:e} 0.0e+00 1.0e+00 1", "</init>",
    ]  # fmt: skip
    for number, (px, py, pz, energy) in enumerate(events):
        weight = weights[number] if weights else 1.0
        lines += ["<event>", f"2 1 {weight:.10e} 1.0e+02 7.8e-03 1.2e-01"]
        for sign, pdg in ((1.0, code), (-1.0, -code if code < 20 else 22)):
            vector = " ".join(f"{sign * part:.10e}" for part in (px, py, pz))
            lines.append(f"{pdg} 1 0 0 0 0 {vector} {energy:.10e} 0.0 0.0 9.0")
        lines.append("</event>")
    return "\n".join([*lines, "</LesHouchesEvents>", ""])


def hepmc(
    events: Sequence[tuple[float, ...]], *, weights: Sequence[Sequence[float]] = (), names: Sequence[str] = ("Weight",),
    beam: float = 6500.0, cross_section: float | None = 0.5, code: int = 13, unit: str = "GEV",
) -> str:  # fmt: skip
    """Return a HepMC3 file: two protons make two muons."""
    lines = ["HepMC::Version 3.02.06", "HepMC::Asciiv3-START_EVENT_LISTING"]
    lines.append("W " + "\\|".join(names))
    for number, (px, py, pz, energy) in enumerate(events):
        weight = weights[number] if weights else [1.0] * len(names)
        lines += [f"E {number} 1 4", f"U {unit} MM", "W " + " ".join(f"{one:.10e}" for one in weight)]
        if cross_section is not None:
            lines.append(f"A 0 GenCrossSection {cross_section:e} 1.0e-03 -1 -1")
        for index, sign in ((1, 1.0), (2, -1.0)):
            lines.append(f"P {index} 0 2212 0 0 {sign * beam:.10e} {beam:.10e} 0 4")
        lines.append("V -1 0 [1,2]")
        for index, sign in ((3, 1.0), (4, -1.0)):
            vector = " ".join(f"{sign * part:.10e}" for part in (px, py, pz))
            lines.append(f"P {index} -1 {code if sign > 0 else -code} {vector} {energy:.10e} 0 1")
    return "\n".join([*lines, "HepMC::Asciiv3-END_EVENT_LISTING", ""])


def csv(values: Sequence[float], weights: Sequence[float] = ()) -> str:
    """Return a CSV file with a column x, and with weights a column weight."""
    rows = [f"{value!r},{weights[number]!r}" if weights else repr(value) for number, value in enumerate(values)]
    return "\n".join(["x,weight" if weights else "x", *rows, ""])


def stated(path: Path, events: int, **more: object) -> dict[str, object]:
    """Return what a request says of a file."""
    content = path.read_bytes()
    return {
        "path": path.name, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content),
        "events": events, **more,
    }  # fmt: skip


def point(
    files: Sequence[Mapping[str, object]], *, cross_section: Mapping[str, object] | None = None, **more: object
) -> dict[str, object]:
    """Return a signal point of a request."""
    sigma = {"value_pb": 0.5, "relative_uncertainty": 0.05} if cross_section is None else cross_section
    return {"cross_section": dict(sigma), "events": {"files": [dict(file) for file in files], **more}}


def write_request(folder: Path, points: Mapping[str, object], **more: object) -> Path:
    """Write a request and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "schema": "request/1.0.0", "name": "ask", "analysis": {"name": "small-selected"},
        "collision": {"beams": "pp", "sqrt_s_tev": 13.0}, "signal": {"points": dict(points)}, **more,
    }  # fmt: skip
    (folder / "request.yaml").write_text(json.dumps(body, indent=1))
    return folder
