"""CLs of many signals on one background: each starts from the fit without signal of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import EvercastError
from evercast.inference.asymptotics import ClsResult, cls
from evercast.inference.fit import FitResult
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel

__all__ = ["PatchResult", "cls_of_patches"]


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
    background: FitResult | None = None
    conditional: FitResult | None = None
    likelihood: Likelihood | None = None
    for name in names:
        try:
            likelihood = Likelihood(model_of(name), like=likelihood)
            result = cls(
                likelihood, mu, poi=poi, observed=observed,
                start=_carried(background, likelihood), near=_carried(conditional, likelihood),
            )  # fmt: skip
        except EvercastError as failure:
            yield PatchResult(name=name, result=None, failure=failure)
            continue
        background, conditional = result.background or background, result.conditional or conditional
        yield PatchResult(name=name, result=result, failure=None)


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
