"""Stage fit: one likelihood, on its data and on Asimov data of its nominal model."""

from __future__ import annotations

import logging

from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.blinding import blind_channels
from evercast.inference.outcome import Outcome, compute_outcome, outcome_to_json
from evercast.likelihood.evaluate import Likelihood
from evercast.plan.recipes import FitRecipe, Task

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(task: Task[FitRecipe]) -> None:
    """Fit the likelihood and write ``result.json``: observed, and expected at the initial values of the parameters.

    The keys are described in `evercast.inference.outcome_json`. Where a channel is blind and `inference.unblind` is
    false, nothing is computed from the data: `observed` is null and `status` is ``blinded``.

    Raises:
        NumericalFailure: a fit did not pass the guard; nothing is written.
        IntegrityError: the likelihood is missing or damaged.
        InvalidInput: it has no such likelihood, no parameter of interest, or is blind and has no simulation.
    """
    recipe = task.recipe
    model = open_likelihood(task.inputs["likelihood"] / "likelihood", recipe.likelihood)
    blind = () if recipe.inference.unblind else blind_channels(model)
    likelihood = Likelihood(model)
    observed = None if blind else compute_outcome(likelihood, inference=recipe.inference)
    if observed is not None:
        _report("observed", observed)
    expected, missing = _expected(likelihood, recipe)
    shown = observed or expected
    if shown is None:
        message = f"channels {', '.join(blind)} are blind, and there is no expected result: {missing}"
        raise InvalidInput(message, code="likelihood.blind", hint="set inference.unblind, or give it simulation")
    body = outcome_to_json(shown)
    guard = body["guard"]
    problems = [*shown.problems, *([missing] if missing else [])]
    atomic_write_json(
        task.output / "result.json",
        {
            "likelihood": recipe.likelihood,
            "poi": shown.poi,
            "status": "blinded" if observed is None else observed.status,
            "guard": {**guard, "problems": problems} if isinstance(guard, dict) else guard,
            "blinded": list(blind),
            "observed": None if observed is None else body,
            "expected": None if expected is None else outcome_to_json(expected),
        },
    )


def _expected(likelihood: Likelihood, recipe: FitRecipe) -> tuple[Outcome | None, str | None]:
    """Return the results on Asimov data, or why there are none."""
    try:
        model = asimov_model(likelihood, likelihood.initial)
    except InvalidInput as err:
        return None, err.message
    expected = compute_outcome(Likelihood(model), inference=recipe.inference)
    _report("expected", expected)
    return expected, None


def _report(kind: str, outcome: Outcome) -> None:
    best = outcome.fit.parameter(outcome.poi)
    excess = "" if outcome.significance is None else f", Z = {outcome.significance.z:.3g}"
    _log.info("%s: %s = %.4g%s, status %s", kind, outcome.poi, best.value, excess, outcome.status)
    for problem in outcome.problems:
        _log.info("%s: %s", kind, problem)
