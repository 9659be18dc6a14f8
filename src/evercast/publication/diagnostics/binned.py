"""Check 9: the unbinned likelihood against histograms of a log likelihood ratio with 5, 10 and 20 bins."""

from __future__ import annotations

from typing import Final

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.binned_comparison import Discriminant, binned_model
from evercast.inference.fit import FitResult, fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import UnbinnedChannelModel
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import Check, judged, not_applicable, topic

__all__ = ["BINS", "binned_check"]

BINS: Final = (5, 10, 20)


def binned_check(name: str, likelihood: Likelihood, poi: str, *, baseline: FitResult, observed: float | None) -> Check:
    """Return the comparison of uncertainties on Asimov data; of best values too where data may be looked at.

    Args:
        name: of the likelihood.
        likelihood: with the observed data.
        poi: the parameter of interest.
        baseline: fit of the unbinned likelihood to Asimov data.
        observed: best value of the unbinned likelihood; None where it may not be compared.
    """
    about = topic(9, None, name, "binned", name)
    sigma = baseline.parameter(poi).uncertainty
    if not any(isinstance(channel, UnbinnedChannelModel) for channel in likelihood.model.channels):
        return not_applicable(about, "the likelihood has no unbinned channel")
    if sigma is None:
        return not_applicable(about, f"{poi} lies at a bound on Asimov data: it has no uncertainty to compare")
    try:
        found = [_fits(likelihood, poi, sigma, bins, with_data=observed is not None) for bins in BINS]
    except (NumericalFailure, InvalidInput) as failure:
        return not_applicable(about, f"the histogram could not be fitted: {failure.message}")
    sigmas, values = [item[0] for item in found], [item[1] for item in found]
    if sigmas[-1] is None:
        return not_applicable(about, f"{poi} lies at a bound in the histogram: it has no uncertainty to compare")
    text = ", ".join(f"{s:.4g} ({b})" for s, b in zip(sigmas, BINS, strict=True) if s is not None)
    data = "" if observed is None or values[-1] is None else f"; best value {values[-1]:.4g} (20) and {observed:.4g}"
    figure = {
        "kind": "binned", "bins": list(BINS), "sigma": sigmas, "unbinned_sigma": sigma, "observed": values,
        "unbinned_observed": observed, "poi": poi,
    }  # fmt: skip
    return judged(
        about, abs(sigmas[-1] / sigma - 1.0), thresholds.BINNED_GAP,
        f"expected uncertainty of {poi}: {text} with bins, {sigma:.4g} unbinned{data}", figure=figure,
    )  # fmt: skip


def _fits(
    likelihood: Likelihood, poi: str, sigma: float, bins: int, *, with_data: bool
) -> tuple[float | None, float | None]:
    """Return the uncertainty on Asimov data and the best value on the data."""
    nominal = float(likelihood.initial[likelihood.index(poi)])
    step = min(sigma, float(likelihood.upper[likelihood.index(poi)]) - nominal)
    discriminant = Discriminant(poi=poi, low=nominal, high=nominal + (step if step > 0 else -sigma))
    binned = Likelihood(binned_model(likelihood, discriminant, bins=bins))
    expected = fit(Likelihood(asimov_model(binned, binned.initial))).parameter(poi).uncertainty
    return expected, fit(binned).parameter(poi).value if with_data else None
