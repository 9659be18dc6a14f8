"""A likelihood as a sum of terms: what every summand of -2 ln L gives, and the sum over them.

To add a kind of term, write a class with the members of `Term` and let `evaluate.build_terms` make it. A term sees only
the parameters it depends on; `Sum` puts values, gradients and Hessians together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from evercast.likelihood.model import LikelihoodModel

__all__ = ["BatchTerm", "DiagonalTerm", "Expansion", "Expansions", "Sum", "Term"]

Point = Float[np.ndarray, " parameters"]
Own = Float[np.ndarray, " own"]


class Expansion(NamedTuple):
    """-2 ln L at a point with its derivatives.

    Args:
        value: infinite where the model is not defined or a total intensity is not positive.
        gradient: (parameters,).
        hessian: (parameters, parameters).
        information: gives a (parameters, parameters) matrix for steps where the Hessian is not positive definite, far
            from a minimum: the expected information, which has no negative eigenvalue; None where there is none.
    """

    value: float
    gradient: Point
    hessian: Float[np.ndarray, "parameters parameters"]
    information: Callable[[], Float[np.ndarray, "parameters parameters"]] | None = None


class Expansions(NamedTuple):
    """-2 ln L at several points with its derivatives.

    Args:
        value: (points,); infinite where the model is not defined.
        gradient: (points, parameters).
        hessian: (points, parameters, parameters).
    """

    value: Float[np.ndarray, " points"]
    gradient: Float[np.ndarray, "points parameters"]
    hessian: Float[np.ndarray, "points parameters parameters"]


@runtime_checkable
class BatchTerm(Protocol):
    """A term on many data sets, at many points in one call."""

    @property
    def is_compiled(self) -> bool:
        """Whether each number of points is compiled for."""
        ...

    @property
    def n_values(self) -> int:
        """Float64 numbers that one data set and one Hessian occupy while a point is evaluated."""
        ...

    def expand(self, own: Float[np.ndarray, "points own"], rows: Int[np.ndarray, " points"]) -> Expansions:
        """Return value, gradient and Hessian at each of the (points, own), on the data set `rows` of it."""
        ...


@runtime_checkable
class Term(Protocol):
    """A summand of -2 ln L with exact derivatives, as a function of its own parameters.

    All arrays are numpy float64. The value is infinite, never NaN, where the term is not defined; gradient and Hessian
    are finite or ignored there.
    """

    @property
    def index(self) -> Int[np.ndarray, " own"]:
        """(own,) positions, in the parameter vector of the likelihood, of the parameters the term depends on."""
        ...

    @property
    def rounding(self) -> float:
        """Absolute noise of the value beyond that of float64 sums; 0 where all is float64."""
        ...

    @property
    def fast(self) -> Term:
        """The same term with a `rounding` above 0 and faster; itself where there is none."""
        ...

    def value(self, own: Own) -> float:
        """Return the value at (own,) parameters."""
        ...

    def value_and_gradient(self, own: Own) -> tuple[float, Own]:
        """Return the value and its gradient (own,)."""
        ...

    def expand(self, own: Own) -> Expansion:
        """Return value, gradient (own,) and Hessian (own, own)."""
        ...

    def expected(self, own: Own) -> Mapping[str, Float[np.ndarray, " n"]]:
        """Return per channel of the term the expected events: per bin, or per component of an unbinned channel."""
        ...

    def batch(self, models: Sequence[LikelihoodModel]) -> BatchTerm:
        """Return the term on the data of each of the models, which differ in counts, events and global observables.

        Where there is no model there is one data set, that of the term.
        """
        ...


class DiagonalTerm(ABC):
    """A term whose Hessian is diagonal."""

    @abstractmethod
    def expand_diagonal(self, own: Own) -> tuple[float, Own, Own]:
        """Return value, gradient and diagonal of the Hessian at (own,) parameters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sum:
    """The sum of terms, as a function of all the parameters.

    Args:
        terms: its summands.
        n_parameters: length of parameter vectors.
    """

    terms: Sequence[Term]
    n_parameters: int

    @property
    def rounding(self) -> float:
        """Absolute noise of the value beyond that of float64 sums."""
        return float(np.sqrt(sum(term.rounding**2 for term in self.terms)))

    def twice_nll(self, theta: Point) -> float:
        """Return -2 ln L; infinite where a term is not defined."""
        return float(sum(term.value(theta[term.index]) for term in self.terms))

    def value_and_gradient(self, theta: Point) -> tuple[float, Point]:
        """Return -2 ln L and its gradient."""
        total, gradient = 0.0, np.zeros(self.n_parameters)
        for term in self.terms:
            value, slope = term.value_and_gradient(theta[term.index])
            total += value
            gradient[term.index] += slope
        return total, gradient

    def expand(self, theta: Point) -> Expansion:
        """Return -2 ln L, gradient and Hessian."""
        total, gradient = 0.0, np.zeros(self.n_parameters)
        hessian = np.zeros((self.n_parameters, self.n_parameters))
        diagonal = np.zeros(self.n_parameters)
        parts: list[tuple[Int[np.ndarray, " own"], Expansion]] = []
        for term in self.terms:
            index = term.index
            if isinstance(term, DiagonalTerm):
                value, slope, bend = term.expand_diagonal(theta[index])
                diagonal[index] += bend
            else:
                found = term.expand(theta[index])
                value, slope = found.value, found.gradient
                _add_block(hessian, index, found.hessian)
                parts.append((index, found))
            total += value
            gradient[index] += slope
        _add_diagonal(hessian, diagonal)

        def information() -> Float[np.ndarray, "parameters parameters"]:
            matrix = np.diag(diagonal)
            for index, found in parts:
                _add_block(matrix, index, found.hessian if found.information is None else found.information())
            return matrix

        offered = any(found.information is not None for _, found in parts)
        return Expansion(total, gradient, hessian, information if offered else None)

    def expected(self, theta: Point) -> dict[str, Float[np.ndarray, " n"]]:
        """Return the expected events of the channels of all terms."""
        result: dict[str, Float[np.ndarray, " n"]] = {}
        for term in self.terms:
            result.update(term.expected(theta[term.index]))
        return result


def _add_diagonal(target: np.ndarray, diagonal: np.ndarray) -> None:
    place = np.arange(len(diagonal))
    target[place, place] += diagonal


def _add_block(target: np.ndarray, index: np.ndarray, block: np.ndarray) -> None:
    """Add a term's matrix to that of all parameters."""
    if len(index) < len(target):
        target[index[:, None], index] += block
    elif np.array_equal(index, np.arange(len(index))):
        target += block
    else:
        order = np.argsort(index)
        target += block[order][:, order]
