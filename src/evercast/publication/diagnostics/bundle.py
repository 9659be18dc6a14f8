"""Check 12: what was exported gives the numbers of the run, read back from its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from evercast.artifacts.bundle_networks import RatioNetworks, reference_log_ratio
from evercast.artifacts.bundle_vectors import vector_model
from evercast.artifacts.likelihood_file import read_likelihood
from evercast.artifacts.neural_bundle import MANIFEST_FILE
from evercast.artifacts.weights import read_weights
from evercast.likelihood.evaluate import Likelihood
from evercast.networks.calibration import HistogramCalibration
from evercast.networks.evaluation import ensemble_log_ratio
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import Check, judged, not_applicable, topic
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.units import of_stage
from evercast.publication.report.view import JsonView, read_view

__all__ = ["bundle_checks"]

_VECTORS: Final = "reference_vectors.json"
_RATIO: Final = (1e-5, 1e-5)
_LIKELIHOOD: Final = (1e-6, 1e-9)
"""Absolute and relative tolerance where the bundle states none."""


def bundle_checks(run: RunContents) -> Iterator[Check]:
    """Yield the parity of networks and likelihoods of every bundle, and what does not exist to be compared.

    Raises:
        IntegrityError: a file of a bundle is damaged.
    """
    folders = [
        manifest.parent
        for unit in of_stage(run.units, "serialization")
        for manifest in sorted((unit.folder / "likelihood").glob(f"*/{MANIFEST_FILE}"))
    ]
    for folder in folders:
        yield from _bundle(folder)
    if not folders:
        yield not_applicable(topic(12, "bundle", "run", "parity"), "the run publishes no neural likelihood")
    for other in ("ONNX", "StableHLO"):
        about = topic(12, other, "run", "parity", other.lower())
        yield not_applicable(about, f"this version writes no {other} copies of the networks")


def _bundle(folder: Path) -> Iterator[Check]:
    name, manifest, vectors = folder.name, read_view(folder / MANIFEST_FILE), read_view(folder / _VECTORS)
    about = topic(12, "networks", name, "parity", name, "networks")
    compared = [
        found
        for ensemble, body in vectors.items("log_ratio")
        for process, wanted in body.items("log_ratio")
        if (found := _networks(folder, manifest.at("ensembles", ensemble), process, body, wanted)) is not None
    ]
    if compared:
        tolerance = _tolerance(vectors.at("log_ratio_tolerance"), _RATIO)
        worst = max(_excess(found, wanted, tolerance) for found, wanted in compared)
        count = sum(len(wanted) for _, wanted in compared)
        yield judged(
            about, worst, thresholds.PARITY,
            f"log ratios of the weights read back, in numpy (float64) and JAX (float32), at {count // 2} reference "
            f"vectors: largest difference {worst:.2g} tolerances",
            figure={"kind": "parity", "found": _flat(compared, 0), "wanted": _flat(compared, 1)},
        )  # fmt: skip
    else:
        yield not_applicable(about, "the bundle gives no networks away")
    yield _likelihood(folder, vectors)


def _networks(
    folder: Path, ensemble: JsonView, process: str, body: JsonView, wanted: JsonView
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what numpy and JAX make of the weights on disk, one after the other, and the reference twice."""
    described = ensemble.at("processes", process)
    file, combine = described.text("weights"), ensemble.text("combine") or "mean_log_ratio"
    if file is None:
        return None
    networks = read_weights(folder / file)
    calibration = described.at("calibration")
    shift = None if calibration.value is None else HistogramCalibration(
        edges=tuple(calibration.numbers("edges").tolist()), values=tuple(calibration.numbers("values").tolist())
    )  # fmt: skip
    norm = described.number("log_norm") or 0.0
    inputs = np.array([view.numbers() for view in body.entries("observables")])
    ratio = RatioNetworks(networks=networks, log_norm=norm, calibration=shift)
    plain = reference_log_ratio(ratio, inputs, combine=combine)
    combined = ensemble_log_ratio(
        networks.architecture, networks.weights, inputs, None,
        combine="mean_ratio" if combine == "mean_ratio" else "mean_log_ratio",
    ).log_ratio  # fmt: skip
    compiled = (combined if shift is None else shift(combined)) - norm
    return np.concatenate([plain, compiled]), np.tile(wanted.numbers(), 2)


def _likelihood(folder: Path, vectors: JsonView) -> Check:
    about = topic(12, "likelihood", folder.name, "parity", folder.name, "likelihood")
    shown = vector_model(read_likelihood(folder))  # with a blind channel the points are of Asimov data
    if shown is None:
        return not_applicable(about, "a blind channel without simulated events has no reference points")
    likelihood = Likelihood(shown)
    found, wanted = [], []
    for entry in vectors.entries("likelihood"):
        values = dict(entry.items("parameters"))
        theta = np.array(
            [values[name].number() if name in values else np.nan for name in likelihood.names], dtype=float
        )
        found.append(likelihood.twice_nll(theta))
        wanted.append(entry.number("twice_nll") or 0.0)
    if not found:
        return not_applicable(about, "the bundle holds no reference points of the likelihood")
    tolerance = _tolerance(vectors.at("likelihood_tolerance"), _LIKELIHOOD)
    worst = _excess(np.array(found), np.array(wanted), tolerance)
    return judged(
        about, worst, thresholds.PARITY,
        f"−2 ln L of the files read back at {len(found)} reference points: largest difference {worst:.2g} tolerances",
    )  # fmt: skip


def _tolerance(view: JsonView, default: tuple[float, float]) -> tuple[float, float]:
    absolute, relative = view.number("abs"), view.number("rel")
    return (default[0] if absolute is None else absolute, default[1] if relative is None else relative)


def _excess(found: np.ndarray, wanted: np.ndarray, tolerance: tuple[float, float]) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.max(np.abs(found - wanted) / (tolerance[0] + tolerance[1] * np.abs(wanted)), initial=0.0))


def _flat(compared: list[tuple[np.ndarray, np.ndarray]], side: int) -> list[float]:
    return [float(value) for pair in compared for value in pair[side]][:400]
