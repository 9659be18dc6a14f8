"""A request against the archive that it asks: what it asks for exists there, or it is refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.neural.asked import (
    check_wanted,
    coefficient_at,
    coefficient_of,
    nominal_of,
    process_of,
    refuse_same,
    unbinned_ensembles,
)
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.declaring import declare_signal
from evercast.reinterpretation.requests.model import NewPoint, NewProcess, Request
from evercast.reinterpretation.requests.side_files import check_side_file
from evercast.spec.expressions import names as names_in
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Analysis
from evercast.spec.report import did_you_mean
from evercast.spec.systematics import parameter_of

__all__ = ["NeuralResolved", "check_neural"]

_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuralResolved:
    """A request that an archive can answer.

    Args:
        likelihood: of the archive, that is asked.
        folder: of the request, where its files lie.
        signals: point -> its events as the engine reads them; its files agree with the request.
    """

    request: Request
    archived: ArchivedRun
    likelihood: str
    folder: Path
    signals: Mapping[str, DeclaredSignal]


def check_neural(request: Request, archived: ArchivedRun, *, folder: Path) -> NeuralResolved:
    """Return a request that the archive can answer; nothing is written.

    Whether a signal lies where the networks were trained is seen when its events are selected, before anything is
    trained (`evercast.reinterpretation.neural.domain`).

    Raises:
        InvalidInput: the request does not fit the archive.
        IntegrityError: ``request.analysis-digest``; a file is not the one that is stated, or holds other events.
    """
    analysis = archived.side.analysis
    digest = archived.version.bag.id
    if request.analysis.digest not in {None, digest}:
        message = f"the archive of {analysis.name} at hand has the id {digest}; the request names another one"
        hint = f"asked for: {request.analysis.digest}"
        raise IntegrityError(message, code="request.analysis-digest", where=request.name, hint=hint)
    _check_collision(request, analysis)
    likelihood = _likelihood(request, analysis)
    if request.signal.published or request.signal.every:
        message = "an archive has no published signal points; give events of your own"
        raise InvalidInput(message, code="request.unknown-point", where="$.signal.published")
    for name, point in request.signal.points.items():
        _check_point(name, point, analysis)
    if request.signal.parametrisation is not None:
        check_side_file(folder, request.signal.parametrisation)
    check_wanted(request, analysis, likelihood)
    signals = dict(_declared(request, analysis, folder))
    refuse_same(request, signals)
    return NeuralResolved(request=request, archived=archived, likelihood=likelihood, folder=folder, signals=signals)


def _declared(request: Request, analysis: Analysis, folder: Path) -> Iterator[tuple[str, DeclaredSignal]]:
    for name, point in request.signal.points.items():
        where = f"$.signal.points.{name}"
        if request.collision is None:
            message = "a request with signals of its own must say for which collisions they were computed"
            raise InvalidInput(message, code="request.no-collision", where=where)
        yield name, declare_signal(point, analysis, collision=request.collision, folder=folder, where=where)


def _check_collision(request: Request, analysis: Analysis) -> None:
    stated, known = request.collision, analysis.metadata.sqrt_s_tev
    if stated is not None and stated.sqrt_s_tev not in known:
        message = f"the signal is of collisions at {stated.sqrt_s_tev:g} TeV; the analysis is of " + " and ".join(
            f"{value:g}" for value in known
        )
        raise InvalidInput(f"{message} TeV", code="request.collision", where="$.collision")


def _likelihood(request: Request, analysis: Analysis) -> str:
    named = request.analysis.likelihood
    if named is not None:
        if named not in analysis.likelihoods:
            hint = did_you_mean(named, analysis.likelihoods) or f"it has {', '.join(analysis.likelihoods)}"
            message = f"the archive has no likelihood '{named}'"
            raise InvalidInput(message, code="request.likelihood", where="$.analysis.likelihood", hint=hint)
        return named
    published = analysis.publish.neural_likelihood
    if published is not None:
        return published.likelihood
    neural = [name for name in analysis.likelihoods if unbinned_ensembles(analysis, name)]
    return next(iter(neural), next(iter(analysis.likelihoods)))


def _check_point(name: str, point: NewPoint, analysis: Analysis) -> None:
    where = f"$.signal.points.{name}"
    if point.events is None and point.generate is None:
        message = f"an archive of a run is asked with `events` or `generate`, not with `{point.form}`"
        raise InvalidInput(message, code="request.signal-form", where=where)
    if point.model_point:
        _check_model_point(point.model_point, analysis, where=f"{where}.model_point")
    else:
        _check_process(process_of(point), analysis, where=f"{where}.process")


def _taken(analysis: Analysis) -> Iterator[str]:
    """Yield the names of all parameters."""
    yield from analysis.parameters
    for name, systematic in analysis.systematics.items():
        yield parameter_of(name, systematic)


def _check_process(process: NewProcess, analysis: Analysis, *, where: str) -> None:
    if process.parameter in set(_taken(analysis)):
        message = f"the model has a parameter '{process.parameter}' already; a new process brings its own"
        raise InvalidInput(message, code="request.parameter", where=where)
    known = (*analysis.parameters, process.parameter)
    used = names_in(parse_coefficient(coefficient_of(process)))
    unknown = sorted(used - set(known))
    if unknown:
        message = f"the coefficient uses '{unknown[0]}'; parameters: {', '.join(known)}"
        raise InvalidInput(message, code="request.coefficient", where=where)
    if process.parameter not in used:
        message = f"the coefficient '{coefficient_of(process)}' does not use '{process.parameter}'"
        raise InvalidInput(message, code="request.coefficient", where=where)
    low, high = process.bounds
    if not low <= 0.0 < high:
        message = f"0, the absence of the process, must be a value of '{process.parameter}': {low:g} to {high:g}"
        raise InvalidInput(message, code="request.bounds", where=where)
    absent, there = (coefficient_at(process, value, analysis) for value in (0.0, nominal_of(process)))
    if absent is None or there is None or abs(absent) > _NOTHING or there <= 0.0:
        message = (
            f"the coefficient '{coefficient_of(process)}' is {_shown(absent)} at {process.parameter} = 0 and "
            f"{_shown(there)} at {nominal_of(process):g}; without the process it must be 0, and positive with it"
        )
        hint = "CLs compares with the absence of the process, at 0"
        raise InvalidInput(message, code="request.coefficient", where=where, hint=hint)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:g}"


def _check_model_point(values: Mapping[str, float], analysis: Analysis, *, where: str) -> None:
    for name, value in values.items():
        parameter = analysis.parameters.get(name)
        if parameter is None:
            hint = did_you_mean(name, analysis.parameters) or f"it has {', '.join(analysis.parameters)}"
            raise InvalidInput(f"the model has no parameter '{name}'", code="request.parameter", where=where, hint=hint)
        low, high = parameter.bounds or (-math.inf, math.inf)
        if not low <= value <= high:
            message = f"{name} = {value:g} lies outside of its bounds, {low:g} to {high:g}"
            raise InvalidInput(message, code="request.bounds", where=where)
