"""A small record as a search would publish it: a background, and patches of signals on a grid of two masses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

POINTS = {"P_100_10": 12.0, "P_200_10": 6.0, "P_300_10": 1.0, "P_100_50": 8.0, "P_200_50": 3.0, "P_300_50": 0.5}
"""Signal events in the first bin of the signal region."""


def background() -> dict[str, object]:
    """Return a workspace of two channels without a signal."""

    def sample(name: str, data: Sequence[float], spread: float, parameter: str) -> dict[str, object]:
        return {
            "name": name,
            "data": list(data),
            "modifiers": [
                {"name": "lumi", "type": "lumi", "data": None},
                {"name": parameter, "type": "normsys", "data": {"hi": 1 + spread, "lo": 1 - spread}},
            ],
        }

    channels = [
        {"name": "SR", "samples": [sample("top", [4.0, 9.0, 20.0], 0.1, "top_norm")]},
        {"name": "CR", "samples": [sample("top", [150.0, 90.0], 0.1, "top_norm")]},
    ]
    lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.9, 1.1]], "inits": [1.0]}
    measurement = {"name": "all", "config": {"poi": "mu_SIG", "parameters": [lumi]}}
    observations = [{"name": "SR", "data": [5.0, 8.0, 22.0]}, {"name": "CR", "data": [147.0, 92.0]}]
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def patch(events: float, *, name: str = "signal") -> list[dict[str, object]]:
    """Return the patch of a signal with these events in the first bin, half as many in the second."""
    modifiers = [
        {"name": "mu_SIG", "type": "normfactor", "data": None},
        {"name": "lumi", "type": "lumi", "data": None},
    ]
    value = {"name": name, "data": [events, 0.5 * events, 0.0], "modifiers": modifiers}
    return [{"op": "add", "path": "/channels/0/samples/0", "value": value}]


def write_record(folder: Path, points: Mapping[str, float] = POINTS) -> Path:
    """Write a record of loose patches and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BkgOnly.json").write_text(json.dumps(background()))
    for name, events in points.items():
        (folder / f"patch.{name}.json").write_text(json.dumps(patch(events)))
    return folder


def patchset(digest: str, points: Mapping[str, float] = POINTS) -> dict[str, object]:
    """Return the same signals as a pyhf patchset."""
    patches = [
        {
            "metadata": {"name": name, "values": [float(part) for part in name.split("_")[1:]]},
            "patch": patch(events),
        }
        for name, events in points.items()
    ]
    metadata = {
        "references": {"hepdata": "ins0000001"}, "description": "small", "labels": ["m_a", "m_b"],
        "digests": {"sha256": digest},
    }  # fmt: skip
    return {"metadata": metadata, "patches": patches, "version": "1.0.0"}


OPTIONS = ("--experiment", "TEST", "--sqrt-s", "13", "--luminosity", "100", "--signature", "two quarks and a boson")
PATTERN = ("--points", "P_{m_a}_{m_b}", "--axis", "m_a=GeV:$m_A$", "--axis", "m_b=GeV")
