"""The neural bundle: a likelihood on learned density ratios with all that is needed to use it, in plain formats.

::

    manifest.json            what it is, digests of all other files, versions, observables, conventions
    likelihood.json          parameters, constraints, channels, yields, coefficients
    events.safetensors       log ratios of the observed and of simulated events
    architecture.json        the networks, layer by layer                       (disclosure networks, events)
    weights-PROCESS.safetensors    all members and folds of a process           (disclosure networks, events)
    reference_vectors.json   inputs -> log ratios, parameter points -> -2 ln L: what another program must reproduce
    README.md                how to use it

The sequence of formulas is that of `evercast.networks.numpy_evaluate`; its float64 results are the reference vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import logsumexp

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, sha256_file
from evercast.artifacts.likelihood_file import ExtraEvents, write_likelihood
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.networks.calibration import HistogramCalibration
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.spec.model import Ensemble

__all__ = ["MANIFEST_FILE", "BundleEnsemble", "RatioNetworks", "reference_log_ratio", "write_bundle", "write_manifest"]

MANIFEST_FILE: Final = "manifest.json"
_VECTORS_FILE: Final = "reference_vectors.json"
_ARCHITECTURE_FILE: Final = "architecture.json"
_README_FILE: Final = "README.md"
_SCHEMA: Final = "neural-likelihood/1.0.0"
_VECTORS_SCHEMA: Final = "reference-vectors/1.0.0"
_RATIO_TOLERANCE: Final = {"abs": 1e-5, "rel": 1e-5}
"""Of a log ratio evaluated in float32; in float64 the reference is met to 1e-12."""
_NLL_TOLERANCE: Final = {"abs": 1e-6, "rel": 1e-9}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatioNetworks:
    """What turns observables to the log ratio of a process.

    Args:
        log_norm: subtracted from the combined (and calibrated) log ratio so that E_ref[r] = 1.
        calibration: applied to the combined logit first.
    """

    networks: EnsembleWeights
    log_norm: float = 0.0
    calibration: HistogramCalibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleEnsemble:
    """An ensemble as it is published.

    Args:
        ratios: process -> its networks, in the order of the components.
        inputs: (events, observables) at which reference vectors are given, in the units of the observables.
    """

    spec: Ensemble
    ratios: Mapping[str, RatioNetworks]
    inputs: Float64[np.ndarray, "events observables"]


def reference_log_ratio(
    ratio: RatioNetworks, observables: Float[np.ndarray, "events observables"], *, combine: str
) -> Float64[np.ndarray, " events"]:
    """Return the log ratio of events that no network has seen, by the reference evaluation in float64.

    Logits are combined over members within each fold, then over folds as the mean ratio, then calibrated, then
    normalised (`evercast.networks.evaluation`).

    Args:
        ratio: networks of a process.
        observables: in the order of the ensemble.
        combine: ``mean_log_ratio`` or ``mean_ratio``.
    """
    networks = ratio.networks
    members, folds = networks.weights.axes()
    logits = np.array(
        [
            [
                numpy_logits(networks.architecture, networks.weights.at(member, fold), observables)
                for fold in range(folds)
            ]
            for member in range(members)
        ]
    )
    by_fold = logits.mean(axis=0) if combine == "mean_log_ratio" else logsumexp(logits, axis=0) - np.log(members)
    combined = logsumexp(by_fold, axis=0) - np.log(folds)
    calibrated = combined if ratio.calibration is None else ratio.calibration(combined)
    log_ratio: Float64[np.ndarray, " events"] = calibrated - ratio.log_norm
    return log_ratio


def write_bundle(
    folder: Path,
    model: LikelihoodModel,
    *,
    title: str,
    ensembles: Mapping[str, BundleEnsemble],
    extra: Mapping[str, ExtraEvents],
    with_networks: bool,
) -> dict[str, object]:
    """Write all files of the bundle but the manifest in `folder`, and return what the manifest says of the ensembles.

    Args:
        folder: an existing empty folder.
        model: with its observed data.
        title: for the file that says how to use the bundle.
        ensembles: name -> networks and inputs of reference vectors.
        extra: unbinned channel -> what is stored beside its events.
        with_networks: weights and architecture are given away.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
        NumericalFailure: a number to be written is not finite.
    """
    write_likelihood(folder, model, extra=extra)
    described: dict[str, object] = {
        name: _write_ensemble(folder, name, ensemble, with_networks=with_networks, alone=len(ensembles) == 1)
        for name, ensemble in ensembles.items()
    }
    if with_networks:
        architectures = {
            name: {process: ratio.networks.architecture.to_json() for process, ratio in ensemble.ratios.items()}
            for name, ensemble in ensembles.items()
        }
        body = {"schema": "architecture/1.0.0", "formulas": _FORMULAS, "networks": architectures}
        atomic_write_json(folder / _ARCHITECTURE_FILE, body)
    vectors = {
        "schema": _VECTORS_SCHEMA,
        "log_ratio": {name: _ratio_vectors(ensemble) for name, ensemble in ensembles.items()} if with_networks else {},
        "log_ratio_tolerance": _RATIO_TOLERANCE,
        "likelihood": _likelihood_vectors(model),
        "likelihood_tolerance": _NLL_TOLERANCE,
    }
    atomic_write_json(folder / _VECTORS_FILE, vectors)
    atomic_write_bytes(folder / _README_FILE, _README.format(title=title).encode())
    return described


def write_manifest(folder: Path, manifest: Mapping[str, object], *, ensembles: Mapping[str, object]) -> None:
    """Write the manifest of a bundle, the last of its files.

    Args:
        folder: with all other files of the bundle, and no others.
        manifest: what it says beside ``schema``, ``ensembles`` and ``files``.
        ensembles: as `write_bundle` returned them.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    files = {
        path.name: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size} for path in sorted(folder.iterdir())
    }
    whole: dict[str, object] = {"schema": _SCHEMA}
    whole |= manifest
    whole |= {"ensembles": ensembles, "files": files}
    atomic_write_json(folder / MANIFEST_FILE, whole)


_README: Final = """# {title}

A likelihood on learned density ratios, published with evercast. `manifest.json` says what it is: observables with
units, processes, yields, conventions in formulas, and the sha256 of every file. `likelihood.json` holds parameters,
constraints and coefficients; `events.safetensors` the log ratios of the observed and of simulated events.

    pip install evercast
    evercast fit FOLDER                  # best values, uncertainties, fit guard
    evercast scan FOLDER --json          # profile likelihood

In Python:

    from pathlib import Path
    from evercast.artifacts.likelihood_file import read_likelihood
    from evercast.likelihood.evaluate import Likelihood
    likelihood = Likelihood(read_likelihood(Path("FOLDER")))
    likelihood.twice_nll(likelihood.initial)

Without evercast: read the safetensors files with any reader, follow the formulas in `architecture.json` (where the
networks are published) and in the manifest, and compare with `reference_vectors.json` before use.
"""

_FORMULAS: Final = {
    "input": "x rounded to float32; h_0 = (x - standardise.mean) / standardise.scale",
    "layer": "h_i = activation(layers.(i-1).weight h_(i-1) + layers.(i-1).bias), i = 1 ... depth",
    "logit": "layers.(depth).weight h_depth + layers.(depth).bias",
    "silu": "z / (1 + exp(-z))",
    "relu": "max(z, 0)",
    "tanh": "tanh(z)",
    "gelu": "z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2",
    "mean_log_ratio": "over members, in each fold: mean of the logits; then over folds: log of the mean of exp",
    "mean_ratio": "over members, in each fold: log of the mean of exp(logit); then over folds: log of the mean of exp",
    "calibration": "log r + values[b], b = number of edges <= log r",
    "normalisation": "log r - log_norm",
}


def _write_ensemble(
    folder: Path, name: str, ensemble: BundleEnsemble, *, with_networks: bool, alone: bool
) -> dict[str, object]:
    """Write the weights of an ensemble and return what the manifest says of it."""
    files: dict[str, str] = {}
    for process, ratio in ensemble.ratios.items() if with_networks else ():
        files[process] = f"weights-{process}.safetensors" if alone else f"weights-{name}-{process}.safetensors"
        write_weights(folder / files[process], ratio.networks)
    spec = ensemble.spec
    return {
        "region": spec.region,
        "observables": list(spec.observables),
        "reference": dict(spec.reference),
        "members": spec.members,
        "folds": spec.folds,
        "combine": spec.combine,
        "seed": spec.seed,
        "processes": {
            process: {
                "weights": files.get(process),
                "log_norm": ratio.log_norm,
                "calibration": None if ratio.calibration is None else ratio.calibration.to_json(),
            }
            for process, ratio in ensemble.ratios.items()
        },
    }


def _ratio_vectors(ensemble: BundleEnsemble) -> dict[str, object]:
    ratios = {
        process: reference_log_ratio(ratio, ensemble.inputs, combine=ensemble.spec.combine).tolist()
        for process, ratio in ensemble.ratios.items()
    }
    return {"observables": ensemble.inputs.tolist(), "log_ratio": ratios}


def _likelihood_vectors(model: LikelihoodModel) -> list[dict[str, object]]:
    likelihood = Likelihood(model)
    vectors: list[dict[str, object]] = []
    for point in _points(likelihood):
        value, gradient = likelihood.value_and_gradient(point)
        vectors.append(
            {
                "parameters": dict(zip(likelihood.names, point.tolist(), strict=True)),
                "twice_nll": value,
                "gradient": dict(zip(likelihood.names, gradient.tolist(), strict=True)),
            }
        )
    return vectors


def _points(likelihood: Likelihood, *, count: int = 6) -> Sequence[Float64[np.ndarray, " parameters"]]:
    """Return the initial point and points around it at which the likelihood is defined."""
    initial = likelihood.initial
    free = ~likelihood.fixed
    points = [initial]
    for number in range(1, count):
        pattern = np.cos(np.arange(len(initial)) * 2.399963 + number)  # any directions do; the same ones every time
        step = 0.4 * np.maximum(0.5, np.abs(initial)) * pattern * free
        for _ in range(8):
            point = np.clip(initial + step, likelihood.lower, likelihood.upper)
            if np.isfinite(likelihood.twice_nll(point)):
                points.append(point)
                break
            step = step / 4
    return points
