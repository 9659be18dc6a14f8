"""Another parametrisation of an archived likelihood: nothing is selected, evaluated or trained."""

from __future__ import annotations

import math
import time

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_source import LikelihoodSource, open_likelihood_source
from evercast.errors import IntegrityError, InvalidInput, NumericalFailure
from evercast.inference.blinding import blind_channels
from evercast.inference.fit import poi_of
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.neural.answers import ParametrisationAnswer, UnitUse
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.networks import ArchivedNetworks
from evercast.reinterpretation.neural.outcomes import computed, expected_model, lean
from evercast.spec.model import Inference

__all__ = ["answer_parametrisation"]


def answer_parametrisation(frozen: FrozenNeural, archived: ArchivedRun) -> ParametrisationAnswer:
    """Return intervals and limits of an archived likelihood in the parameters of a document.

    Raises:
        InvalidInput: the document is not valid, or does not fit the likelihood.
        IntegrityError: the document is not the one that was submitted.
    """
    clock = time.monotonic()
    asked = frozen.asked()
    stated = asked.signal.parametrisation
    if stated is None:
        raise InvalidInput("no parametrisation is asked", code="request.signal-form", where="$.signal")
    document = frozen.parametrisation(stated)
    if not document.is_file() or sha256_file(document) != stated.sha256:
        message = "the document is not the one that was submitted"
        raise IntegrityError(message, code="request.frozen", where=str(document), hint="submit the request again")
    source = LikelihoodSource(
        path=ArchivedNetworks(archived=archived).likelihoods, name=frozen.likelihood,
        parametrisation=document,
    )  # fmt: skip
    model = open_likelihood_source(source)
    likelihood = Likelihood(model)
    poi, analysis = poi_of(likelihood), archived.side.analysis
    index = likelihood.index(poi)
    low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
    limited = asked.wanted.limits and low <= 0.0 < high
    inference = lean(
        analysis.inference, scan_range=_range(model, poi),
        limit=asked.wanted.confidence_level if limited else None,
    )  # fmt: skip
    answer = ParametrisationAnswer(
        status="ok", likelihood=frozen.likelihood, parameters=tuple(model.parameter_names), parameter=poi
    )
    blind = not asked.wanted.observed or (bool(blind_channels(model)) and not analysis.inference.unblind)
    return _with_results(answer, model, inference, archived, blind=blind, clock=clock)


def _with_results(
    answer: ParametrisationAnswer, model: LikelihoodModel, inference: Inference, archived: ArchivedRun, *, blind: bool,
    clock: float,
) -> ParametrisationAnswer:  # fmt: skip
    observed, limits, reason = None, None, None
    try:
        expected, expected_limits = computed(expected_model(model), inference, answer.parameter)
        if not blind:
            observed, limits = computed(model, inference, answer.parameter)
    except (InvalidInput, NumericalFailure) as err:
        expected, expected_limits, reason = None, None, str(err)
    shown = observed or expected
    units = tuple(
        UnitUse(id=unit.id, stage=unit.stage, name=unit.name, key=unit.key, origin="archive")
        for unit in archived.side.plan.of_stage("serialization")
    )
    return ParametrisationAnswer(
        status="failed" if shown is None else shown.status, reason=reason, likelihood=answer.likelihood,
        parameters=answer.parameters, parameter=answer.parameter, observed=observed, expected=expected,
        limits=limits or expected_limits, units=units, seconds=time.monotonic() - clock,
    )  # fmt: skip


def _range(model: LikelihoodModel, poi: str) -> tuple[float, float]:
    """Return where the parameter of interest is scanned: within its bounds, or about its initial value."""
    parameter = next(one for one in model.parameters if one.name == poi)
    low, high = parameter.bounds
    width = max(abs(parameter.initial), 1.0)
    return (
        low if math.isfinite(low) else parameter.initial - 5.0 * width,
        high if math.isfinite(high) else parameter.initial + 5.0 * width,
    )
