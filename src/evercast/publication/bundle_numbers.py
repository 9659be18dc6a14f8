"""Computes the numbers of a bundle again from its files and compares them with what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_networks import RatioNetworks, reference_log_ratio, reference_outputs
from evercast.artifacts.bundle_vectors import vector_model
from evercast.errors import IntegrityError
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.networks.evaluation import ensemble_coefficients, ensemble_log_ratio
from evercast.publication.findings import Finding
from evercast.publication.report.view import JsonView

__all__ = ["Finding", "compare_best_fit", "compare_likelihood", "compare_networks"]

_EXACT: Final = (1e-9, 1e-9)
"""Absolute and relative tolerance of float64 evaluations against each other."""
_OF_GRADIENT: Final = 100.0
"""Tolerance of the gradient in those of -2 ln L: it is their sum over events, each times a slope."""
_WIDEST: Final = 10.0
"""How many times the tolerance of this version a bundle may ask for."""
_RATIO: Final = (1e-5, 1e-5)
_NLL: Final = (1e-6, 1e-9)
_BEST_FIT: Final = 1e-3
"""Of -2 ln L at the published best fit: a thousandth of what moves an interval by its error."""


def compare_networks(ensembles: Mapping[str, BundleNetworks], vectors: JsonView, *, folder: Path) -> Iterator[Finding]:
    """Yield how the networks agree with the reference vectors: in float64, one by one, and compiled in float32.

    Args:
        ensembles: name -> networks, read from the weights.
        vectors: content of ``reference_vectors.json``.
        folder: of the bundle, for messages.

    Raises:
        IntegrityError: ``bundle.reference`` with the largest difference.
    """
    said = [name for name, _ in vectors.items("log_ratio")]
    if sorted(said) != sorted(ensembles):
        raise _other(f"there are vectors of {said}; the networks are those of {sorted(ensembles)}", folder)
    float32 = _tolerance(vectors.at("log_ratio_tolerance"), _RATIO)
    for name, ensemble in ensembles.items():
        body = vectors.at("log_ratio", name)
        inputs = _array(body.at("observables").value, name, folder)
        if inputs.ndim != 2 or inputs.shape[1] != len(ensemble.observables) or not np.isfinite(inputs).all():
            raise _other(f"the inputs of {name} are not events of {len(ensemble.observables)} observables", folder)
        wanted = {label: _array(value, f"{name}: {label}", folder) for label, value in _by_label(body)}
        if wanted.keys() != {label for label, _ in ensemble.networks()}:
            raise _other(f"{name}: there are vectors of {', '.join(wanted)}, not of every network", folder)
        plain = ensemble.reference(inputs)
        exact = max(_compare(f"{name}: {label}", plain[label], wanted[label], _EXACT, folder) for label in wanted)
        singles = [_single(name, label, ensemble, inputs, body, folder) for label in wanted]
        yield Finding(
            name=f"{name}: numpy",
            detail=f"{len(wanted)} densities at {len(inputs)} inputs by the reference evaluation in float64, and every "
            f"single network at {min(singles)}",
            worst=exact,
        )
        compiled = max(
            _compare(f"{name}: {label}, float32", found, reference, float32, folder)
            for label, found, reference in _compiled(ensemble, inputs)
        )
        yield Finding(
            name=f"{name}: float32",
            detail=f"the same compiled in single precision, tolerance {float32[0]:g} + {float32[1]:g} |x|"
            f"{_wider(float32, _RATIO)}",
            worst=compiled,
        )


def _by_label(body: JsonView) -> Iterator[tuple[str, object]]:
    """Yield label and numbers of the reference vectors."""
    yield from ((process, view.value) for process, view in body.items("log_ratio"))
    for parameter, processes in body.items("variations"):
        for process, sides in processes.items():
            yield from ((f"{process}.{parameter}.{side}", view.value) for side, view in sides.items())
    yield from ((f"{process}.polynomial", view.value) for process, view in body.items("polynomials"))


def _array(value: object, what: str, folder: Path) -> np.ndarray:
    """Return nested lists of numbers as an array.

    Raises:
        IntegrityError: ``bundle.reference``: the lists are not of equal length, or hold something else.
    """
    try:
        found: np.ndarray = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise _other(f"{what}: the numbers are no table", folder) from err
    return found


def _single(name: str, label: str, ensemble: BundleNetworks, inputs: np.ndarray, body: JsonView, folder: Path) -> int:
    """Compare every network by itself, which tells two members apart; return the number of inputs."""
    if body.at("networks", label).value is None:
        raise _other(f"{name}: {label}: there are no outputs of single networks", folder)
    wanted = _array(body.at("networks", label).value, f"{name}: {label}", folder)
    networks = dict(ensemble.networks())[label]
    axes = (*networks.weights.axes(), networks.architecture.outputs)
    if wanted.ndim != 4 or (wanted.shape[0], wanted.shape[1], wanted.shape[3]) != axes or wanted.shape[2] > len(inputs):
        raise _other(f"{name}: {label}: the outputs of single networks have the shape {wanted.shape}", folder)
    found = reference_outputs(networks, inputs[: wanted.shape[2]])
    _compare(f"{name}: {label}, single networks", found, wanted, _EXACT, folder)
    return int(wanted.shape[2])


def _compiled(
    ensemble: BundleNetworks, inputs: Float[np.ndarray, "events inputs"]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield label, the compiled evaluation and the reference, both before a calibration, which jumps at its edges."""
    for label, ratio in ensemble.ratios.items():
        bare: RatioNetworks = replace(ratio, log_norm=0.0, calibration=None)
        networks = ratio.networks
        found = ensemble_log_ratio(
            networks.architecture, networks.weights, inputs, None, combine=ensemble.combine
        ).log_ratio
        yield label, found, reference_log_ratio(bare, inputs, combine=ensemble.combine)
    for label, polynomial in ensemble.polynomials.items():
        networks = polynomial.networks
        coefficients = ensemble_coefficients(networks.architecture, networks.weights, inputs, None)
        yield label, coefficients - polynomial.constants, ensemble.reference(inputs)[label]


def compare_likelihood(model: LikelihoodModel, vectors: JsonView, *, folder: Path) -> Iterator[Finding | str]:
    """Yield how -2 ln L and its gradient agree with the reference points; or that there can be none.

    Raises:
        IntegrityError: ``bundle.reference``.
    """
    shown = vector_model(model)
    points = list(vectors.entries("likelihood"))
    if shown is None:
        if points:
            raise _other("there are points of the likelihood, but no data they can be of", folder)
        yield "-2 ln L (a channel is blind, and has no simulated events either)"
        return
    if not points:
        raise _other("there is no point at which -2 ln L is given", folder)
    likelihood = Likelihood(shown)
    tolerance = _tolerance(vectors.at("likelihood_tolerance"), _NLL)
    of_gradient = (tolerance[0] * _OF_GRADIENT, tolerance[1] * _OF_GRADIENT)
    worst = 0.0
    for number, point in enumerate(points):
        value, gradient = likelihood.value_and_gradient(_at(likelihood.names, point.at("parameters"), folder))
        said = np.array([point.number("twice_nll") if point.number("twice_nll") is not None else np.nan], dtype=float)
        slopes = _at(likelihood.names, point.at("gradient"), folder)
        worst = max(
            worst,
            _compare(f"-2 ln L at point {number}", np.array([value]), said, tolerance, folder),
            _compare(f"gradient of -2 ln L at point {number}", gradient, slopes, of_gradient, folder),
        )
    yield Finding(
        name="-2 ln L",
        detail=f"value and gradient at {len(points)} points of {len(likelihood.names)} parameters"
        f"{_wider(tolerance, _NLL)}",
        worst=worst,
    )


def compare_best_fit(model: LikelihoodModel, results: JsonView, *, folder: Path) -> Iterator[Finding]:
    """Yield how -2 ln L at the published best fit agrees with the published value.

    Raises:
        IntegrityError: ``bundle.reference``.
    """
    said = results.number("observed", "twice_nll")
    if said is None or any(channel.blind for channel in model.channels):
        return
    likelihood = Likelihood(model)
    values = {name: view.at("value") for name, view in results.items("observed", "parameters")}
    point = np.array([_number(values.get(name, JsonView())) for name in likelihood.names])
    found = likelihood.twice_nll(point)
    worst = _compare("-2 ln L at the best fit", np.array([found]), np.array([said]), (_BEST_FIT, 0.0), folder)
    yield Finding(name="best fit", detail="-2 ln L at the published best values is the published one", worst=worst)


def _at(names: Sequence[str], view: JsonView, folder: Path) -> Float64[np.ndarray, " parameters"]:
    if {name for name, _ in view.items()} != set(names):
        raise _other("a point names other parameters than the likelihood has", folder)
    return np.array([_number(view.at(name)) for name in names], dtype=np.float64)


def _number(view: JsonView) -> float:
    value = view.number()
    return float("nan") if value is None else value


def _tolerance(view: JsonView, strictest: tuple[float, float]) -> tuple[float, float]:
    """Return the tolerance that the bundle states, at most ten times that of this version."""
    stated = (view.number("abs"), view.number("rel"))
    return tuple(  # type: ignore[return-value]
        default if value is None else min(value, _WIDEST * default)
        for value, default in zip(stated, strictest, strict=True)
    )


def _wider(used: tuple[float, float], default: tuple[float, float]) -> str:
    """Return what to say of a tolerance that the bundle has widened."""
    if used[0] <= default[0] and used[1] <= default[1]:
        return ""
    asked, own = (f"{absolute:g} + {relative:g} |x|" for absolute, relative in (used, default))
    return f" (tolerance {asked} as the bundle asks; that of evercast is {own})"


def _compare(what: str, found: np.ndarray, wanted: np.ndarray, tolerance: tuple[float, float], folder: Path) -> float:
    """Return the largest difference in tolerances.

    Raises:
        IntegrityError: ``bundle.reference``: it is above 1, or the shapes differ.
    """
    if found.shape != wanted.shape:
        raise _other(f"{what}: {wanted.shape} numbers are given; expected {found.shape}", folder)
    difference = np.abs(found - wanted)
    excess = difference / (tolerance[0] + tolerance[1] * np.abs(wanted))
    worst = float(np.max(excess, initial=0.0))
    if not worst <= 1.0:
        first = int(np.argmax(~(excess <= 1.0)))
        raise _other(
            f"{what}: computed {found.flat[first]:.9g}; the reference says {wanted.flat[first]:.9g}, tolerance "
            f"{tolerance[0]:.3g} + {tolerance[1]:.3g} |x| (largest difference {float(np.nanmax(difference)):.3g})",
            folder,
        )
    return worst


def _other(message: str, folder: Path) -> IntegrityError:
    return IntegrityError(
        message,
        code="bundle.reference",
        where=str(folder / "reference_vectors.json"),
        hint="what is in the bundle does not belong together, or this machine computes otherwise: do not use it",
    )
