"""What a request asks of an archive: its new processes, and what of `wanted` can be computed of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from evercast.artifacts.files import canonical_json
from evercast.errors import InvalidInput
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.model import NewPoint, NewProcess, Request
from evercast.spec.codec import to_json
from evercast.spec.evaluation import value_of
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import Analysis, UnbinnedChannel

__all__ = [
    "check_wanted", "coefficient_at", "coefficient_of", "nominal_of", "process_of", "refuse_same", "unbinned_ensembles",
]  # fmt: skip

_BEYOND: Final = 10
"""Pseudo-experiments that must lie beyond a quantile of the Neyman construction."""


def process_of(point: NewPoint) -> NewProcess:
    """Return the process that events are; one with all defaults where the request says nothing of it."""
    return point.process or NewProcess()


def coefficient_of(process: NewProcess) -> str:
    """Return what multiplies a new process."""
    return process.coefficient or process.parameter


def nominal_of(process: NewProcess) -> float:
    """Return the value of the new parameter at which expected results are: 1, or the largest one below it."""
    return min(1.0, process.bounds[1])


def coefficient_at(process: NewProcess, value: float, analysis: Analysis) -> float | None:
    """Return what multiplies a new process at a value of its parameter, all others at their initial values.

    Returns:
        None where it is undefined.
    """
    values = {name: float(one.initial) for name, one in analysis.parameters.items()}
    return value_of(parse_coefficient(coefficient_of(process)), {**values, process.parameter: value})


def unbinned_ensembles(analysis: Analysis, likelihood: str) -> tuple[str, ...]:
    """Return the ensembles whose networks a likelihood uses."""
    channels = analysis.likelihoods[likelihood].channels.values()
    return tuple(dict.fromkeys(one.ensemble for one in channels if isinstance(one, UnbinnedChannel)))


def check_wanted(request: Request, analysis: Analysis, likelihood: str) -> None:
    """Refuse what cannot be computed, so that nothing that is asked is left out without a word.

    Args:
        request: to the archive.
        analysis: the archived document.
        likelihood: that is asked.

    Raises:
        InvalidInput: ``request.toys``, ``request.bounds``, ``request.mu``, ``request.no-process``,
            ``request.not-observed``, ``request.no-networks``, ``request.multiplicity``, ``request.systematic``.
    """
    wanted = request.wanted
    points = request.signal.points
    processes = {name: process_of(point) for name, point in points.items() if not point.model_point}
    for name, point in points.items():
        _check_stated(name, point)
    of_process = {
        "injection": bool(wanted.injection), "neyman": wanted.neyman, "training_statistics": wanted.training_statistics,
        "mu": wanted.mu != 1.0,
    }  # fmt: skip
    for key, is_asked in of_process.items():
        if is_asked and not processes:
            message = "this can be computed of a new process alone, and the request has none"
            raise InvalidInput(message, code="request.no-process", where=f"$.wanted.{key}")
    for name, process in processes.items():
        if not wanted.mu <= process.bounds[1]:
            message = (
                f"CLs is asked at {wanted.mu:g}; {process.parameter} of point {name} ends at {process.bounds[1]:g}"
            )
            raise InvalidInput(message, code="request.mu", where="$.wanted.mu", hint="state mu, or wider bounds")
    if wanted.neyman and not wanted.observed:
        message = "the Neyman construction compares with the data, which are not looked at"
        raise InvalidInput(message, code="request.not-observed", where="$.wanted.neyman", hint="observed: true")
    if wanted.training_statistics and not unbinned_ensembles(analysis, likelihood):
        message = f"the likelihood '{likelihood}' has no networks"
        raise InvalidInput(message, code="request.no-networks", where="$.wanted.training_statistics")
    _check_toys(request, processes)


def _check_stated(name: str, point: NewPoint) -> None:
    where = f"$.signal.points.{name}"
    if point.values:
        message = f"the point has {len(point.values)} values, an archive has no axes"
        raise InvalidInput(message, code="request.multiplicity", where=where, hint="leave values out")
    sample = point.events or point.generate
    if point.model_point and sample is not None and sample.systematic > 0.0:
        message = "a sample of the archived model has the uncertainties of that model, and no other"
        raise InvalidInput(message, code="request.systematic", where=where, hint="leave systematic out")


def _check_toys(request: Request, processes: Mapping[str, NewProcess]) -> None:
    wanted = request.wanted
    needed = math.ceil(_BEYOND / (1 - wanted.confidence_level))
    if wanted.neyman and wanted.toys < needed:
        message = (
            f"{wanted.toys} pseudo-experiments are too few for the Neyman construction at {wanted.confidence_level:g}"
        )
        raise InvalidInput(message, code="request.toys", where="$.wanted.toys", hint=f"at least {needed}")
    if wanted.injection and not wanted.toys:
        message = "an injection needs pseudo-experiments"
        raise InvalidInput(message, code="request.toys", where="$.wanted.toys", hint="e.g. toys: 200")
    for name, process in processes.items():
        low, high = process.bounds
        outside = [value for value in wanted.injection if not low <= value <= high]
        if outside:
            message = (
                f"the injected value {outside[0]:g} lies outside of the bounds of point {name}: {low:g} to {high:g}"
            )
            raise InvalidInput(message, code="request.bounds", where="$.wanted.injection")


def refuse_same(request: Request, signals: Mapping[str, DeclaredSignal]) -> None:
    """Refuse the same signal under two names.

    Raises:
        InvalidInput: ``request.duplicate-point``.
    """
    seen: dict[bytes, str] = {}
    for name, signal in signals.items():
        point = request.signal.points[name]
        meaning = dict(point.model_point) or to_json(process_of(point))
        key = canonical_json({"sample": signal.sample, "meaning": meaning, "systematic": signal.systematic})
        if (other := seen.setdefault(key, name)) != name:
            message = f"the points '{other}' and '{name}' have the same signal"
            raise InvalidInput(message, code="request.duplicate-point", where="$.signal")
