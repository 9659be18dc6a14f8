"""Likelihoods of one family, evaluated together: signals on one background, each with its own templates and data.

A family has the same parameters, channels, samples (by position), coefficients, normfactors and bin factors; templates,
variations, widths of constraints, counts and global observables differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float

from evercast.likelihood.binned_term import BinnedTerm
from evercast.likelihood.constraints import ConstraintTerm
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, LikelihoodModel
from evercast.likelihood.terms import Expansion

__all__ = ["expand_together", "likelihoods_of"]

_BLOCK_VALUES = 1 << 18
"""Float64 numbers of Hessians made in one go: with what they are made of they stay in the cache of a core."""


def likelihoods_of(models: Sequence[LikelihoodModel]) -> list[Likelihood]:
    """Return the likelihoods of models that passed the checks; those of one family are evaluated together.

    The parameters of a family stand in one order, which need not be that of the models.

    Args:
        models: checked (`evercast.likelihood.checks.check_model`).
    """
    forms: dict[int, object] = {}
    families: dict[object, list[int]] = {}
    for number, model in enumerate(models):
        families.setdefault(_form(model, forms), []).append(number)
    found: dict[int, Likelihood] = {}
    for members in families.values():
        found |= dict(zip(members, _family([models[i] for i in members]), strict=True))
    return [found[number] for number in range(len(models))]


def _form(model: LikelihoodModel, known: dict[int, object]) -> object:
    """Return what the members of a family have in common; that of a template seen before is `known` by identity."""
    channels: list[object] = [frozenset((p.name, p.constraint) for p in model.parameters)]
    for channel in model.channels:
        if not isinstance(channel, BinnedChannelModel):
            return object()
        rows = []
        for sample in channel.samples:
            form = known.get(id(sample))
            rows.append(known.setdefault(id(sample), _row_form(sample)) if form is None else form)
        channels.append((channel.name, len(channel.observed), tuple(rows)))
    return tuple(channels)


def _row_form(sample: BinnedSample) -> object:
    factors = tuple(sorted(m.parameter for m in sample.kinds.norm_factors))
    return sample.coefficient, factors, tuple(m.parameters for m in sample.kinds.bin_factors)


def _family(models: Sequence[LikelihoodModel]) -> list[Likelihood]:
    if len(models) == 1:
        return [Likelihood.checked(models[0])]
    channels = [[c for c in model.channels if isinstance(c, BinnedChannelModel)] for model in models]
    first = models[0].parameters
    index = BinnedTerm.of_models(first, channels[:1])[0].index.tolist()
    used = set(index)
    order = {first[i].name: n for n, i in enumerate([*index, *(i for i in range(len(first)) if i not in used)])}
    ordered = [
        replace(model, parameters=tuple(sorted(model.parameters, key=lambda p: order[p.name]))) for model in models
    ]
    terms = BinnedTerm.of_models(ordered[0].parameters, channels)
    return [Likelihood.checked(model, binned_term=term) for model, term in zip(ordered, terms, strict=True)]


def expand_together(likelihoods: Sequence[Likelihood], points: Sequence[Float[np.ndarray, " _"]]) -> list[Expansion]:
    """Return -2 ln L, gradient and Hessian of each likelihood at its point, those of a family in common steps.

    Args:
        likelihoods: of any families.
        points: of each its own (parameters,), whose number may differ between families.
    """
    found: dict[int, Expansion] = {}
    families: list[tuple[_Terms, list[int]]] = []
    for number, likelihood in enumerate(likelihoods):
        terms = _terms_of(likelihood)
        if terms is None:
            found[number] = likelihood.expand(points[number])
            continue
        same = next((members for other, members in families if _alike(terms, other)), None)
        if same is None:
            families.append((terms, [number]))
        else:
            same.append(number)
    for _, members in families:
        size = max(1, _BLOCK_VALUES // len(points[members[0]]) ** 2)
        for first in range(0, len(members), size):
            block = members[first : first + size]
            expansions = _expand_block([likelihoods[i] for i in block], np.array([points[i] for i in block]))
            found.update(zip(block, expansions, strict=True))
    return [found[number] for number in range(len(likelihoods))]


_Terms = tuple[ConstraintTerm, BinnedTerm]


def _terms_of(likelihood: Likelihood) -> _Terms | None:
    """Return the two terms of a binned likelihood with constraints; None for another."""
    terms = likelihood.terms
    if len(terms) == 2 and isinstance(terms[0], ConstraintTerm) and isinstance(terms[1], BinnedTerm):
        return terms[0], terms[1]
    return None


def _alike(one: _Terms, other: _Terms) -> bool:
    return one[1].is_like(other[1]) and one[0].is_like(other[0])


def _expand_block(likelihoods: Sequence[Likelihood], theta: Float[np.ndarray, "points parameters"]) -> list[Expansion]:
    """Return the expansions of one family."""
    if len(likelihoods) == 1:
        return [likelihoods[0].expand(theta[0])]
    pairs = [terms for terms in map(_terms_of, likelihoods) if terms is not None]
    held, index = pairs[0][0].index, pairs[0][1].index
    binned = BinnedTerm.expand_together([terms[1] for terms in pairs], theta[:, index])
    constraints = ConstraintTerm.expand_together([terms[0] for terms in pairs], theta[:, held])
    gradient = np.zeros_like(theta)
    gradient[:, index] = binned.gradient
    gradient[:, held] += constraints.gradient
    n = theta.shape[1]
    if np.array_equal(index, np.arange(n)):
        hessian = binned.hessian
    else:
        hessian = np.zeros((len(theta), n, n))
        hessian[:, index[:, None], index] = binned.hessian
    hessian[:, held, held] += constraints.bend
    value = binned.value + constraints.value
    return [
        Expansion(float(value[i]), gradient[i], hessian[i], partial(_information, likelihood, theta[i]))
        for i, likelihood in enumerate(likelihoods)
    ]


def _information(
    likelihood: Likelihood, theta: Float[np.ndarray, " parameters"]
) -> Float[np.ndarray, "parameters parameters"]:
    found = likelihood.expand(theta)
    return found.hessian if found.information is None else found.information()
