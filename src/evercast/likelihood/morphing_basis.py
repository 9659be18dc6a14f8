"""Morphing bases: coefficients of processes by linear algebra, and what the cancellations between them cost.

A density linear in features, p(theta) = sum_k phi_k(theta) c_k, is known everywhere once it is known at as many basis
points: f(theta) = phi(theta)^T Phi^-1, Phi_bk = phi_k(theta_b). With features 1, sqrt(mu), mu it is interference; with
1, c1, c2, c1**2, c1*c2, c2**2 an effective field theory of two Wilson coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput, NumericalFailure
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.spec.expressions import Call, Name, Node, Number, parse_coefficient, to_text
from evercast.spec.expressions import names as names_in
from evercast.spec.model import MorphingBasis

__all__ = ["LARGEST_CONDITION", "BasisReport", "basis_coefficients", "basis_report"]

LARGEST_CONDITION = 1e6
"""Condition number, of the matrix with columns and rows brought to length 1, above which a basis is refused: there the
6e-8 of float32 log ratios become 6 % of the morphed density, and what networks can learn is far coarser."""
_PART = 0.1
"""Share of the largest component above which a point or a feature counts as part of a dependence."""
_EQUILIBRATIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisReport:
    """What a basis costs at one point.

    Args:
        condition_number: of the matrix Phi, features and points scaled to length 1 (units do not matter).
        coefficients: process -> f(theta).
        expected_events: sum of coefficient x yield.
        effective_events: N_eff = (sum f nu)^2 / sum (f nu)^2 / N, N the events behind each yield.
        loss: 1 - N_eff / sum N, the share of the simulated events that the morphing costs.
        dilution: sum |f nu| / |sum f nu|: by how much relative errors of the parts exceed those of their sum; None
            where nothing is expected.
    """

    condition_number: float
    coefficients: Mapping[str, float]
    expected_events: float
    effective_events: float
    loss: float
    dilution: float | None


def basis_coefficients(basis: MorphingBasis, *, where: str = "morphing basis") -> Mapping[str, str]:
    """Return process -> formula of its coefficient; exact rational algebra, numbers rounded once, written in full.

    Args:
        basis: as many features as points.
        where: of the basis, for messages.

    Raises:
        InvalidInput: ``morphing.singular``: points or features depend on each other, they are named;
            ``morphing.points``: their numbers differ, a point lacks a parameter or a feature is undefined at it.

    Example:
        >>> points = {"B": {"kappa": 0.0}, "SBI": {"kappa": 1.0}, "SBI2": {"kappa": 2.0}}
        >>> basis_coefficients(MorphingBasis(features=("1", "kappa", "kappa**2"), points=points))["SBI"]
        '2.0*kappa - 1.0*(kappa ** 2)'
    """
    nodes = [parse_coefficient(feature) for feature in basis.features]
    matrix = _matrix(basis, nodes, where)
    _check_condition(basis, np.array(matrix), where)
    inverse = _inverse(matrix)
    columns = zip(*inverse, strict=True)
    return {process: _formula(nodes, column) for process, column in zip(basis.points, columns, strict=True)}


def basis_report(
    basis: MorphingBasis,
    *,
    point: Mapping[str, float],
    yields: Mapping[str, float],
    events: Mapping[str, float] | None = None,
    where: str = "morphing basis",
) -> BasisReport:
    """Return condition number, coefficients and effective events of a basis at one point.

    Args:
        basis: features and points.
        point: parameter -> value.
        yields: process -> expected events at coefficient 1.
        events: process -> effective sample size of its simulation, (sum w)^2 / sum w^2; None: as many as are expected.
        where: of the basis, for messages.

    Raises:
        InvalidInput: as for `basis_coefficients`.
        NumericalFailure: a coefficient is undefined at the point.
    """
    formulas = basis_coefficients(basis, where=where)
    values = {process: evaluate_coefficient(parse_coefficient(text), point) for process, text in formulas.items()}
    parts = np.array([values[process] * yields[process] for process in basis.points])
    sizes = np.array([(yields if events is None else events)[process] for process in basis.points])
    variance = float(np.sum(np.where(sizes > 0, parts**2 / np.where(sizes > 0, sizes, 1.0), 0.0)))
    total = float(parts.sum())
    effective = total**2 / variance if variance > 0 else 0.0
    matrix = _matrix(basis, [parse_coefficient(feature) for feature in basis.features], where)
    return BasisReport(
        condition_number=float(np.linalg.cond(_equilibrated(np.array(matrix)))),
        coefficients=values,
        expected_events=total,
        effective_events=effective,
        loss=1.0 - effective / float(sizes.sum()) if sizes.sum() > 0 else 0.0,
        dilution=float(np.abs(parts).sum() / abs(total)) if total else None,
    )


def _matrix(basis: MorphingBasis, nodes: Sequence[Node], where: str) -> list[list[float]]:
    """Return Phi_bk, feature k at point b."""
    if len(nodes) != len(basis.points):
        message = f"{len(nodes)} features need as many points, found {len(basis.points)}"
        raise InvalidInput(message, code="morphing.points", where=where)
    rows = []
    for process, values in basis.points.items():
        lacking = sorted(frozenset[str]().union(*(names_in(node) for node in nodes)) - values.keys())
        if lacking:
            message = f"the point '{process}' has no value of {', '.join(lacking)}, which a feature uses"
            raise InvalidInput(message, code="morphing.points", where=where)
        try:
            rows.append([evaluate_coefficient(node, values) for node in nodes])
        except NumericalFailure as err:
            message = f"at the point '{process}': {err.message}"
            raise InvalidInput(message, code="morphing.points", where=where) from err
    return rows


def _equilibrated(matrix: Float[np.ndarray, "points features"]) -> Float[np.ndarray, "points features"]:
    """Return the matrix with all columns, then all rows, near length 1; columns and rows of zeros stay."""
    scaled = matrix.astype(float)
    for _ in range(_EQUILIBRATIONS):
        for axis in (0, 1):
            length = np.linalg.norm(scaled, axis=axis, keepdims=True)
            scaled = scaled / np.where(length > 0, length, 1.0)
    return scaled


def _check_condition(basis: MorphingBasis, matrix: Float[np.ndarray, "points features"], where: str) -> None:
    left, singular, right = np.linalg.svd(_equilibrated(matrix))
    if singular[-1] * LARGEST_CONDITION >= singular[0] > 0:
        return
    points = _parts(list(basis.points), left[:, -1])
    features = _parts(list(basis.features), right[-1])
    condition = "infinite" if singular[-1] <= 1e-14 * singular[0] else f"{singular[0] / singular[-1]:.3g}"
    message = (
        f"the matrix of {len(matrix)} points and features cannot be inverted: its condition number is {condition}, "
        f"at most {LARGEST_CONDITION:.0e} is accepted; dependent features: {', '.join(features)}; "
        f"dependent points: {', '.join(points)}"
    )
    hint = "choose points at which these features differ, or leave one of the features out"
    raise InvalidInput(message, code="morphing.singular", where=where, hint=hint)


def _parts(names: Sequence[str], vector: Float[np.ndarray, " n"]) -> list[str]:
    size = np.abs(vector)
    return [name for name, value in zip(names, size, strict=True) if value > _PART * size.max()]


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the inverse by elimination in rational numbers; the matrix is not singular."""
    n = len(matrix)
    rows = [
        [*map(Fraction, row), *(Fraction(int(i == k)) for k in range(n))] for i, row in enumerate(matrix)
    ]  # Phi beside the unit matrix
    for column in range(n):
        pivot = max(range(column, n), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [value / head for value in rows[column]]
        for other in range(n):
            factor = rows[other][column]
            if other != column and factor:
                rows[other] = [value - factor * own for value, own in zip(rows[other], rows[column], strict=True)]
    return [[float(value) for value in row[n:]] for row in rows]


def _formula(nodes: Sequence[Node], weights: Sequence[float]) -> str:
    """Return sum_k weight_k x feature_k as text; terms of weight zero are left out."""
    text = ""
    for node, weight in zip(nodes, weights, strict=True):
        if not weight:
            continue
        if isinstance(node, Number) and node.value == 1:
            term = repr(abs(weight))
        else:
            body = to_text(node)
            term = f"{abs(weight)!r}*{body if isinstance(node, Name | Call) else f'({body})'}"
        sign = (" - " if text else "-") if weight < 0 else (" + " if text else "")
        text += sign + term
    return text or "0"
