"""Shifts of nuisance parameters that are put in Asimov data and have to come out of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model, nominal_point
from evercast.inference.fit import FitResult, fit
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Recovery", "injected_shift", "shifted_parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The fit to Asimov data with one parameter shifted.

    Args:
        parameter: the one that was shifted.
        injected: by how much, in units of its constraint; its global observable moves along.
        found: by how much its best value moved; None where the fit failed.
        bias: the largest distance of any parameter's move from the one put in, in units of its uncertainty.
        worst: the parameter with that distance.
        poi_bias: the move of the parameter of interest, likewise; none was put in.
        reason: why there is no result.
    """

    parameter: str
    injected: float
    found: float | None
    bias: float | None = None
    worst: str | None = None
    poi_bias: float | None = None
    reason: str | None = None


def injected_shift(
    likelihood: Likelihood, parameter: str, *, shift: float, poi: str, baseline: FitResult | None = None,
    source: Literal["simulation", "reference"] = "simulation",
) -> Recovery:  # fmt: skip
    """Return how the best fit moves when `parameter` moves in Asimov data, all others at their initial values.

    Simulated events are reweighted with the morphs themselves, so the test is of yields, of the morphs' normalisation
    and of the minimiser; it is no test of whether the morphs are right.

    Args:
        likelihood: compiled.
        parameter: with a constraint.
        shift: in units of the parameter.
        poi: the parameter of interest.
        baseline: best fit to the Asimov data without the shift, from which moves are counted; so the statistics of the
            simulation, which both data share, drops out. None: moves are counted from the initial values.
        source: what Asimov data of unbinned channels are made of. With the reference, over which Z is the mean, the
            loop is closed and the fit must return what was put in.
    """
    initial = likelihood.initial
    theta = nominal_point(likelihood, **{parameter: float(initial[likelihood.index(parameter)]) + shift})
    try:
        result = fit(
            Likelihood(asimov_model(likelihood, theta, source=source)),
            start=initial if baseline is None else baseline.theta,
        )
    except (NumericalFailure, InvalidInput) as failure:
        return Recovery(parameter=parameter, injected=shift, found=None, reason=failure.message)
    moves = result.theta - (initial if baseline is None else baseline.theta)
    distances = {
        entry.name: float(abs(move - put_in) / entry.uncertainty)
        for entry, move, put_in in zip(result.parameters, moves, theta - initial, strict=True)
        if entry.uncertainty
    }
    if not distances:
        return Recovery(parameter=parameter, injected=shift, found=None, reason="no parameter is free")
    worst = max(distances, key=lambda name: distances[name])
    return Recovery(
        parameter=parameter, injected=shift, found=float(moves[likelihood.index(parameter)]), bias=distances[worst],
        worst=worst, poi_bias=distances.get(poi),
    )  # fmt: skip


def shifted_parameters(likelihood: Likelihood, *, most: int) -> Sequence[str]:
    """Return the parameters with a normal constraint of width 1 around their initial value, at most `most`."""
    chosen = [
        p.name
        for p in likelihood.model.parameters
        if p.constraint == "normal" and p.width == 1.0 and not p.fixed and p.bounds[0] <= p.initial + 1 <= p.bounds[1]
    ]
    return chosen[:most]
