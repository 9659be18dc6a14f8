"""An ensemble with everything that an ensemble can have, its weights out of the air: no network was trained for it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_networks import PolynomialNetworks, RatioNetworks
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.networks.architecture import Activation, Architecture, Term, Weights
from evercast.networks.calibration import HistogramCalibration

OBSERVABLES = ("mass", "angle", "pt")
TERMS: tuple[Term, ...] = ((("jes", 1),), (("jes", 2),), (("jes", 1), ("jer", 1)))


def networks(
    seed: int,
    *,
    activation: Activation = "silu",
    terms: tuple[Term, ...] = (),
    members: int = 3,
    folds: int = 2,
    strength: float = 1.0,
) -> EnsembleWeights:
    """Networks of two hidden layers of 7; observables are around 100 with widths of some tens.

    `strength` multiplies what the last layer gives.
    """
    random = np.random.default_rng(seed)
    form = Architecture(observables=OBSERVABLES, width=7, depth=2, activation=activation, terms=terms)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=(members, folds, *shape)).astype(np.float32)

    sizes = form.sizes()
    weights = Weights(
        mean=100.0 + numbers(sizes[0]),
        scale=np.abs(numbers(sizes[0])) + 30.0,
        weight=tuple(numbers(out, into) / np.float32(np.sqrt(into)) for into, out in pairwise(sizes)),
        bias=tuple(0.3 * numbers(out) for out in sizes[1:]),
    )
    np.multiply(weights.weight[-1], np.float32(strength), out=weights.weight[-1])
    np.multiply(weights.bias[-1], np.float32(strength), out=weights.bias[-1])
    return EnsembleWeights(
        architecture=form, members=tuple(range(members)), folds=folds, weights=weights, labels={"ensemble": "invented"}
    )


def ensemble(
    *, combine: str = "mean_log_ratio", activation: Activation = "silu", members: int = 3, folds: int = 2
) -> BundleNetworks:
    """Two processes, one calibrated, one with a variation up and down and a polynomial."""

    def made(seed: int, *, terms: tuple[Term, ...] = (), strength: float = 1.0) -> EnsembleWeights:
        return networks(seed, activation=activation, terms=terms, members=members, folds=folds, strength=strength)

    calibration = HistogramCalibration(edges=(-0.5, 0.0, 0.25), values=(0.02, -0.01, 0.0, 0.03))
    ratios = {
        "signal": RatioNetworks(networks=made(1), log_norm=0.01, calibration=calibration),
        "background": RatioNetworks(networks=made(2), log_norm=-0.02),
        "background.jes.up": RatioNetworks(networks=made(3, strength=0.1), log_norm=0.01),
        "background.jes.down": RatioNetworks(networks=made(4, strength=0.1), log_norm=-0.01),
    }
    polynomial = PolynomialNetworks(
        networks=made(5, terms=TERMS, strength=0.05), constants=np.array([0.01, 0.02, -0.03])
    )
    labels = (*ratios, "background.polynomial")
    return BundleNetworks(
        name="invented",
        observables=OBSERVABLES,
        combine=combine,
        ratios=ratios,
        polynomials={"background.polynomial": polynomial},
        files={label: f"weights-{label}.safetensors" for label in labels},
    )


def events(count: int = 64, *, seed: int = 9) -> np.ndarray:
    """Events around the range of the networks."""
    return np.random.default_rng(seed).normal(100.0, 40.0, size=(count, len(OBSERVABLES)))


def write_folder(folder: Path, made: BundleNetworks) -> dict[str, object]:
    """Write weights, architecture and manifest of a bundle that holds networks only; return the manifest."""
    for label, one in made.networks():
        write_weights(folder / made.files[label], one)
    architectures = {made.name: {label: one.architecture.to_json() for label, one in made.networks()}}
    atomic_write_json(folder / "architecture.json", {"schema": "architecture/1.0.0", "networks": architectures})
    manifest: dict[str, object] = {"ensembles": {made.name: _described(made)}}
    atomic_write_json(folder / "manifest.json", manifest)
    return manifest


def _described(made: BundleNetworks) -> dict[str, object]:
    def of(label: str) -> dict[str, object]:
        ratio = made.ratios[label]
        return {"weights": made.files[label], "log_norm": ratio.log_norm}

    polynomial = made.polynomials["background.polynomial"]
    return {
        "observables": list(made.observables),
        "combine": made.combine,
        "processes": {
            label: {
                **of(label),
                "calibration": None
                if (calibration := made.ratios[label].calibration) is None
                else calibration.to_json(),
            }
            for label in ("signal", "background")
        },
        "variations": {
            "jes": {"background": {side: of(f"background.jes.{side}") for side in ("up", "down")}},
        },
        "polynomials": {
            "background": {
                "weights": made.files["background.polynomial"],
                "terms": [[list(pair) for pair in term] for term in TERMS],
                "constants": polynomial.constants.tolist(),
            }
        },
    }
