"""Template statistics where coefficients are formulas: relative errors of what is expected at the initial values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from evercast.likelihood.assembly_inputs import BinnedInput, Physics
from evercast.likelihood.assembly_workspace import coefficient_factors, statistics_name
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.model import ParameterModel
from evercast.spec.expressions import parse_coefficient

__all__ = ["with_template_statistics"]


def with_template_statistics(
    parameters: Sequence[ParameterModel], channels: Sequence[BinnedInput], physics: Physics
) -> tuple[ParameterModel, ...]:
    """Return the parameters, those of the template statistics with the widths that belong to the coefficients.

    HistFactory takes sqrt(sum of variances) / sum of templates at coefficient 1. Where templates cancel (interference:
    mu - sqrt(mu), sqrt(mu), 1 - sqrt(mu)) that is another quantity: the width is
    sqrt(sum f_j^2 variance_j) / sum f_j nu_j, f_j the coefficients at the initial values. Channels whose coefficients
    HistFactory can express keep its definition.

    Raises:
        NumericalFailure: a coefficient is undefined at the initial values.
    """
    initial = {name: parameter.initial for name, parameter in physics.parameters.items()}
    widths: dict[str, float] = {}
    for channel in channels:
        if all(coefficient_factors(template.process, physics) is not None for template in channel.templates):
            continue
        relative = _relative_errors(channel, physics, initial)
        widths |= {f"{statistics_name(channel.name)}[{b}]": float(width) for b, width in enumerate(relative) if width}
    return tuple(
        replace(parameter, width=widths[parameter.name], fixed=False) if parameter.name in widths else parameter
        for parameter in parameters
    )


def _relative_errors(channel: BinnedInput, physics: Physics, initial: dict[str, float]) -> Float[np.ndarray, " bins"]:
    """Return the relative errors of the bins; 0 where there is none, or nothing positive is expected."""
    total, variance = np.zeros(len(channel.observed)), np.zeros(len(channel.observed))
    for template in channel.templates:
        if template.variance is None:
            continue
        factor = evaluate_coefficient(parse_coefficient(physics.coefficient(template.process)), initial)
        total += factor * template.nominal
        variance += factor**2 * template.variance
    positive = total > 0
    return np.where(positive, np.sqrt(variance) / np.where(positive, total, 1.0), 0.0)
