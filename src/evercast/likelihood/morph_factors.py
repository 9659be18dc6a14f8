"""What a morph needs of the parameters: a few numbers per column, common to all events.

HistFactory code 4 is 1 + a linear form in (u - 1, d - 1, u ln u, d ln d, u ln^2 u, d ln^2 d), u and d the factors at +1
and -1; its coefficients depend on the parameter alone (CERN-OPEN-2012-016). All six are small where u and d are near 1:
rounding of the coefficients, which all events share, then does not add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.likelihood.morph_layout import Monomial, MorphLayout

__all__ = [
    "CODE4",
    "DOWN",
    "DOWN_SLOPE",
    "UP",
    "UP_SLOPE",
    "Coordinates",
    "anchor_table",
    "coordinates",
    "is_within",
    "monomials",
]

Own = Float[np.ndarray, "points own"]

CODE4 = slice(0, 18)
"""Rows of the anchor table: 3 x 6 coefficients of the basis, of value, first and second derivative."""
UP, DOWN, UP_SLOPE, DOWN_SLOPE = 18, 19, 20, 21
"""Rows of the anchor table: powers of u and d, and their derivatives."""


def _powers_to_basis() -> Float[np.ndarray, "powers basis"]:
    """Return the coefficients of alpha^n in the basis, n = 0 ... 6; in u - 1 and d - 1 the constants vanish."""
    u, d, u1, d1, u2, d2 = np.eye(6)
    s0, a0 = (u + d) / 2, (u - d) / 2
    s1, a1 = (u1 - d1) / 2, (u1 + d1) / 2
    s2, a2 = (u2 + d2) / 2, (u2 - d2) / 2
    return np.stack(
        [
            np.zeros(6),
            (15 * a0 - 7 * s1 + a2) / 8,
            (24 * s0 - 9 * a1 + s2) / 8,
            (-5 * a0 + 5 * s1 - a2) / 4,
            (-12 * s0 + 7 * a1 - s2) / 4,
            (3 * a0 - 3 * s1 + a2) / 8,
            (8 * s0 - 5 * a1 + s2) / 8,
        ]
    )


def is_within(layout: MorphLayout, own: Float[np.ndarray, " own"]) -> bool:
    """Return whether no parameter of a code-4 anchor lies beyond +-1."""
    code4 = [layout.anchors[column] for group in layout.groups for column in group.code4]
    return bool(np.all(np.abs(own[code4]) < 1.0)) if code4 else True


def anchor_table(layout: MorphLayout, own: Own) -> Float[np.ndarray, "points rows anchors"]:
    """Return the numbers of each anchor: its factor is u^up d^down (1 + coefficients . basis).

    Within -1 < alpha < 1 code 4 is its polynomial and the powers are 0; outside, and for log-linear anchors, the
    coefficients are 0 and one of the powers is |alpha|.

    Args:
        layout: of the morphs.
        own: (points, own) parameters.

    Returns:
        (points, 22, anchors), the rows as named above.
    """
    if not layout.anchors:
        return np.zeros((len(own), 22, 0))
    alpha = own[:, list(layout.anchors)]
    is_code4 = np.zeros(len(layout.anchors), dtype=bool)
    for group in layout.groups:
        is_code4[list(group.code4)] = True
    within = is_code4 & (np.abs(alpha) < 1.0)
    x = np.where(within, alpha, 0.0)[:, None]
    order = np.arange(7.0)[:, None]
    table = np.stack(
        [x**order, order * x ** np.maximum(order - 1, 0), order * (order - 1) * x ** np.maximum(order - 2, 0)]
    )
    basis = np.einsum("dnpa,pb->ndba", table, _powers_to_basis()).reshape(len(own), 18, len(layout.anchors))
    above = alpha >= 0
    powers = (
        np.where(above, alpha, 0.0),
        np.where(above, 0.0, -alpha),
        np.where(above, 1.0, 0.0),
        np.where(above, 0.0, -1.0),
    )
    exponents = np.where(within, 0.0, np.stack(powers)).transpose(1, 0, 2)
    return np.concatenate([np.where(within[:, None], basis, 0.0), exponents], axis=1)


class Coordinates(NamedTuple):
    """Values with derivatives in the parameters.

    Args:
        value: (n,).
        gradient: (n, own).
        hessian: (n, own, own); None where it is 0.
    """

    value: Float[np.ndarray, " n"]
    gradient: Float[np.ndarray, "n own"]
    hessian: Float[np.ndarray, "n own own"] | None


def monomials(chosen: tuple[Monomial, ...], own: Own) -> Float[np.ndarray, "points n"]:
    """Return the values of monomials at (points, own) parameters."""
    result = np.ones((len(own), len(chosen)))
    for column, monomial in enumerate(chosen):
        for position, power in monomial:
            result[:, column] *= own[:, position] ** power
    return result


def coordinates(layout: MorphLayout, own: Float[np.ndarray, " own"]) -> Coordinates:
    """Return all coordinates at (own,) parameters."""
    n_own, first = len(own), len(layout.parameters)
    value = np.concatenate([own[list(layout.parameters)], monomials(layout.monomials, own[None])[0]])
    gradient = np.zeros((layout.n_coordinates, n_own))
    gradient[np.arange(first), list(layout.parameters)] = 1.0
    if not layout.monomials:
        return Coordinates(value, gradient, None)
    hessian = np.zeros((layout.n_coordinates, n_own, n_own))
    for number, monomial in enumerate(layout.monomials, start=first):
        slopes, bends = _derivatives(monomial, own)
        gradient[number], hessian[number] = slopes, bends
    return Coordinates(value, gradient, hessian)


def _derivatives(
    monomial: Monomial, own: Float[np.ndarray, " own"]
) -> tuple[Float[np.ndarray, " own"], Float[np.ndarray, "own own"]]:
    gradient, hessian = np.zeros(len(own)), np.zeros((len(own), len(own)))
    for position, power in monomial:
        once = _lowered(monomial, position)
        gradient[position] = power * monomials((once,), own[None])[0, 0]
        for other, remaining in once:
            if remaining:
                twice = monomials((_lowered(once, other),), own[None])[0, 0]
                hessian[position, other] = power * remaining * twice
    return gradient, hessian


def _lowered(monomial: Monomial, position: int) -> Monomial:
    return tuple((at, power - (at == position)) for at, power in monomial)
