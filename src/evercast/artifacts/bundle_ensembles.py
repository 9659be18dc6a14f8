"""The networks of a published bundle, read back with all that turns their outputs to log ratios."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeGuard

import numpy as np
from jaxtyping import Float, Float64

from evercast.artifacts.bundle_networks import (
    PolynomialNetworks,
    RatioNetworks,
    reference_coefficients,
    reference_log_ratio,
)
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.errors import IntegrityError, InvalidInput
from evercast.networks.calibration import HistogramCalibration
from evercast.networks.combination import Combine
from evercast.spec.codec import from_json

__all__ = ["BundleNetworks", "read_ensembles"]

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ratio:
    weights: str | None
    log_norm: float
    calibration: _Calibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calibration:
    kind: Literal["histogram"]
    edges: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variation:
    weights: str | None
    log_norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Polynomial:
    weights: str | None
    terms: tuple[tuple[tuple[str, int], ...], ...]
    constants: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    processes: Mapping[str, _Ratio]
    variations: Mapping[str, Mapping[str, Mapping[str, _Variation]]] = field(default_factory=dict)
    polynomials: Mapping[str, _Polynomial] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleNetworks:
    """The networks of one ensemble; what they give goes by labels.

    Labels are ``PROCESS`` (log ratio of the process to the reference), ``PROCESS.PARAMETER.up`` and ``.down`` (log
    ratio of its varied to its nominal density) and ``PROCESS.polynomial`` (coefficients of the logarithm of its density
    in the nuisance parameters).

    Args:
        name: of the ensemble.
        observables: names of the inputs, in order.
        combine: how members are combined.
        ratios: label -> networks with a log ratio.
        polynomials: label -> networks with coefficients.
        files: label -> file of its weights.
    """

    name: str
    observables: tuple[str, ...]
    combine: Combine
    ratios: Mapping[str, RatioNetworks]
    polynomials: Mapping[str, PolynomialNetworks]
    files: Mapping[str, str]

    def networks(self) -> Iterator[tuple[str, EnsembleWeights]]:
        """Yield every label with its networks."""
        for label, ratio in self.ratios.items():
            yield label, ratio.networks
        for label, polynomial in self.polynomials.items():
            yield label, polynomial.networks

    def reference(
        self, observables: Float[np.ndarray, "events inputs"]
    ) -> dict[str, Float64[np.ndarray, "events ..."]]:
        """Return label -> (events,) log ratios or (events, terms) coefficients, by the reference evaluation in float64.

        Args:
            observables: of events that no network has seen, in the units of the manifest.
        """
        found: dict[str, Float64[np.ndarray, "events ..."]] = {
            label: reference_log_ratio(ratio, observables, combine=self.combine) for label, ratio in self.ratios.items()
        }
        return found | {label: reference_coefficients(one, observables) for label, one in self.polynomials.items()}


def read_ensembles(folder: Path, manifest: Mapping[str, object]) -> dict[str, BundleNetworks]:
    """Return the ensembles whose weights are in a bundle; none where the networks were not disclosed.

    Args:
        folder: of the bundle; digests are the matter of the caller.
        manifest: its ``manifest.json``.

    Raises:
        IntegrityError: ``bundle.ensembles``, the manifest is not what it must be; a file is missing or damaged.
        NumericalFailure: ``weights.not-finite``.
    """
    entries = manifest.get("ensembles")
    if not isinstance(entries, Mapping):
        raise _wrong("'ensembles' is not an object", folder)
    found = {str(name): _ensemble(str(name), entry, folder) for name, entry in entries.items()}
    return {name: ensemble for name, ensemble in found.items() if ensemble is not None}


def _ensemble(name: str, entry: object, folder: Path) -> BundleNetworks | None:
    if not isinstance(entry, Mapping):
        raise _wrong(f"ensemble {name!r} is not an object", folder)
    observables, combine = entry.get("observables"), entry.get("combine")
    if not _is_texts(observables) or combine not in ("mean_log_ratio", "mean_ratio"):
        raise _wrong(f"ensemble {name!r} has the observables {observables!r} and combines {combine!r}", folder)
    try:
        ratios, polynomials = _declared(entry)
    except InvalidInput as err:
        raise _wrong(f"ensemble {name!r}: {err.message}", folder) from err
    files = {label: one.weights for label, one in {**ratios, **polynomials}.items()}
    if all(file is None for file in files.values()):
        return None
    there = {label: _file_name(file, label, folder) for label, file in files.items()}
    return BundleNetworks(
        name=name,
        observables=tuple(observables),
        combine=combine,
        ratios={label: _ratio(one, _weights(folder, there[label], observables)) for label, one in ratios.items()},
        polynomials={
            label: _polynomial(one, _weights(folder, there[label], observables), where=folder / there[label])
            for label, one in polynomials.items()
        },
        files=there,
    )


def _declared(entry: Mapping[str, object]) -> tuple[dict[str, _Ratio | _Variation], dict[str, _Polynomial]]:
    """Return what the manifest says of ratios and of polynomials, by label."""
    found = from_json(
        _Declared, {key: entry[key] for key in ("processes", "variations", "polynomials") if key in entry}
    )
    ratios: dict[str, _Ratio | _Variation] = dict(found.processes)
    for parameter, processes in found.variations.items():
        for process, sides in processes.items():
            ratios |= {f"{process}.{parameter}.{side}": one for side, one in sides.items()}
    return ratios, {f"{process}.polynomial": one for process, one in found.polynomials.items()}


def _is_texts(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(item, str) for item in value)


def _file_name(name: str | None, label: str, folder: Path) -> str:
    if name is None or not _FILE_NAME.fullmatch(name) or name.startswith("."):
        raise _wrong(f"the weights of {label!r} are in {name!r}, which is no name of a file of the bundle", folder)
    return name


def _weights(folder: Path, name: str, observables: Sequence[str]) -> EnsembleWeights:
    networks = read_weights(folder / name)
    if networks.architecture.observables != tuple(observables):
        raise _wrong(
            f"{name} takes the observables {list(networks.architecture.observables)}; the manifest says "
            f"{list(observables)}",
            folder,
        )
    return networks


def _ratio(entry: _Ratio | _Variation, networks: EnsembleWeights) -> RatioNetworks:
    calibration = entry.calibration if isinstance(entry, _Ratio) else None
    return RatioNetworks(
        networks=networks,
        log_norm=entry.log_norm,
        calibration=None
        if calibration is None
        else HistogramCalibration(edges=calibration.edges, values=calibration.values),
    )


def _polynomial(entry: _Polynomial, networks: EnsembleWeights, *, where: Path) -> PolynomialNetworks:
    if entry.terms != networks.architecture.terms or len(entry.constants) != len(entry.terms):
        raise _wrong(f"the terms of {where.name} are not those of the manifest, each with a constant", where.parent)
    return PolynomialNetworks(networks=networks, constants=np.asarray(entry.constants, dtype=np.float64))


def _wrong(message: str, folder: Path) -> IntegrityError:
    return IntegrityError(
        message,
        code="bundle.ensembles",
        where=str(folder / "manifest.json"),
        hint="get the bundle again from where it was published",
    )
