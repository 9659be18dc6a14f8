"""The neural bundle: a likelihood on learned density ratios with all that is needed to use it, in plain formats.

::

    manifest.json            what it is, digests of all other files, versions, observables, conventions
    likelihood.json          parameters, constraints, channels, yields, coefficients
    events.safetensors       log ratios of the observed and of simulated events, and how they follow parameters
    reference_vectors.json   inputs -> log ratios, parameter points -> -2 ln L: what another program must reproduce
    README.md                how to use it

and with disclosure networks or events::

    architecture.json        the networks, layer by layer
    weights-PROCESS.safetensors                         all members and folds of a process
    weights-PROCESS.PARAMETER.DIRECTION.safetensors     of its density at +1 or -1 of a nuisance parameter
    weights-PROCESS.polynomial.safetensors              of its polynomial in the nuisance parameters

The sequence of formulas is that of `evercast.networks.numpy_evaluate`; its float64 results are the reference vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.bundle_networks import (
    PolynomialNetworks,
    RatioNetworks,
    reference_coefficients,
    reference_log_ratio,
    reference_outputs,
)
from evercast.artifacts.bundle_texts import FORMULAS, README
from evercast.artifacts.bundle_vectors import likelihood_vectors
from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, sha256_file
from evercast.artifacts.likelihood_file import ExtraEvents, write_likelihood
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.likelihood.model import LikelihoodModel
from evercast.spec.model import Ensemble

__all__ = [
    "MANIFEST_FILE",
    "BundleEnsemble",
    "PolynomialNetworks",
    "RatioNetworks",
    "reference_log_ratio",
    "write_bundle",
    "write_manifest",
]

MANIFEST_FILE: Final = "manifest.json"
_VECTORS_FILE: Final = "reference_vectors.json"
_ARCHITECTURE_FILE: Final = "architecture.json"
_README_FILE: Final = "README.md"
_SCHEMA: Final = "neural-likelihood/1.0.0"
_VECTORS_SCHEMA: Final = "reference-vectors/1.0.0"
_RATIO_TOLERANCE: Final = {"abs": 1e-5, "rel": 1e-5}
"""Of a log ratio evaluated in float32; in float64 the reference is met to 1e-12."""
_BY_NETWORK: Final = 4
"""Inputs at which the output of every single network is given: combined ones do not tell two members apart."""
_NLL_TOLERANCE: Final = {"abs": 1e-6, "rel": 1e-9}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleEnsemble:
    """An ensemble as it is published.

    Args:
        ratios: process -> its networks, in the order of the components.
        inputs: (events, observables) at which reference vectors are given, in the units of the observables.
        variations: nuisance parameter -> process -> direction -> networks of the varied to the nominal density.
        polynomials: process -> networks of its polynomial in the nuisance parameters.
    """

    spec: Ensemble
    ratios: Mapping[str, RatioNetworks]
    inputs: Float64[np.ndarray, "events observables"]
    variations: Mapping[str, Mapping[str, Mapping[str, RatioNetworks]]] = field(default_factory=dict)
    polynomials: Mapping[str, PolynomialNetworks] = field(default_factory=dict)

    def networks(self) -> dict[str, EnsembleWeights]:
        """Return all networks by what their file is named after: ``PROCESS``, ``PROCESS.PARAMETER.DIRECTION``..."""
        found = {process: ratio.networks for process, ratio in self.ratios.items()}
        for parameter, processes in self.variations.items():
            for process, sides in processes.items():
                found |= {f"{process}.{parameter}.{side}": ratio.networks for side, ratio in sides.items()}
        return found | {f"{process}.polynomial": one.networks for process, one in self.polynomials.items()}


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
            name: {label: found.architecture.to_json() for label, found in ensemble.networks().items()}
            for name, ensemble in ensembles.items()
        }
        body = {"schema": "architecture/1.0.0", "formulas": FORMULAS, "networks": architectures}
        atomic_write_json(folder / _ARCHITECTURE_FILE, body)
    dataset, points = likelihood_vectors(model)
    vectors = {
        "schema": _VECTORS_SCHEMA,
        "log_ratio": {name: _ratio_vectors(ensemble) for name, ensemble in ensembles.items()} if with_networks else {},
        "log_ratio_tolerance": _RATIO_TOLERANCE,
        "dataset": dataset,
        "likelihood": points,
        "likelihood_tolerance": _NLL_TOLERANCE,
    }
    atomic_write_json(folder / _VECTORS_FILE, vectors)
    atomic_write_bytes(folder / _README_FILE, README.format(title=title).encode())
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


def _write_ensemble(
    folder: Path, name: str, ensemble: BundleEnsemble, *, with_networks: bool, alone: bool
) -> dict[str, object]:
    """Write the weights of an ensemble and return what the manifest says of it."""
    files: dict[str, str] = {}
    for label, networks in ensemble.networks().items() if with_networks else ():
        files[label] = f"weights-{label}.safetensors" if alone else f"weights-{name}-{label}.safetensors"
        write_weights(folder / files[label], networks)
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
        **_described_morphs(ensemble, files),
    }


def _described_morphs(ensemble: BundleEnsemble, files: Mapping[str, str]) -> dict[str, object]:
    """Return what the manifest says of the networks that follow nuisance parameters."""
    variations = {
        parameter: {
            process: {
                side: {"weights": files.get(f"{process}.{parameter}.{side}"), "log_norm": ratio.log_norm}
                for side, ratio in sides.items()
            }
            for process, sides in processes.items()
        }
        for parameter, processes in ensemble.variations.items()
    }
    polynomials = {
        process: {
            "weights": files.get(f"{process}.polynomial"),
            "terms": [[list(pair) for pair in term] for term in one.networks.architecture.terms],
            "constants": one.constants.tolist(),
        }
        for process, one in ensemble.polynomials.items()
    }
    return {"variations": variations, "polynomials": polynomials}


def _ratio_vectors(ensemble: BundleEnsemble) -> dict[str, object]:
    combine, inputs = ensemble.spec.combine, ensemble.inputs
    return {
        "observables": inputs.tolist(),
        "log_ratio": {
            process: reference_log_ratio(ratio, inputs, combine=combine).tolist()
            for process, ratio in ensemble.ratios.items()
        },
        "variations": {
            parameter: {
                process: {
                    side: reference_log_ratio(ratio, inputs, combine=combine).tolist() for side, ratio in sides.items()
                }
                for process, sides in processes.items()
            }
            for parameter, processes in ensemble.variations.items()
        },
        "polynomials": {
            process: reference_coefficients(one, inputs).tolist() for process, one in ensemble.polynomials.items()
        },
        "networks": {
            label: reference_outputs(networks, inputs[:_BY_NETWORK]).tolist()
            for label, networks in ensemble.networks().items()
        },
    }
