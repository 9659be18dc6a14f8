"""Results that are computed from an archived likelihood itself, without the engine."""

from __future__ import annotations

from dataclasses import replace

from evercast.inference.asimov import asimov_model
from evercast.inference.outcome import compute_outcome, outcome_to_json
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.reinterpretation.neural.answers import Fitted, Limits
from evercast.reinterpretation.neural.gather import fitted_of, limits_of
from evercast.spec.model import Inference

__all__ = ["computed", "expected_model", "lean"]


def lean(inference: Inference, *, scan_range: tuple[float, float], limit: float | None) -> Inference:
    """Return what is inferred without impacts, contours and studies."""
    return replace(inference, scan_points=21, scan_range=scan_range, limit=limit, impacts=False, contours=(), toys={})


def computed(model: LikelihoodModel, inference: Inference, poi: str) -> tuple[Fitted | None, Limits | None]:
    """Return the fit and the limits of a likelihood on its data.

    Raises:
        NumericalFailure: a fit failed.
    """
    body = outcome_to_json(compute_outcome(Likelihood(model), inference=inference, poi=poi))
    return fitted_of(body, poi), limits_of(body)


def expected_model(model: LikelihoodModel) -> LikelihoodModel:
    """Return the likelihood with Asimov data of its initial values.

    Raises:
        InvalidInput: it holds no simulated events.
    """
    likelihood = Likelihood(model)
    return asimov_model(likelihood, likelihood.initial)
