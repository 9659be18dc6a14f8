"""CLs of many signals on one background: the fits of a block of them are made in lockstep.

They start from the fits of a signal of the block before; the first signal is a block of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import EvercastError
from evercast.inference.asymptotics import ClsResult, cls_steps
from evercast.inference.fit import FitResult
from evercast.inference.lockstep import run_together
from evercast.likelihood.checks import check_model
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.family import likelihoods_of
from evercast.likelihood.model import LikelihoodModel

__all__ = ["PatchResult", "cls_of_patches"]

_BLOCK = 16
"""Patches in lockstep: enough that calls of numpy cost little, few enough that results appear as they are computed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchResult:
    """CLs of one patch, or why there is none.

    Args:
        name: of the patch.
        result: None where it failed.
        failure: why; None where it did not fail.
    """

    name: str
    result: ClsResult | None
    failure: EvercastError | None

    @property
    def status(self) -> str:
        """``ok``, ``at-bound`` or ``failed``."""
        return "failed" if self.result is None else self.result.status


def cls_of_patches(
    names: Sequence[str],
    model_of: Callable[[str], LikelihoodModel],
    *,
    mu: float = 1.0,
    poi: str | None = None,
    observed: bool = True,
) -> Iterator[PatchResult]:
    """Yield CLs of each patch, in order; one that fails gives its reason and no number, and the others go on.

    Args:
        names: of the patches.
        model_of: name -> likelihood.
        mu: tested value.
        poi: parameter of interest; None takes the declared one.
        observed: False leaves the data out.
    """
    first: Likelihood | None = None
    background: FitResult | None = None
    conditional: FitResult | None = None
    waiting = list(names)
    while waiting:
        size = _BLOCK if background is not None else 1
        block, waiting = waiting[:size], waiting[size:]
        models = {name: _checked(name, model_of, like=first) for name in block}
        valid = {name: model for name, model in models.items() if isinstance(model, LikelihoodModel)}
        found: dict[str, ClsResult | EvercastError]
        found = {name: model for name, model in models.items() if not isinstance(model, LikelihoodModel)}
        likelihoods = likelihoods_of(list(valid.values()))
        steps = [
            cls_steps(
                likelihood, mu, poi=poi, observed=observed, start=_carried(background, likelihood),
                near=_carried(conditional, likelihood),
            )
            for likelihood in likelihoods
        ]  # fmt: skip
        found |= dict(zip(valid, run_together(steps), strict=True))
        for name in block:
            result = found[name]
            if isinstance(result, EvercastError):
                yield PatchResult(name=name, result=None, failure=result)
                continue
            background, conditional = result.background or background, result.conditional or conditional
            yield PatchResult(name=name, result=result, failure=None)
        first = first or next(iter(likelihoods), None)


def _checked(
    name: str, model_of: Callable[[str], LikelihoodModel], *, like: Likelihood | None
) -> LikelihoodModel | EvercastError:
    """Return a model that passed the checks, or why there is none."""
    try:
        model = model_of(name)
        check_model(model, checked=like.model if like else None)
    except EvercastError as failure:
        return failure
    return model


def _carried(background: FitResult | None, likelihood: Likelihood) -> Float[np.ndarray, " parameters"] | None:
    """Return the initial values with those parameters that another likelihood was fitted with, within the bounds."""
    if background is None:
        return None
    known = dict(zip(background.names, background.theta.tolist(), strict=True))
    values = np.array([
        value if fixed else known.get(name, value)
        for name, value, fixed in zip(likelihood.names, likelihood.initial.tolist(), likelihood.fixed, strict=True)
    ])  # fmt: skip
    return np.where(likelihood.fixed, values, np.clip(values, likelihood.lower, likelihood.upper))
