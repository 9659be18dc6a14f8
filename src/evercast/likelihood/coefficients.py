"""Coefficient formulas: from the tree of an expression to JAX, and plain evaluation that names what is undefined.

In JAX nothing can be raised, so an undefined value (the root of a negative number) becomes NaN there and the likelihood
is infinite at that point; `evaluate_coefficient` finds the same place in Python and says what it is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.spec.expressions import Binary, Call, Name, Node, Number, Unary, parse_coefficient, to_text
from evercast.spec.expressions import names as names_in

__all__ = ["coefficient_value", "evaluate_coefficient", "is_linear", "read_coefficient"]

_DERIVATIVE_FLOOR = 1e-24
"""Below it the derivative of sqrt is that of a straight line: finite at 0, where d sqrt(mu)/d mu is not."""

Scalar = Float[Array, ""]
T = TypeVar("T", float, Array)

_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def read_coefficient(text: str, *, parameters: frozenset[str], where: str) -> Node:
    """Return the tree of a coefficient, all of whose names are parameters.

    Raises:
        InvalidInput: the text is not a coefficient, or names something that is not a parameter.
    """
    node = parse_coefficient(text)
    unknown = sorted(names_in(node) - parameters)
    if unknown:
        message = f"coefficient '{text}' uses '{unknown[0]}'; parameters: {', '.join(sorted(parameters)) or 'none'}"
        raise InvalidInput(message, code="likelihood.unknown-parameter", where=where)
    return node


def is_linear(node: Node) -> bool:
    """Return whether the formula is a polynomial of degree at most one as far as its form tells.

    Example:
        >>> is_linear(parse_coefficient("1 - 2*mu")), is_linear(parse_coefficient("mu - sqrt(mu)"))
        (True, False)
    """
    return _degree(node) <= 1


def _degree(node: Node) -> float:
    degree = math.inf if names_in(node) else 0.0
    match node:
        case Name():
            degree = 1.0
        case Unary(operand=operand):
            degree = _degree(operand)
        case Binary(op="+" | "-", left=left, right=right):
            degree = max(_degree(left), _degree(right))
        case Binary(op="*", left=left, right=right):
            degree = _degree(left) + _degree(right)
        case Binary(op="/", left=left, right=right) if not names_in(right):
            degree = _degree(left)
    return degree


@jax.custom_jvp
def _sqrt(x: Scalar) -> Scalar:
    return jnp.sqrt(x)


@_sqrt.defjvp
def _sqrt_jvp(primals: tuple[Scalar], tangents: tuple[Scalar]) -> tuple[Scalar, Scalar]:
    (x,), (dx,) = primals, tangents
    return _sqrt(x), 0.5 * dx / _sqrt(jnp.maximum(x, _DERIVATIVE_FLOOR))


_JAX: Mapping[str, Callable[..., Scalar]] = {
    "sqrt": _sqrt,
    "exp": jnp.exp,
    "log": jnp.log,
    "abs": jnp.abs,
    "min": lambda *values: jnp.min(jnp.stack(values)),
    "max": lambda *values: jnp.max(jnp.stack(values)),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
}


def coefficient_value(node: Node, values: Mapping[str, Scalar]) -> Scalar:
    """Return the coefficient as a traced scalar; NaN where it is undefined.

    Args:
        node: the tree of the formula.
        values: parameter -> value.

    Raises:
        InvalidInput: the tree holds something that is not of the coefficient language.
    """
    return _interpret(node, values, _JAX, jnp.asarray)


def _interpret(
    node: Node, values: Mapping[str, T], functions: Mapping[str, Callable[..., T]], constant: Callable[[float], T]
) -> T:
    match node:
        case Number(value=value):
            result = constant(float(value))
        case Name(name=name):
            result = values[name]
        case Unary(op=op, operand=operand):
            inner = _interpret(operand, values, functions, constant)
            result = -inner if op == "-" else inner
        case Binary(op="**", left=left, right=right):
            result = _interpret(left, values, functions, constant) ** _exponent(right)
        case Binary(op=op, left=left, right=right):
            pair = (_interpret(side, values, functions, constant) for side in (left, right))
            result = _ARITHMETIC[op](*pair)
        case Call(function=function, arguments=arguments) if function in functions:
            result = functions[function](*(_interpret(argument, values, functions, constant) for argument in arguments))
        case _:
            raise _foreign(node)
    return result


def _exponent(node: Node) -> int:
    match node:
        case Number(value=int(value)):
            return value
        case Unary(op="-", operand=Number(value=int(value))):
            return -value
        case _:
            raise _foreign(node)


def _foreign(node: Node) -> InvalidInput:
    return InvalidInput(f"'{to_text(node)}' is not allowed in a coefficient", code="likelihood.coefficient")


def evaluate_coefficient(node: Node, values: Mapping[str, float]) -> float:
    """Return the coefficient as a number.

    Args:
        node: the tree of the formula.
        values: parameter -> value.

    Raises:
        NumericalFailure: a part of the formula is undefined there; the message names the part and the parameter values.

    Example:
        >>> evaluate_coefficient(parse_coefficient("mu - sqrt(mu)"), {"mu": 4.0})
        2.0
    """
    try:
        result = _interpret(node, values, _PLAIN, float)
    except (ValueError, ZeroDivisionError, OverflowError) as err:
        raise _undefined(node, values, str(err)) from err
    if not math.isfinite(result):
        raise _undefined(node, values, f"it is {result}")
    return result


def _undefined(node: Node, values: Mapping[str, float], reason: str) -> NumericalFailure:
    point = ", ".join(f"{name} = {values[name]:.6g}" for name in sorted(names_in(node)))
    message = f"the coefficient '{to_text(node)}' is undefined at {point}: {reason}"
    hint = "bound the parameters to where every coefficient is defined"
    return NumericalFailure(message, code="likelihood.undefined-coefficient", hint=hint)


_PLAIN: Mapping[str, Callable[..., float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
}
