"""One likelihood at many points, on its own data or on many data sets, in calls of compiled functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.likelihood.terms import Expansions

__all__ = ["Expansions", "LikelihoodBatch"]

Points = Float[np.ndarray, "points parameters"]

_LARGEST_BLOCK = 256
_SIZES = (1, 16, 64, 256)
"""Points that a compiled function is called with: each number of them is compiled for."""
_BLOCK_VALUES = 1 << 23
"""Float64 numbers of data and Hessians that one call may hold: 64 MB."""


class LikelihoodBatch:
    """A likelihood with many data sets that differ in counts, events and global observables only.

    Args:
        likelihood: parameters, templates, components and morphs.
        models: the same model with other data; empty: every point is evaluated on the data of `likelihood`.

    Raises:
        InvalidInput: a model has other channels or parameters.
    """

    def __init__(self, likelihood: Likelihood, models: Sequence[LikelihoodModel] = ()) -> None:
        self.likelihood = likelihood
        self._models = tuple(models)
        _check_same(likelihood.model, self._models)
        self._terms = [(term.index, term.batch(self._models)) for term in likelihood.terms]

    def __len__(self) -> int:
        """Return the number of data sets."""
        return max(len(self._models), 1)

    def member(self, row: int) -> Likelihood:
        """Return the likelihood on one of the data sets."""
        return Likelihood(self._models[row]) if self._models else self.likelihood

    def expand(self, theta: Points, rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return -2 ln L, gradient and Hessian at each point, on the data set `rows` of it."""
        size = self._block_size()
        chosen = rows if self._models else np.zeros_like(rows)
        parts = [
            self._expand_block(theta[first : first + size], chosen[first : first + size], largest=size)
            for first in range(0, len(theta), size)
        ]
        return Expansions(*(np.concatenate(entries) for entries in zip(*parts, strict=True)))

    def _block_size(self) -> int:
        values = len(self.likelihood.names) ** 2 * 8 + sum(term.n_values for _, term in self._terms)
        return int(np.clip(2 ** int(np.log2(max(_BLOCK_VALUES // max(values, 1), 1))), 1, _LARGEST_BLOCK))

    def _expand_block(self, theta: Points, rows: Int[np.ndarray, " points"], *, largest: int) -> Expansions:
        """Evaluate a block; the points of compiled terms are filled up to one of few numbers of them."""
        n_points, n = theta.shape
        padding = min(next(size for size in _SIZES if size >= n_points), largest) - n_points
        filled = np.concatenate([theta, np.repeat(theta[:1], padding, axis=0)])
        chosen = np.concatenate([rows, np.repeat(rows[:1], padding)]).astype(np.int32)
        total = Expansions(np.zeros(n_points), np.zeros((n_points, n)), np.zeros((n_points, n, n)))
        for index, term in self._terms:
            used = len(filled) if term.is_compiled else n_points
            found = term.expand(filled[:used, index], chosen[:used])
            value, slope, hessian = (entry[:n_points] for entry in found)
            total.gradient[:, index] += slope
            if np.array_equal(index, np.arange(n)):
                np.add(total.hessian, hessian, out=total.hessian)
            else:
                total.hessian[:, index[:, None], index[None, :]] += hessian
            total = total._replace(value=total.value + value)
        return total


def _check_same(base: LikelihoodModel, models: Sequence[LikelihoodModel]) -> None:
    names = [channel.name for channel in base.channels]
    for model in models:
        if model.parameter_names != base.parameter_names or [channel.name for channel in model.channels] != names:
            message = f"the data sets of '{base.name}' have other channels or parameters"
            raise InvalidInput(message, code="likelihood.batch")
