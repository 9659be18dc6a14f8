"""Checks 7 and 10: what comes out of Asimov data, nominal ones and ones with a parameter shifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from jaxtyping import Int
from scipy import stats

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import FitResult, fit
from evercast.inference.injection import injected_shift, shifted_parameters
from evercast.inference.simulation_noise import simulation_noise
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import UnbinnedChannelModel
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import Check, judged, not_applicable, topic

__all__ = ["asimov_check", "injection_check"]

_MOST_SHIFTS: Final = 12
_MOST_DRAWN: Final = 40


def asimov_check(
    name: str, likelihood: Likelihood, baseline: FitResult, processes: Mapping[str, Int[np.ndarray, " simulated"]]
) -> Check:
    """Return how far the fit to nominal Asimov data lies from what was put in.

    Args:
        name: of the likelihood.
        likelihood: compiled.
        baseline: fit to its Asimov data.
        processes: unbinned channel -> component of each simulated event; empty where it is not known.
    """
    about = topic(7, None, name, "asimov", name)
    moves = baseline.theta - likelihood.initial
    errors = {entry.name: entry.uncertainty for entry in baseline.parameters if entry.uncertainty}
    pulls = {key: float(moves[likelihood.index(key)] / error) for key, error in errors.items()}
    if not pulls:
        return not_applicable(about, "no parameter has an uncertainty on Asimov data")
    noise = simulation_noise(likelihood, baseline, processes)
    worst = max(pulls, key=lambda key: abs(pulls[key]))
    share = float(noise[likelihood.index(worst)]) / errors[worst]
    p = float(2.0 * stats.norm.sf(abs(pulls[worst]) / share)) if share > 0 else None
    said = "" if p is None else f"; the finite simulation alone gives ±{share:.2g}, p = {p:.2g}"
    shown = sorted(pulls, key=lambda key: -abs(pulls[key]))[:_MOST_DRAWN]
    figure = {
        "kind": "pulls", "names": shown, "values": [pulls[key] for key in shown],
        "simulation": [float(noise[likelihood.index(key)]) / errors[key] for key in shown],
    }  # fmt: skip
    return judged(
        about, abs(pulls[worst]), thresholds.ASIMOV,
        f"largest distance from what was put in {pulls[worst]:+.2g} uncertainties, of {worst} ({len(pulls)} parameters)"
        f"{said}",
        p=p, figure=figure,
    )  # fmt: skip


def injection_check(name: str, likelihood: Likelihood, poi: str, baseline: FitResult) -> Check:
    """Return whether shifted nuisance parameters come out of the fit.

    Args:
        name: of the likelihood.
        likelihood: compiled.
        poi: the parameter of interest.
        baseline: fit to Asimov data of simulated events, used where there is no reference.
    """
    about = topic(10, None, name, "injection", name)
    chosen = shifted_parameters(likelihood, most=_MOST_SHIFTS)
    if not chosen:
        return not_applicable(about, "no nuisance parameter has a unit normal constraint")
    source = _source(likelihood)
    if source == "reference":
        try:
            baseline = fit(Likelihood(asimov_model(likelihood, likelihood.initial, source=source)))
        except (NumericalFailure, InvalidInput) as failure:
            return not_applicable(about, f"no Asimov data can be made of the reference: {failure.message}")
    tried = [injected_shift(likelihood, one, shift=1.0, poi=poi, baseline=baseline, source=source) for one in chosen]
    failed = [item for item in tried if item.bias is None]
    if failed:
        text = f"the fit with {failed[0].parameter} shifted by 1 failed: {failed[0].reason}"
        return judged(about, float("nan"), thresholds.INJECTION, text)
    worst = max(tried, key=lambda item: item.bias or 0.0)
    figure = {
        "kind": "injection", "parameters": [item.parameter for item in tried], "found": [item.found for item in tried],
        "poi_bias": [item.poi_bias for item in tried],
    }  # fmt: skip
    return judged(
        about, worst.bias or 0.0, thresholds.INJECTION,
        f"{len(tried)} parameters shifted by 1 in turn in Asimov data of the {source}: the fit of {worst.parameter} "
        f"moves by {worst.found:.3f}, {worst.worst} is {worst.bias:.2g} uncertainties off, the worst",
        figure=figure,
    )  # fmt: skip


def _source(likelihood: Likelihood) -> Literal["simulation", "reference"]:
    unbinned = [channel for channel in likelihood.model.channels if isinstance(channel, UnbinnedChannelModel)]
    closed = bool(unbinned) and all(channel.reference is not None for channel in unbinned)
    return "reference" if closed else "simulation"
