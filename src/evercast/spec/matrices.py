"""Small matrices in plain Python: whether a morphing basis can be inverted, and which of its parts prevent it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LARGEST_CONDITION", "Dependence", "dependence"]

LARGEST_CONDITION: Final = 1e6
"""Condition number, of the matrix with rows and columns brought to length 1, above which a basis is refused: there the
6e-8 of float32 log ratios become 6 % of the morphed density, and what networks can learn is far coarser."""

_EQUILIBRATIONS: Final = 20
_SWEEPS: Final = 60
_ORTHOGONAL: Final = 1e-15
_PART: Final = 0.1
"""Share of the largest component above which a row or column counts as part of a dependence."""

_Matrix = list[list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """What is nearly zero in a matrix.

    Args:
        condition: largest over smallest singular value, infinite for a singular matrix.
        rows, columns: numbers of those whose combination is nearly zero.
    """

    condition: float
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def dependence(matrix: Sequence[Sequence[float]]) -> Dependence:
    """Return the condition number of a square matrix, and the rows and columns that nearly depend on each other.

    Rows and columns are brought to length 1 first, so that units do not matter; the singular values follow by
    one-sided Jacobi rotations (Golub and Van Loan, Matrix Computations, section 8.6.3).

    Args:
        matrix: (rows, columns), finite.

    Example:
        >>> dependence([[1.0, 2.0], [2.0, 4.0]]).condition
        inf
        >>> dependence([[1.0, 0.0], [0.0, 100.0]]).condition
        1.0
    """
    scaled = _equilibrated([list(row) for row in matrix])
    values, right = _singular(scaled)
    _, left = _singular(_transposed(scaled))
    smallest, largest = min(values), max(values)
    singular = smallest <= 1e-14 * largest
    return Dependence(condition=math.inf if singular else largest / smallest, rows=_parts(left), columns=_parts(right))


def _transposed(matrix: _Matrix) -> _Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _equilibrated(matrix: _Matrix) -> _Matrix:
    """Return the matrix with all columns, then all rows, near length 1; those of zeros stay."""
    for _ in range(2 * _EQUILIBRATIONS):
        matrix = [[value / (math.hypot(*row) or 1.0) for value in row] for row in _transposed(matrix)]
    return matrix


def _singular(matrix: _Matrix) -> tuple[list[float], list[float]]:
    """Return the singular values, and the right singular vector of the smallest."""
    columns = _transposed(matrix)
    count = len(columns)
    vectors = [[float(i == k) for i in range(count)] for k in range(count)]
    for _ in range(_SWEEPS):
        turned = [_rotate(columns, vectors, i, k) for i in range(count) for k in range(i + 1, count)]
        if not any(turned):
            break
    values = [math.hypot(*column) for column in columns]
    return values, vectors[values.index(min(values))]


def _rotate(columns: _Matrix, vectors: _Matrix, i: int, k: int) -> bool:
    """Make columns i and k orthogonal; return whether they were not."""
    aa = math.fsum(value * value for value in columns[i])
    bb = math.fsum(value * value for value in columns[k])
    ab = math.fsum(one * two for one, two in zip(columns[i], columns[k], strict=True))
    if abs(ab) <= _ORTHOGONAL * math.sqrt(aa * bb):
        return False
    zeta = (bb - aa) / (2 * ab)
    tangent = math.copysign(1.0, zeta) / (abs(zeta) + math.hypot(1.0, zeta))
    cosine = 1 / math.hypot(1.0, tangent)
    sine = cosine * tangent
    for part in (columns, vectors):
        one, two = part[i], part[k]
        part[i] = [cosine * x - sine * y for x, y in zip(one, two, strict=True)]
        part[k] = [sine * x + cosine * y for x, y in zip(one, two, strict=True)]
    return True


def _parts(vector: Sequence[float]) -> tuple[int, ...]:
    largest = max(map(abs, vector))
    return tuple(place for place, value in enumerate(vector) if abs(value) > _PART * largest)
