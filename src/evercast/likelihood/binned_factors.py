"""What multiplies the templates of binned channels, with first and second derivatives, in numpy.

All functions take (points, own) parameters with a last column of ones, the place that stands for "no parameter".
Interpolation codes as in `evercast.likelihood.interpolation` (CERN-OPEN-2012-016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evercast.likelihood.coefficients import read_coefficient
from evercast.likelihood.jets import coefficient_jet
from evercast.likelihood.model import BinnedSample, Component, NormFactor, NormSys
from evercast.spec.expressions import Node
from evercast.spec.expressions import names as names_in

__all__ = ["Programs", "Systems", "build_programs", "build_systems"]

Points = Float[np.ndarray, "points columns"]
Entries = Float[np.ndarray, "points entries"]
Row = BinnedSample | Component

_ZERO = 1e-150
"""Stands for a factor of exactly 0 (code 0), whose logarithmic derivative is its inverse."""


class ProgramValues(NamedTuple):
    """Programs at some points, with derivatives in the parameters that they use.

    Args:
        value: (points, programs).
        gradient: (points, programs, used).
        hessian: (points, programs, used, used).
    """

    value: Float[np.ndarray, "points programs"]
    gradient: Float[np.ndarray, "points programs used"]
    hessian: Float[np.ndarray, "points programs used used"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Programs:
    """The different products of a coefficient formula with normfactors; number 0 is the constant 1.

    Args:
        columns: (used,) own positions of the parameters that programs use.
        formulas: per program its formula; None is 1.
        names: parameter of a formula -> its place in `columns`.
        factors: (programs, factors) places in `columns` of the normfactors; behind the last: none.
        of_row: (rows,) the program of each row.
    """

    columns: Int[np.ndarray, " used"]
    formulas: tuple[Node | None, ...]
    names: Mapping[str, int]
    factors: Int[np.ndarray, "programs factors"]
    of_row: Int[np.ndarray, " rows"]

    def evaluate(self, theta: Points) -> ProgramValues:
        """Return values with derivatives; NaN where a formula is undefined."""
        points, n = len(theta), len(self.columns)
        used = np.concatenate([theta[:, self.columns], np.ones((points, 1))], axis=1)
        value = np.ones((points, len(self.formulas)))
        gradient = np.zeros((*value.shape, n + 1))
        hessian = np.zeros((*gradient.shape, n + 1))
        for number, formula in enumerate(self.formulas):
            if formula is not None:
                jet = coefficient_jet(formula, used[:, :n], self.names)
                value[:, number] = jet.value
                gradient[:, number, :n], hessian[:, number, :n, :n] = jet.gradient, jet.hessian
        row = np.arange(len(self.formulas))
        for place in self.factors.T:
            factor = used[:, place]
            hessian *= factor[:, :, None, None]
            hessian[:, row, place, :] += gradient
            hessian[:, row, :, place] += gradient.transpose(1, 0, 2)
            gradient *= factor[:, :, None]
            gradient[:, row, place] += value
            value = value * factor
        return ProgramValues(value, gradient[:, :, :n], hessian[:, :, :n, :n])


def build_programs(rows: Sequence[Row | None], position: Mapping[str, int], names: frozenset[str]) -> Programs:
    """Return the programs of all rows; an empty row has the constant 1."""
    keys: dict[tuple[str, tuple[str, ...]], int] = {("1", ()): 0}
    of_row = []
    for row in rows:
        factors = () if row is None else tuple(m.parameter for m in row.modifiers if isinstance(m, NormFactor))
        key = ("1" if row is None else row.coefficient, tuple(sorted(factors)))
        of_row.append(keys.setdefault(key, len(keys)))
    trees = {text: read_coefficient(text, parameters=names, where="binned channels") for text, _ in keys}
    in_formulas = sorted(frozenset[str]().union(*(names_in(tree) for tree in trees.values())))
    used = sorted({*in_formulas, *(name for _, factors in keys for name in factors)})
    longest = max(len(factors) for _, factors in keys)
    places = [[used.index(name) for name in factors] + [len(used)] * (longest - len(factors)) for _, factors in keys]
    return Programs(
        columns=np.array([position[name] for name in used], dtype=np.int64),
        formulas=tuple(None if text == "1" else trees[text] for text, _ in keys),
        names={name: used.index(name) for name in in_formulas},
        factors=np.array(places, dtype=np.int64).reshape(len(keys), longest),
        of_row=np.array(of_row, dtype=np.int64),
    )


class SystemValues(NamedTuple):
    """Normalisation variations at some points.

    Args:
        factor: (points, rows) their product.
        first, second: (points, entries) g' / g and g'' / g.
    """

    factor: Float[np.ndarray, "points rows"]
    first: Entries
    second: Entries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Systems:
    """Normalisation variations (normsys): entries of one row stand together; several of one parameter are one entry.

    Args:
        row, column: (entries,) the row and the own position of the parameter.
        code: (entries,) 0, 1 or 4.
        up, down: (entries,) factors at +1 and -1.
        polynomial: (entries, 7) coefficients of code 4 within one standard deviation, the constant first.
        again: further variations of the entry `target` of them, in rounds in which no entry occurs twice.
        n_rows: rows in all.
    """

    row: Int[np.ndarray, " entries"]
    column: Int[np.ndarray, " entries"]
    code: Int[np.ndarray, " entries"]
    up: Float[np.ndarray, " entries"]
    down: Float[np.ndarray, " entries"]
    polynomial: Float[np.ndarray, "entries coefficients"]
    target: Int[np.ndarray, " entries"]
    again: tuple[Systems, ...]
    n_rows: int

    def evaluate(self, theta: Points) -> SystemValues:
        """Return the product of the factors of each row, and the derivatives of each factor over the factor."""
        value, first, second = self._factors(theta)
        for other in self.again:
            g, g1, g2 = other._factors(theta)
            to = other.target
            second[:, to] = second[:, to] * g + 2.0 * first[:, to] * g1 + value[:, to] * g2
            first[:, to] = first[:, to] * g + value[:, to] * g1
            value[:, to] *= g
        value = np.where(value == 0, _ZERO, value)
        product = np.ones((len(theta), self.n_rows))
        if len(self.row):
            starts = np.flatnonzero(np.diff(self.row, prepend=-1))
            product[:, self.row[starts]] = np.multiply.reduceat(value, starts, axis=1)
        return SystemValues(product, first / value, second / value)

    def _factors(self, theta: Points) -> tuple[Entries, Entries, Entries]:
        alpha = theta[:, self.column]
        value = np.broadcast_to(self.polynomial[:, 6], alpha.shape).copy()
        first, half = np.zeros_like(alpha), np.zeros_like(alpha)
        for power in range(5, -1, -1):
            half = half * alpha + first
            first = first * alpha + value
            value = value * alpha + self.polynomial[:, power]
        second = 2.0 * half
        outside = (self.code == 1) | ((self.code == 4) & (np.abs(alpha) >= 1.0))
        if outside.any():
            entry = np.nonzero(outside)
            x = alpha[entry]
            slope = np.where(x > 0, np.log(self.up[entry[1]]), -np.log(self.down[entry[1]]))
            value[entry] = np.exp(x * slope)
            first[entry] = slope * value[entry]
            second[entry] = slope**2 * value[entry]
        linear = np.flatnonzero(self.code == 0)
        if linear.size:
            x = alpha[:, linear]
            slope = np.where(x > 0, self.up[linear] - 1.0, 1.0 - self.down[linear])
            value[:, linear], first[:, linear], second[:, linear] = 1.0 + x * slope, slope, 0.0
        return value, first, second


def build_systems(rows: Sequence[Row | None], position: Mapping[str, int]) -> Systems:
    """Return the normalisation variations of all rows."""
    rounds: list[list[tuple[int, int, float, float, int, int]]] = [[]]
    places: dict[tuple[int, int], int] = {}
    for number, row in enumerate(rows):
        count: dict[int, int] = {}
        for m in () if row is None else row.modifiers:
            if not isinstance(m, NormSys):
                continue
            column = position[m.parameter]
            repeat = count[column] = count.get(column, -1) + 1
            if repeat == 0:
                places[number, column] = len(rounds[0])
            if repeat == len(rounds):
                rounds.append([])
            rounds[repeat].append((number, column, m.up, m.down, int(m.code), places[number, column]))
    first, *others = [_systems(entries, len(rows)) for entries in rounds]
    return Systems(**{name: getattr(first, name) for name in Systems.__slots__ if name != "again"}, again=tuple(others))


def _systems(entries: Sequence[tuple[int, int, float, float, int, int]], n_rows: int) -> Systems:
    table = np.array(entries, dtype=float).reshape(-1, 6)
    row, column, code, target = (table[:, i].astype(np.int64) for i in (0, 1, 4, 5))
    up, down = table[:, 2], table[:, 3]
    safe_up, safe_down = (np.where(code == 4, values, 1.0) for values in (up, down))
    return Systems(
        row=row, column=column, code=code, up=up, down=down, polynomial=_polynomial(safe_up, safe_down),
        target=target, again=(), n_rows=n_rows,
    )  # fmt: skip


def _polynomial(
    up: Float[np.ndarray, " entries"], down: Float[np.ndarray, " entries"]
) -> Float[np.ndarray, "entries coefficients"]:
    """Return the coefficients of code 4: value, slope and curvature of the exponentials at +1 and -1, and 1 at 0."""
    log_up, log_down = np.log(up), np.log(down)
    s0, a0 = (up + down) / 2, (up - down) / 2
    s1, a1 = (up * log_up - down * log_down) / 2, (up * log_up + down * log_down) / 2
    s2, a2 = (up * log_up**2 + down * log_down**2) / 2, (up * log_up**2 - down * log_down**2) / 2
    terms = (
        np.ones_like(up),
        (15 * a0 - 7 * s1 + a2) / 8,
        (-24 + 24 * s0 - 9 * a1 + s2) / 8,
        (-5 * a0 + 5 * s1 - a2) / 4,
        (12 - 12 * s0 + 7 * a1 - s2) / 4,
        (3 * a0 - 3 * s1 + a2) / 8,
        (-8 + 8 * s0 - 5 * a1 + s2) / 8,
    )
    return np.stack(terms, axis=1)
