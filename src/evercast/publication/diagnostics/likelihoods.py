"""Checks of each likelihood: morphs (4, 14), Asimov data (7, 9, 10), gradient (8), positivity (13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.derivative_check import gradient_check, scattered_points
from evercast.inference.fit import fit
from evercast.inference.morph_checks import intensity
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import EventSet, UnbinnedChannelModel
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.asimov import asimov_check, injection_check
from evercast.publication.diagnostics.binned import binned_check
from evercast.publication.diagnostics.check import Check, judged, not_applicable, topic
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.morphs import morph_checks
from evercast.publication.report.view import JsonView

__all__ = ["likelihood_checks"]

Point = Float[np.ndarray, " parameters"]

_RANDOM_POINTS: Final = 3
_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fitted:
    """A compiled likelihood and where it was fitted.

    Args:
        likelihood: on observed data, or on Asimov data where a channel is blind.
        theta: best fit on these data as ``result.json`` has it.
        scale: uncertainties; 0 for parameters without.
        data: ``observed`` or ``expected``.
    """

    likelihood: Likelihood
    theta: Point
    scale: Point
    data: str


def likelihood_checks(run: RunContents) -> Iterator[Check]:
    """Yield the checks of every likelihood that was fitted.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    for name in run.analysis.likelihoods:
        likelihood = run.likelihood(name)
        if likelihood is None:
            continue
        for channel in likelihood.model.channels:
            if isinstance(channel, UnbinnedChannelModel):
                yield from morph_checks(name, channel)
        fitted = _fitted(run, name, likelihood)
        if fitted is None:
            yield not_applicable(topic(8, None, name, "gradient", name), "there is no fit to start from")
            continue
        yield _gradient(name, fitted)
        yield from _positivity(name, fitted)
        yield from _on_asimov(run, name, likelihood, fitted)


def _fitted(run: RunContents, name: str, likelihood: Likelihood) -> _Fitted | None:
    view = run.result_view(name)
    data = "expected" if run.blind(name) or view.at("observed").value is None else "observed"
    parameters = dict(view.items(data, "fit", "parameters"))
    if set(likelihood.names) - set(parameters):
        return None
    if data == "expected":
        try:
            likelihood = Likelihood(asimov_model(likelihood, likelihood.initial))
        except (NumericalFailure, InvalidInput):
            return None
    theta = np.array([parameters[p].number("value") or 0.0 for p in likelihood.names])
    scale = np.array([_uncertainty(parameters[p]) for p in likelihood.names])
    return _Fitted(likelihood=likelihood, theta=theta, scale=scale, data=data)


def _uncertainty(parameter: JsonView) -> float:
    held = bool(parameter.at("fixed").value) or bool(parameter.at("at_bound").value)
    return 0.0 if held else parameter.number("uncertainty") or 0.0


def _gradient(name: str, fitted: _Fitted) -> Check:
    about = topic(8, None, name, "gradient", name)
    likelihood = fitted.likelihood
    scattered = scattered_points(likelihood, fitted.theta, scale=fitted.scale, count=_RANDOM_POINTS, seed=_SEED)
    points = {"best fit": fitted.theta} | {f"random point {n + 1}": point for n, point in enumerate(scattered)}
    found = {key: gradient_check(likelihood, point, scale=fitted.scale) for key, point in points.items()}
    compared = {key: item for key, item in found.items() if item.directions}
    if not compared:
        return not_applicable(about, "no parameter can be varied within its bounds")
    where = max(compared, key=lambda key: compared[key].difference)
    figure = {
        "kind": "gradient",
        "points": list(compared),
        "difference": [item.difference for item in compared.values()],
    }
    return judged(
        about, compared[where].difference, thresholds.GRADIENT,
        f"largest relative difference of gradient and finite difference {compared[where].difference:.1e}, at {where} "
        f"along {compared[where].direction}; {len(compared)} points ({fitted.data} data), "
        f"{compared[where].directions} directions",
        figure=figure,
    )  # fmt: skip


def _positivity(name: str, fitted: _Fitted) -> Iterator[Check]:
    """Yield, for each unbinned channel, where the total intensity is not positive at the best fit and one error off."""
    likelihood = fitted.likelihood
    unbinned = [channel for channel in likelihood.model.channels if isinstance(channel, UnbinnedChannelModel)]
    if not unbinned:
        yield not_applicable(topic(13, None, name, "positivity", name), "the likelihood has no unbinned channel")
    for channel in unbinned:
        about = topic(13, None, f"{name}: {channel.name}", "positivity", name, channel.name)
        sets = {fitted.data: channel.events, "simulation": channel.simulation, "reference": channel.reference}
        counts: dict[str, dict[str, float]] = {}
        for where, theta in _around(fitted).items():
            expected = likelihood.expected_events(theta)[channel.name]
            values = dict(zip(likelihood.names, theta.tolist(), strict=True))
            for kind, events in sets.items():
                if events is not None and len(events.weight):
                    share = _share_not_positive(channel, events, expected, values)
                    counts.setdefault(kind, {})[where] = share
        at_best = {kind: shares["best fit"] for kind, shares in counts.items()}
        value = 1.0 if at_best.get("observed") else max(at_best.values(), default=0.0)
        nearby = max((share for shares in counts.values() for share in shares.values()), default=0.0)
        yield judged(
            about, value, thresholds.NEGATIVE_INTENSITY,
            "share of events at which the total intensity is not positive at the best fit: "
            + ", ".join(f"{kind} {share:.2g}" for kind, share in at_best.items())
            + f"; within one uncertainty of the parameter of interest {nearby:.2g} at most",
            figure={"kind": "positivity", "shares": counts},
        )  # fmt: skip


def _around(fitted: _Fitted) -> dict[str, Point]:
    """Return the best fit and the points one uncertainty of the parameter of interest away, others held."""
    likelihood, points = fitted.likelihood, {"best fit": fitted.theta}
    poi = likelihood.model.poi
    if poi is None:
        return points
    index = likelihood.index(poi.name)
    for label, sign in (("−1 σ", -1.0), ("+1 σ", 1.0)):
        theta = fitted.theta.copy()
        moved = theta[index] + sign * fitted.scale[index]
        theta[index] = np.clip(moved, likelihood.lower[index], likelihood.upper[index])
        points[label] = theta
    return points


def _share_not_positive(
    channel: UnbinnedChannelModel, events: EventSet, expected: Float[np.ndarray, " components"],
    values: dict[str, float],
) -> float:  # fmt: skip
    total = intensity(channel, events, expected, values)
    weight = np.abs(np.asarray(events.weight, dtype=np.float64))
    whole = float(np.sum(weight))
    return float(np.sum(weight[~(total > 0)])) / whole if whole > 0 else 0.0


def _on_asimov(run: RunContents, name: str, likelihood: Likelihood, fitted: _Fitted) -> Iterator[Check]:
    """Yield the checks that need Asimov data: closure, bins and injected shifts."""
    poi = likelihood.model.poi
    topics = [topic(7, None, name, "asimov", name), topic(9, None, name, "binned", name)]
    topics.append(topic(10, None, name, "injection", name))
    if poi is None:
        for about in topics:
            yield not_applicable(about, "no parameter of interest is declared")
        return
    try:
        baseline = fit(Likelihood(asimov_model(likelihood, likelihood.initial)))
    except (NumericalFailure, InvalidInput) as failure:
        for about in topics:
            yield not_applicable(about, f"there are no expected results: {failure.message}")
        return
    seen = fitted.data == "observed" and not run.blind(name)
    observed = float(fitted.theta[likelihood.index(poi.name)]) if seen else None
    yield asimov_check(name, likelihood, baseline, run.simulated_processes(name))
    yield binned_check(name, likelihood, poi.name, baseline=baseline, observed=observed)
    yield injection_check(name, likelihood, poi.name, baseline)
