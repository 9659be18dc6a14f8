"""Stage fit: one likelihood, on its data and on Asimov data of its nominal model."""

from __future__ import annotations

import logging

from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.outcome import Outcome, compute_outcome, outcome_to_json
from evercast.likelihood.evaluate import Likelihood
from evercast.plan.recipes import FitRecipe, Task

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(task: Task[FitRecipe]) -> None:
    """Fit the likelihood and write ``result.json``: observed, and expected at the initial values of the parameters.

    Raises:
        NumericalFailure: a fit did not pass the guard; nothing is written.
        IntegrityError: the likelihood is missing or damaged.
        InvalidInput: it has no such likelihood, or no parameter of interest.
    """
    recipe = task.recipe
    model = open_likelihood(task.inputs["likelihood"] / "likelihood", recipe.likelihood)
    likelihood = Likelihood(model)
    observed = compute_outcome(likelihood, inference=recipe.inference)
    _report("observed", observed)
    expected, missing = _expected(likelihood, recipe)
    problems = (*observed.problems, *((missing,) if missing else ()))
    body: dict[str, object] = {"likelihood": recipe.likelihood, "poi": observed.poi, "status": observed.status}
    observed_body = outcome_to_json(observed)
    guard = observed_body["guard"]
    body["guard"] = {**guard, "problems": list(problems)} if isinstance(guard, dict) else guard
    body["observed"] = observed_body
    body["expected"] = None if expected is None else outcome_to_json(expected)
    atomic_write_json(task.output / "result.json", body)


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
    _log.info(
        "%s: %s = %.4g, Z = %.3g, status %s", kind, outcome.poi, best.value, outcome.significance.z, outcome.status
    )
    for problem in outcome.problems:
        _log.info("%s: %s", kind, problem)
