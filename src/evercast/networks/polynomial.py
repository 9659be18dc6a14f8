"""Parametric morphs: ln g(x | alpha) = sum_A delta_A(x) prod_k alpha_k^n_Ak, a polynomial without constant term.

One network per process learns all delta_A at once: at a base point alpha_p it is a classifier of the sample varied to
alpha_p against the nominal one, with the logit sum_A delta_A(x) prod_k alpha_pk^n_Ak, and its loss is the mean over
the base points (as in arXiv:2505.05544).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Float64

from evercast.errors import InvalidInput
from evercast.networks.architecture import Term

__all__ = ["Point", "log_morph", "polynomial_terms", "term_powers"]

Point = Mapping[str, float]
"""Parameter -> value; parameters not named are 0."""


def polynomial_terms(points: Sequence[Point], *, degree: int) -> tuple[Term, ...]:
    """Return the terms that the base points determine: alpha_k ... alpha_k^degree of every parameter, and cross terms.

    A cross term alpha_k alpha_l is there where a base point has both parameters different from 0. Terms stand in the
    order in which the parameters appear in the points, powers increasing, then the cross terms.

    Args:
        points: base points, none of them 0 everywhere.
        degree: in each parameter, 1 or more.

    Raises:
        InvalidInput: ``morphing.degree`` where the points do not determine the terms: a degree above the number of
            different values of a parameter, or fewer points than terms.

    Example:
        >>> polynomial_terms([{"jes": 1.0}, {"jes": -1.0}], degree=2)
        ((('jes', 1),), (('jes', 2),))
    """
    names = list(dict.fromkeys(name for point in points for name, value in point.items() if value != 0.0))
    for name in names:
        values = {point[name] for point in points if point.get(name, 0.0) != 0.0}
        if degree > len(values):
            raise _undetermined(
                f"degree {degree} in {name!r} needs {degree} different values of it besides 0; found "
                f"{', '.join(f'{value:g}' for value in sorted(values))}"
            )
    single: list[Term] = [((name, power),) for name in names for power in range(1, degree + 1)]
    joint = [{name for name, value in point.items() if value != 0.0} for point in points]
    cross: list[Term] = [
        ((one, 1), (two, 1)) for one, two in combinations(names, 2) if any({one, two} <= point for point in joint)
    ]
    terms = (*single, *cross)
    rank = int(np.linalg.matrix_rank(term_powers(terms, points))) if terms else 0
    if rank < len(terms) or not terms:
        raise _undetermined(f"{len(points)} base points determine {rank} of the {len(terms)} terms of degree {degree}")
    return terms


def _undetermined(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        code="morphing.degree",
        hint="give a variation up and one down for degree 2, one of them for degree 1, or use morphing kind anchor",
    )


def term_powers(terms: Sequence[Term], points: Sequence[Point]) -> Float64[np.ndarray, "points terms"]:
    """Return prod_k alpha_k^n_Ak of each term at each point."""
    return np.array(
        [
            [float(np.prod([point.get(name, 0.0) ** power for name, power in term])) for term in terms]
            for point in points
        ]
    ).reshape(len(points), len(terms))


def log_morph(
    coefficients: Float[np.ndarray, "events terms"], terms: Sequence[Term], point: Point
) -> Float64[np.ndarray, " events"]:
    """Return ln g(x | alpha) of events at the point alpha.

    Args:
        coefficients: delta_A(x).
        terms: in the order of the columns.
        point: alpha.
    """
    values: Float64[np.ndarray, " events"] = coefficients.astype(np.float64) @ term_powers(terms, [point])[0]
    return values
