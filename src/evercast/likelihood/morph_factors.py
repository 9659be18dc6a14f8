"""What a morph needs of the parameters: a few numbers per column, common to all events.

HistFactory code 4 is linear in (1, u, d, u ln u, d ln d, u ln^2 u, d ln^2 d), u and d the factors at +1 and -1; its
coefficients and their derivatives depend on the parameter alone (CERN-OPEN-2012-016).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.morph_layout import Monomial, MorphLayout

__all__ = ["MorphFactors", "coordinates_at", "morph_factors"]


class MorphFactors(NamedTuple):
    """Numbers that all events share; a factor is exp(`up` ln u + `down` ln d) x (`code4` . basis).

    Args:
        code4: (3, 7, anchors) coefficients of the basis, of the value and of the first two derivatives; 1, 0, 0, ...
            outside of -1 < alpha < 1.
        up, down: (anchors,) powers of u and d; 0 within.
        up_slope, down_slope: (anchors,) their derivatives.
        terms: (terms,) values of the monomials.
    """

    code4: Float[Array, "3 7 anchors"]
    up: Float[Array, " anchors"]
    down: Float[Array, " anchors"]
    up_slope: Float[Array, " anchors"]
    down_slope: Float[Array, " anchors"]
    terms: Float[Array, " terms"]


def _powers_to_basis() -> Float[np.ndarray, "powers basis"]:
    """Return the coefficients of alpha^n in the basis, n = 0 ... 6."""
    one, u, d, u1, d1, u2, d2 = np.eye(7)
    s0, a0 = (u + d) / 2, (u - d) / 2
    s1, a1 = (u1 - d1) / 2, (u1 + d1) / 2
    s2, a2 = (u2 + d2) / 2, (u2 - d2) / 2
    return np.stack(
        [
            one,
            (15 * a0 - 7 * s1 + a2) / 8,
            (-24 * one + 24 * s0 - 9 * a1 + s2) / 8,
            (-5 * a0 + 5 * s1 - a2) / 4,
            (12 * one - 12 * s0 + 7 * a1 - s2) / 4,
            (3 * a0 - 3 * s1 + a2) / 8,
            (-8 * one + 8 * s0 - 5 * a1 + s2) / 8,
        ]
    )


def morph_factors(layout: MorphLayout, own: Float[Array, " own"]) -> MorphFactors:
    """Return the numbers at (own,) parameters, float64."""
    alpha = own[np.array(layout.anchors, dtype=np.int32)]
    is_code4 = np.zeros(len(layout.anchors), dtype=bool)
    for component in layout.components:
        is_code4[list(component.code4)] = True
    within = is_code4 & (jnp.abs(alpha) < 1.0)
    clipped = jnp.where(within, alpha, 0.0)
    order = np.arange(7)[:, None]
    power = [clipped[None] ** np.maximum(order - n, 0) for n in range(3)]
    table = jnp.stack([power[0], order * power[1], order * (order - 1) * power[2]])
    basis = jnp.einsum("dpa,pb->dba", table, _powers_to_basis())
    outside = jnp.zeros((3, 7, 1)).at[0, 0].set(1.0)
    above = alpha >= 0
    return MorphFactors(
        code4=jnp.where(within, basis, outside),
        up=jnp.where(~within & above, alpha, 0.0),
        down=jnp.where(~within & ~above, -alpha, 0.0),
        up_slope=jnp.where(~within & above, 1.0, 0.0),
        down_slope=jnp.where(~within & ~above, -1.0, 0.0),
        terms=_monomials(layout.terms, own),
    )


def _monomials(monomials: tuple[Monomial, ...], own: Float[Array, " own"]) -> Float[Array, " n"]:
    if not monomials:
        return jnp.zeros(0)
    return jnp.stack(
        [jnp.prod(jnp.stack([own[position] ** power for position, power in monomial])) for monomial in monomials]
    )


def coordinates_at(layout: MorphLayout, own: Float[Array, " own"]) -> Float[Array, " coordinates"]:
    """Return the coordinates at (own,) parameters."""
    first = own[np.array(layout.parameters, dtype=np.int32)]
    return jnp.concatenate([first, _monomials(layout.monomials, own)])
