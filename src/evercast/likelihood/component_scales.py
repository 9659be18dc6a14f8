"""Expected events of unbinned components: coefficient x yield x factors x normalisation variations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evercast.likelihood.coefficients import coefficient_value, read_coefficient
from evercast.likelihood.interpolation import FACTOR_CODES, interpolated_factor
from evercast.likelihood.model import Component, NormFactor, NormSys
from evercast.spec.expressions import Node
from evercast.spec.expressions import names as names_in

__all__ = ["ScaleFormulas", "ScaleTensors", "build_scales", "component_scales"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFormulas:
    """What is compiled in.

    Args:
        formulas: coefficient of each component.
        positions: (name, position in the parameter vector) of the parameters the formulas use.
        codes: interpolation codes that occur.
    """

    formulas: tuple[Node, ...]
    positions: tuple[tuple[str, int], ...]
    codes: tuple[str, ...]


class ScaleTensors(NamedTuple):
    """What is passed as arguments; an index behind the parameters points at the constant 1.

    Args:
        yields: (components,) expected events at coefficient 1.
        factor: (components, factors) parameter positions.
        system, up, down, code: (components, systematics) normalisation variations.
    """

    yields: Float[Array, " components"]
    factor: Int[Array, "components factors"]
    system: Int[Array, "components systematics"]
    up: Float[Array, "components systematics"]
    down: Float[Array, "components systematics"]
    code: Int[Array, "components systematics"]


def build_scales(
    components: Sequence[Component], names: Sequence[str], *, where: str
) -> tuple[ScaleFormulas, ScaleTensors]:
    """Return both sides of the scales.

    Args:
        components: of the channel.
        names: of the parameters, in the order of the vectors to come.
        where: named in messages.

    Raises:
        InvalidInput: a coefficient is not a formula of the parameters.
    """
    index = {name: position for position, name in enumerate(names)}
    nodes = tuple(read_coefficient(c.coefficient, parameters=frozenset(names), where=where) for c in components)
    used = sorted(set().union(*(names_in(node) for node in nodes)))
    factors = [[index[m.parameter] for m in c.modifiers if isinstance(m, NormFactor)] for c in components]
    systems = [
        [(index[m.parameter], m.up, m.down, FACTOR_CODES.index(m.code)) for m in c.modifiers if isinstance(m, NormSys)]
        for c in components
    ]
    constant, n = len(names), len(components)
    neutral = (constant, 1.0, 1.0, FACTOR_CODES.index("4"))
    n_factors, n_systems = max(map(len, factors)), max(map(len, systems))
    factor = np.array([f + [constant] * (n_factors - len(f)) for f in factors], dtype=np.int32).reshape(n, -1)
    table = np.array([s + [neutral] * (n_systems - len(s)) for s in systems], dtype=float).reshape(n, -1, 4)
    codes = {m.code for c in components for m in c.modifiers if isinstance(m, NormSys)}
    formulas = ScaleFormulas(
        formulas=nodes, positions=tuple((name, index[name]) for name in used), codes=tuple(sorted(codes))
    )
    with jax.enable_x64(new_val=True):
        return formulas, ScaleTensors(
            yields=jnp.asarray([component.yield_events for component in components], dtype=float),
            factor=jnp.asarray(factor),
            system=jnp.asarray(table[:, :, 0].astype(np.int32)),
            up=jnp.asarray(table[:, :, 1]),
            down=jnp.asarray(table[:, :, 2]),
            code=jnp.asarray(table[:, :, 3].astype(np.int32)),
        )


def component_scales(
    formulas: ScaleFormulas, theta: Float[Array, " own"], tensors: ScaleTensors
) -> Float[Array, " components"]:
    """Return the expected events of each component; NaN where a coefficient is undefined."""
    extended = jnp.append(theta, 1.0)
    values = {name: theta[position] for name, position in formulas.positions}
    coefficients = jnp.stack([coefficient_value(node, values) for node in formulas.formulas])
    factors = jnp.prod(extended[tensors.factor], axis=1)
    systems = interpolated_factor(
        extended[tensors.system], tensors.up, tensors.down, tensors.code, codes=formulas.codes
    )
    return coefficients * tensors.yields * factors * jnp.prod(systems, axis=1)
