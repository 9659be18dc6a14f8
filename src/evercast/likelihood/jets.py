"""Coefficient formulas with first and second derivatives at many points, in numpy: nothing is compiled.

A jet holds a value, its gradient and its Hessian in a few parameters; sums, products and functions of jets follow from
the chain rule. What is undefined (the root of a negative number) becomes NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.spec.expressions import Binary, Call, Name, Node, Number, Unary, to_text

__all__ = ["Jet", "coefficient_jet"]

Values = Float[np.ndarray, " points"]

_DERIVATIVE_FLOOR = 1e-24
"""Below it the derivative of sqrt is that of a straight line: finite at 0, where d sqrt(mu)/d mu is not."""


class Jet(NamedTuple):
    """A function of some parameters at several points.

    Args:
        value: (points,).
        gradient: (points, parameters).
        hessian: (points, parameters, parameters).
    """

    value: Values
    gradient: Float[np.ndarray, "points parameters"]
    hessian: Float[np.ndarray, "points parameters parameters"]


def coefficient_jet(node: Node, values: Float[np.ndarray, "points parameters"], positions: Mapping[str, int]) -> Jet:
    """Return a coefficient with its derivatives.

    Args:
        node: the tree of the formula.
        values: (points, parameters).
        positions: parameter of the formula -> its column in `values`.

    Raises:
        InvalidInput: the tree holds something that is not of the coefficient language.
    """
    match node:
        case Number(value=value):
            jet = _constant(float(value), values)
        case Name(name=name):
            jet = _variable(values, positions[name])
        case Unary(op=op, operand=operand):
            inner = coefficient_jet(operand, values, positions)
            jet = _scaled(inner, -1.0) if op == "-" else inner
        case Binary(op="**", left=left, right=right):
            jet = _power(coefficient_jet(left, values, positions), _exponent(right))
        case Binary(op=op, left=left, right=right) if op in _ARITHMETIC:
            jet = _ARITHMETIC[op](coefficient_jet(left, values, positions), coefficient_jet(right, values, positions))
        case Call(function="min" | "max" as function, arguments=arguments):
            parts = [coefficient_jet(argument, values, positions) for argument in arguments]
            jet = reduce(lambda one, other: _chosen(one, other, smaller=function == "min"), parts)
        case Call(function=function, arguments=(argument,)) if function in _FUNCTIONS:
            inner = coefficient_jet(argument, values, positions)
            jet = _chain(inner, *_FUNCTIONS[function](inner.value))
        case _:
            raise InvalidInput(f"'{to_text(node)}' is not allowed in a coefficient", code="likelihood.coefficient")
    return jet


def _constant(value: float, like: Float[np.ndarray, "points parameters"]) -> Jet:
    points, n = like.shape
    return Jet(np.full(points, value), np.zeros((points, n)), np.zeros((points, n, n)))


def _variable(values: Float[np.ndarray, "points parameters"], position: int) -> Jet:
    jet = _constant(0.0, values)
    jet.gradient[:, position] = 1.0
    return Jet(values[:, position].copy(), jet.gradient, jet.hessian)


def _scaled(jet: Jet, factor: float) -> Jet:
    return Jet(factor * jet.value, factor * jet.gradient, factor * jet.hessian)


def _sum(one: Jet, other: Jet) -> Jet:
    return Jet(one.value + other.value, one.gradient + other.gradient, one.hessian + other.hessian)


def _difference(one: Jet, other: Jet) -> Jet:
    return _sum(one, _scaled(other, -1.0))


def _product(one: Jet, other: Jet) -> Jet:
    a, b = one.value[:, None], other.value[:, None]
    mixed = one.gradient[:, :, None] * other.gradient[:, None, :]
    hessian = a[:, :, None] * other.hessian + b[:, :, None] * one.hessian + mixed + mixed.transpose(0, 2, 1)
    return Jet(one.value * other.value, a * other.gradient + b * one.gradient, hessian)


def _quotient(one: Jet, other: Jet) -> Jet:
    return _product(one, _power(other, -1))


def _chain(jet: Jet, value: Values, first: Values, second: Values) -> Jet:
    """Return f(jet) from f and its derivatives."""
    outer = jet.gradient[:, :, None] * jet.gradient[:, None, :]
    hessian = first[:, None, None] * jet.hessian + second[:, None, None] * outer
    return Jet(value, first[:, None] * jet.gradient, hessian)


def _power(jet: Jet, n: int) -> Jet:
    x = jet.value
    first = n * x ** float(n - 1) if n else np.zeros_like(x)
    second = n * (n - 1) * x ** float(n - 2) if n not in {0, 1} else np.zeros_like(x)
    return _chain(jet, x ** float(n), first, second)


def _exponent(node: Node) -> int:
    match node:
        case Number(value=int(value)):
            return value
        case Unary(op="-", operand=Number(value=int(value))):
            return -value
        case _:
            raise InvalidInput(f"'{to_text(node)}' is not allowed as an exponent", code="likelihood.coefficient")


def _chosen(one: Jet, other: Jet, *, smaller: bool) -> Jet:
    first = one.value <= other.value if smaller else one.value >= other.value
    first |= np.isnan(one.value)
    return Jet(
        np.where(first, one.value, other.value),
        np.where(first[:, None], one.gradient, other.gradient),
        np.where(first[:, None, None], one.hessian, other.hessian),
    )


def _sqrt(x: Values) -> tuple[Values, Values, Values]:
    safe = np.maximum(x, _DERIVATIVE_FLOOR)
    return np.sqrt(x), 0.5 / np.sqrt(safe), np.where(x > _DERIVATIVE_FLOOR, -0.25 / (safe * np.sqrt(safe)), 0.0)


def _tanh(x: Values) -> tuple[Values, Values, Values]:
    value = np.tanh(x)
    return value, 1.0 - value**2, -2.0 * value * (1.0 - value**2)


_ARITHMETIC: Mapping[str, Callable[[Jet, Jet], Jet]] = {"+": _sum, "-": _difference, "*": _product, "/": _quotient}

_FUNCTIONS: Mapping[str, Callable[[Values], tuple[Values, Values, Values]]] = {
    "sqrt": _sqrt,
    "exp": lambda x: (np.exp(x), np.exp(x), np.exp(x)),
    "log": lambda x: (np.log(x), 1.0 / x, -1.0 / x**2),
    "abs": lambda x: (np.abs(x), np.where(x < 0, -1.0, 1.0), np.zeros_like(x)),
    "sin": lambda x: (np.sin(x), np.cos(x), -np.sin(x)),
    "cos": lambda x: (np.cos(x), -np.sin(x), -np.cos(x)),
    "tanh": _tanh,
}
