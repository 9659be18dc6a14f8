"""Workspaces and likelihood models for the tests of the statistics: made here, or published ones where at hand."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evercast.likelihood.histfactory import apply_patch, patch_of_set
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)

ROOT = Path(__file__).resolve().parents[1]


def published(relative: str) -> Path | None:
    """Return a published file: below ``EVERCAST_DATA``, or in a folder ``shared/data`` beside the repository."""
    for base in (os.environ.get("EVERCAST_DATA"), ROOT.parent / "shared" / "data"):
        if base and (Path(base) / relative).is_file():
            return Path(base) / relative
    return None


def published_workspace(analysis: str, point: str) -> Mapping[str, object] | None:
    """Return a published workspace with the patch of a signal; None where it is not at hand.

    The analyses are ``3L``, ``sbottom``, ``stau`` and its parts ``stau lowMass`` and ``stau highMass``.
    """
    if analysis == "3L":
        folder = published("atlas-susy-2018-06/BkgOnly.json")
        if folder is None:
            return None
        patchset = json.loads((folder.parent / "patchset.json").read_text())
        return apply_patch(json.loads(folder.read_text()), patch_of_set(patchset, point))
    if analysis == "sbottom":
        folder = published("atlas-susy-2018-31/RegionA/BkgOnly.json")
        if folder is None:
            return None
        patch = json.loads((folder.parent / f"patch.sbottom_{point}.json").read_text())
        return apply_patch(json.loads(folder.read_text()), patch)
    archive = published("atlas-susy-2018-04/SUSY-2018-04_likelihoods.tar.gz")
    if archive is None:
        return None
    with tarfile.open(archive) as opened:
        region = analysis.removeprefix("stau").strip() or "combined"
        background = json.load(opened.extractfile(f"Region-{region}/BkgOnly.json"))
        patch = json.load(opened.extractfile(f"Region-{region}/patch.{point}_Staus.json"))
    return apply_patch(background, patch)


def synthetic_workspace(*, seed: int = 1, n_bins: int = 3) -> dict[str, object]:
    """Return a workspace with every modifier type, two channels of different length, shared and private parameters."""
    rng = np.random.default_rng(seed)

    def sample(name: str, bins: int, scale: float, *modifiers: dict[str, object]) -> dict[str, object]:
        nominal = scale * rng.uniform(0.5, 1.5, bins)
        filled = []
        for modifier in modifiers:
            body = dict(modifier)
            if body["type"] in {"staterror", "shapesys"}:
                spread = rng.uniform(0.05, 0.2, bins) * nominal
                body["data"] = spread.tolist()
            if body["type"] == "histosys":
                shift = rng.uniform(-0.2, 0.2, (2, bins)) * nominal
                body["data"] = {"hi_data": (nominal + shift[0]).tolist(), "lo_data": (nominal - shift[1]).tolist()}
            filled.append(body)
        return {"name": name, "data": nominal.tolist(), "modifiers": filled}

    def modifier(kind: str, name: str, data: object = None) -> dict[str, object]:
        return {"type": kind, "name": name, "data": data}

    signal = (
        modifier("normfactor", "mu"),
        modifier("lumi", "lumi"),
        modifier("normsys", "jes", {"hi": 1.1, "lo": 0.95}),
    )
    channels = [
        {
            "name": "SR",
            "samples": [
                sample("signal", n_bins, 5.0, *signal, modifier("histosys", "jes")),
                sample(
                    "top", n_bins, 20.0, modifier("normsys", "top", {"hi": 1.3, "lo": 0.6}),
                    modifier("histosys", "jes"), modifier("staterror", "stat_SR"), modifier("lumi", "lumi"),
                ),
                sample("other", n_bins, 12.0, modifier("shapesys", "other_stat"), modifier("staterror", "stat_SR")),
            ],
        },
        {
            "name": "CR",
            "samples": [
                sample(
                    "top", 2, 80.0, modifier("normsys", "top", {"hi": 1.25, "lo": 0.7}), modifier("histosys", "shape")
                ),
                sample("free", 2, 30.0, modifier("shapefactor", "free_shape"), modifier("staterror", "stat_CR")),
            ],
        },
    ]  # fmt: skip
    observations = []
    for channel in channels:
        total = np.sum([entry["data"] for entry in channel["samples"]], axis=0)
        observations.append({"name": channel["name"], "data": rng.poisson(total).astype(float).tolist()})
    lumi = {"name": "lumi", "inits": [1.0], "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.9, 1.1]]}
    measurement = {"name": "fit", "config": {"poi": "mu", "parameters": [lumi]}}
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def counting_model(
    *, signal: float = 10.0, background: float = 50.0, observed: float = 62.0, width: float | None = None
) -> LikelihoodModel:
    """Return one bin with signal and background; `width` gives the background a normal constraint."""
    modifiers = () if width is None else (NormSys(parameter="norm", up=1 + width, down=1 / (1 + width)),)
    parameters = [ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True)]
    if width is not None:
        parameters.append(ParameterModel(name="norm", bounds=(-5.0, 5.0), constraint="normal"))
    samples = (
        BinnedSample(name="S", nominal=np.array([signal]), modifiers=(NormFactor(parameter="mu"),)),
        BinnedSample(name="B", nominal=np.array([background]), modifiers=modifiers),
    )
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([observed]))
    return LikelihoodModel(name="counting", parameters=tuple(parameters), channels=(channel,))


def gaussian_mixture(
    *, n_grid: int = 4001, mu: float = 1.0, n_signal: float = 200.0, n_background: float = 2000.0
) -> LikelihoodModel:
    """Return T1: signal N(1, 1) and background N(0, 1) with exact ratios, on weighted Asimov events of a fine grid."""
    x, width = np.linspace(-9.0, 10.0, n_grid, retstep=True)
    signal = np.exp(-0.5 * (x - 1.0) ** 2) / np.sqrt(2 * np.pi)
    background = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    log_ratio = np.stack([x - 0.5, np.zeros_like(x)], axis=1)
    weight = (mu * n_signal * signal + n_background * background) * width
    nominal = (n_signal * signal + n_background * background) * width
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=n_signal, coefficient="mu"),
            Component(process="B", yield_events=n_background),
        ),
        events=EventSet(log_ratio=log_ratio, weight=weight),
        simulation=EventSet(log_ratio=log_ratio, weight=nominal),
    )
    parameter = ParameterModel(name="mu", initial=1.0, bounds=(-2.0, 10.0), poi=True)
    return LikelihoodModel(name="T1", parameters=(parameter,), channels=(channel,))
