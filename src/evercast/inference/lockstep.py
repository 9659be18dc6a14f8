"""Computations that ask for expansions of -2 ln L, run one alone or many in lockstep.

A computation is a generator: it yields a `Request` and receives the `Expansion`. The same code then serves a single fit
(`run`) and many of them whose requests are answered together (`run_together`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from evercast.errors import EvercastError
from evercast.likelihood.evaluate import Expansion, Likelihood
from evercast.likelihood.family import expand_together

__all__ = ["Objective", "Request", "Steps", "run", "run_together"]

Result = TypeVar("Result")


@runtime_checkable
class Objective(Protocol):
    """A function with its exact derivatives."""

    def expand(self, theta: Float[np.ndarray, " parameters"]) -> Expansion:
        """Return value, gradient and Hessian."""
        ...


class Request(NamedTuple):
    """A point at which an objective is to be expanded."""

    objective: Objective
    theta: Float[np.ndarray, " parameters"]


Steps = Generator[Request, Expansion, Result]


def run(steps: Steps[Result]) -> Result:
    """Return the result of one computation."""
    try:
        request = next(steps)
        while True:
            request = steps.send(request.objective.expand(request.theta))
    except StopIteration as end:
        result: Result = end.value
        return result


def run_together(computations: Sequence[Steps[Result]]) -> list[Result | EvercastError]:
    """Return the results of computations, or why one failed; all advance by one request at a time."""
    found: dict[int, Result | EvercastError] = {}
    waiting: dict[int, Request] = {}
    answers: dict[int, Expansion | None] = dict.fromkeys(range(len(computations)))
    while answers:
        for number, answer in answers.items():
            steps = computations[number]
            try:
                waiting[number] = next(steps) if answer is None else steps.send(answer)
            except StopIteration as end:
                found[number] = end.value
            except EvercastError as failure:
                found[number] = failure
        answers = dict(_answered(waiting))
        waiting = {}
    return [found[number] for number in range(len(computations))]


def _answered(waiting: dict[int, Request]) -> list[tuple[int, Expansion]]:
    """Return the expansions: those of likelihoods together, others one by one."""
    together = {n: r.objective for n, r in waiting.items() if isinstance(r.objective, Likelihood)}
    expansions = expand_together(list(together.values()), [waiting[n].theta for n in together])
    alone = [(n, r.objective.expand(r.theta)) for n, r in waiting.items() if n not in together]
    return [*zip(together, expansions, strict=True), *alone]
