"""Whether the published fit is a minimum of the published likelihood, and the interval ends where it has to rise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.errors import IntegrityError, InvalidInput, NumericalFailure
from evercast.inference.fit import FitResult, fit
from evercast.inference.intervals import quantile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.publication.findings import Finding
from evercast.publication.report.view import JsonView

__all__ = ["check_fit"]

_LOWER: Final = 1e-2
"""By how much -2 ln L may lie lower elsewhere than at the published best fit: a hundredth of what one sigma is."""
_RISE: Final = 2e-2
"""Of the rise of -2 ln L at an end of an interval."""


def check_fit(model: LikelihoodModel, results: JsonView, *, folder: Path) -> Iterator[Finding | str]:
    """Yield that a new fit finds nothing lower, and that the interval ends where it says; or what was not computed.

    Args:
        model: the likelihood with its observed data.
        results: content of ``results.json``.
        folder: of the bundle, for messages.

    Raises:
        IntegrityError: ``bundle.results``.
    """
    said = results.number("observed", "twice_nll")
    if said is None or any(channel.blind for channel in model.channels):
        yield "the observed fit of results.json (there is none, or a channel is blind)"
        return
    likelihood = Likelihood(model)
    try:
        best = fit(likelihood)
    except NumericalFailure as err:
        yield f"the best fit and interval of results.json (a new fit failed: {err.message})"
        return
    if not said <= best.twice_nll + _LOWER:
        raise _other(
            f"-2 ln L at the published best fit is {said:.6g}; a new fit finds {best.twice_nll:.6g}, which is lower",
            folder,
        )
    yield Finding(
        name="minimum",
        detail=f"a new fit finds no -2 ln L below the published one by more than {_LOWER:g}",
        worst=max(0.0, (said - best.twice_nll) / _LOWER),
    )
    yield from _interval(likelihood, best, results, folder)


def _interval(likelihood: Likelihood, best: FitResult, results: JsonView, folder: Path) -> Iterator[Finding | str]:
    interval, poi = results.at("observed", "interval"), results.text("poi")
    level = interval.number("confidence_level")
    if poi is None or level is None:
        yield "the interval of results.json (there is none)"
        return
    try:
        wanted = quantile(level)
        ends = _ends(likelihood, interval, poi)
        rises = [_rise(likelihood, best, poi, end) for end in ends]
    except (InvalidInput, NumericalFailure) as err:
        yield f"the interval of results.json (a fit failed: {err.message})"
        return
    open_ends = _open_ends(likelihood, results, poi)
    off = [
        max(0.0, rise - wanted) if np.isclose(end, open_ends, rtol=1e-9, atol=1e-12).any() else abs(rise - wanted)
        for end, rise in zip(ends, rises, strict=True)
    ]
    for end, rise, one in zip(ends, rises, off, strict=True):
        if not one <= _RISE:
            raise _other(
                f"-2 ln L at {poi} = {end:.6g}, an end of the interval, is {rise:.4g} above its minimum; expected "
                f"{wanted:.4g} at the level {level:g}",
                folder,
            )
    detail = f"at both ends -2 ln L, all else fitted, is {wanted:.4g} above its minimum, or less at a bound"
    yield Finding(name="interval", detail=detail, worst=max(off) / _RISE)


def _ends(likelihood: Likelihood, interval: JsonView, poi: str) -> list[float]:
    """Return both ends of an interval.

    Raises:
        InvalidInput: ``fit.poi``, an end is missing, or out of the bounds of the parameter.
    """
    ends = [interval.number("low"), interval.number("high")]
    if poi not in likelihood.names or None in ends:
        raise InvalidInput(f"there is no interval of a parameter {poi!r} of the likelihood", code="fit.poi")
    return [end for end in ends if end is not None]


def _open_ends(likelihood: Likelihood, results: JsonView, poi: str) -> list[float]:
    """Return where an interval may end although -2 ln L has not risen: bounds, and where the scan ends."""
    index = likelihood.index(poi)
    scanned = results.numbers("observed", "scan", "values")
    return [float(likelihood.lower[index]), float(likelihood.upper[index]), *scanned[[0, -1] if len(scanned) else []]]


def _rise(likelihood: Likelihood, best: FitResult, poi: str, value: float) -> float:
    """Return how far -2 ln L, all else fitted, lies above its minimum; the lower of two starts."""
    starts: tuple[Float64[np.ndarray, " parameters"] | None, ...] = (best.theta, None)
    index = likelihood.index(poi)
    if not likelihood.lower[index] <= value <= likelihood.upper[index]:
        return float("inf")
    values = [fit(likelihood, fixed={poi: value}, start=start).twice_nll for start in starts]
    return min(values) - best.twice_nll


def _other(message: str, folder: Path) -> IntegrityError:
    return IntegrityError(
        f"the published results are not those of the published likelihood: {message}",
        code="bundle.results",
        where=str(folder / "results.json"),
        hint="do not use results.json: fit the likelihood, or get the bundle again from where it was published",
    )
