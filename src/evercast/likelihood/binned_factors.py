"""What multiplies the templates of binned channels, with first and second derivatives, in numpy.

All functions take (points, own) parameters with a last column of ones, the place that stands for "no parameter".
Interpolation codes as in `evercast.likelihood.interpolation` (CERN-OPEN-2012-016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.coefficients import read_coefficient
from evercast.likelihood.jets import coefficient_jet
from evercast.likelihood.model import BinnedSample, Component, ModifierKinds, NormSys, modifier_kinds
from evercast.spec.expressions import Node
from evercast.spec.expressions import names as names_in

__all__ = ["Programs", "Systems", "build_programs", "build_systems", "distinct"]

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
        factors = () if row is None else tuple(m.parameter for m in _kinds(row).norm_factors)
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

    Several models may be held at once; what one of them lacks has factors of 1 there.

    Args:
        row, column: (entries,) the row and the own position of the parameter.
        code: (entries,) 0, 1 or 4.
        up, down: (models, entries) factors at +1 and -1.
        polynomial: (7, models, entries) coefficients of code 4 within one standard deviation, the constant first.
        again: further variations of the entry `target` of them, in rounds in which no entry occurs twice.
        n_rows: rows in all.
    """

    row: Int[np.ndarray, " entries"]
    column: Int[np.ndarray, " entries"]
    code: Int[np.ndarray, " entries"]
    up: Float[np.ndarray, "models entries"]
    down: Float[np.ndarray, "models entries"]
    polynomial: Float[np.ndarray, "coefficients models entries"]
    target: Int[np.ndarray, " entries"]
    again: tuple[Systems, ...]
    n_rows: int

    def of_models(self, chosen: slice | Int[np.ndarray, " chosen"]) -> Systems:
        """Return the variations of some of the models."""
        return replace(
            self, up=self.up[chosen], down=self.down[chosen], polynomial=self.polynomial[:, chosen],
            again=tuple(other.of_models(chosen) for other in self.again),
        )  # fmt: skip

    def evaluate(self, theta: Points) -> SystemValues:
        """Return the product of the factors of each row, and the derivatives of each factor over the factor.

        There is one model for all points, or one for each.
        """
        value, first, second = self._factors(theta)
        for other in self.again:
            g, g1, g2 = other._factors(theta)
            to = other.target
            second[:, to] = second[:, to] * g + 2.0 * first[:, to] * g1 + value[:, to] * g2
            first[:, to] = first[:, to] * g + value[:, to] * g1
            value[:, to] *= g
        value[value == 0] = _ZERO
        product = np.ones((len(theta), self.n_rows))
        if len(self.row):
            starts = np.flatnonzero(np.diff(self.row, prepend=-1))
            product[:, self.row[starts]] = np.multiply.reduceat(value, starts, axis=1)
        first /= value
        second /= value
        return SystemValues(product, first, second)

    def _factors(self, theta: Points) -> tuple[Entries, Entries, Entries]:
        alpha = theta[:, self.column]
        value = np.zeros_like(alpha)
        value += self.polynomial[6]
        first, second = np.zeros_like(alpha), np.zeros_like(alpha)
        for power in range(5, -1, -1):
            second *= alpha
            second += first
            first *= alpha
            first += value
            value *= alpha
            value += self.polynomial[power]
        second *= 2.0
        outside = (self.code == 1) | ((self.code == 4) & (np.abs(alpha) >= 1.0))
        if outside.any():
            x = alpha[outside]
            up, down = (np.broadcast_to(entry, alpha.shape)[outside] for entry in (self.up, self.down))
            slope = np.where(x > 0, np.log(up), -np.log(down))
            grown = np.exp(x * slope)
            value[outside], first[outside], second[outside] = grown, slope * grown, slope**2 * grown
        linear = np.flatnonzero(self.code == 0)
        if linear.size:
            x = alpha[:, linear]
            slope = np.where(x > 0, self.up[:, linear] - 1.0, 1.0 - self.down[:, linear])
            value[:, linear], first[:, linear], second[:, linear] = 1.0 + x * slope, slope, 0.0
        return value, first, second


def build_systems(models: Sequence[Sequence[Row | None]], position: Mapping[str, int]) -> Systems:
    """Return the normalisation variations of all rows of some models with the same rows.

    Raises:
        InvalidInput: the models interpolate one variation with different codes.
    """
    rounds: list[_Round] = [_Round()]
    for number, of_row in enumerate(zip(*models, strict=True)):
        for row, holders in distinct(of_row):
            count: dict[int, int] = {}
            for m in () if row is None else _kinds(row).norm_systems:
                column = position[m.parameter]
                repeat = count[column] = count.get(column, -1) + 1
                if repeat == len(rounds):
                    rounds.append(_Round())
                rounds[repeat].add((number, column), m, None if len(holders) == len(models) else holders)
    first, *others = [one.systems(rounds[0], n_models=len(models), n_rows=len(models[0])) for one in rounds]
    return replace(first, again=tuple(others))


class _Round:
    """Variations of which no two have the same row and parameter in one model."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], int] = {}
        self._in_all: list[tuple[tuple[int, int], float, float, int]] = []
        self._in_some: list[tuple[tuple[int, int], float, float, int, Sequence[int]]] = []

    def add(self, place: tuple[int, int], modifier: NormSys, holders: Sequence[int] | None) -> None:
        """Take in a variation of a (row, column) in some of the models, or in all (None)."""
        self._places.setdefault(place, len(self._places))
        found = (place, modifier.up, modifier.down, int(modifier.code))
        if holders is None:
            self._in_all.append(found)
        else:
            self._in_some.append((*found, holders))

    def systems(self, first: _Round, *, n_models: int, n_rows: int) -> Systems:
        """Return the arrays; `first` is the round whose entries are varied once more, ordered before."""
        ordered = sorted(self._places, key=lambda place: place[0])
        self._places = {place: entry for entry, place in enumerate(ordered)}
        table = np.array(ordered, dtype=np.int64).reshape(-1, 2)
        code, up, down = np.full(len(ordered), -1), *np.ones((2, n_models, len(ordered)))
        entries = [self._places[place] for place, *_ in self._in_all]
        code[entries] = [found[3] for found in self._in_all]
        up[:, entries] = [found[1] for found in self._in_all]
        down[:, entries] = [found[2] for found in self._in_all]
        if self._in_some:
            places, high, low, own_code, holders = zip(*self._in_some, strict=True)
            several = [len(found) for found in holders]
            entries = [self._places[place] for place in places]
            code[entries] = own_code
            other = np.flatnonzero(code[entries] != np.array(own_code))
            if other.size:
                first_code, last_code = own_code[other[0]], code[entries[other[0]]]
                message = f"a variation is interpolated with code {first_code} in one model, {last_code} in another"
                raise InvalidInput(message, code="likelihood.batch")
            which = np.concatenate(holders), np.repeat(entries, several)
            up[which], down[which] = np.repeat(high, several), np.repeat(low, several)
        polynomial = _polynomial(*(np.where(code == 4, values, 1.0) for values in (up, down)))
        return Systems(
            row=table[:, 0], column=table[:, 1], code=code, up=up, down=down, polynomial=polynomial,
            target=np.array([first._places[place] for place in ordered], dtype=np.int64), again=(), n_rows=n_rows,
        )  # fmt: skip


def _kinds(row: Row) -> ModifierKinds:
    return row.kinds if isinstance(row, BinnedSample) else modifier_kinds(row.modifiers)


def distinct(of_models: Sequence[Row | None]) -> list[tuple[Row | None, list[int]]]:
    """Return the different objects that stand at one place in several models, each with the numbers of its models."""
    first = of_models[0]
    if all(entry is first for entry in of_models):
        return [(first, list(range(len(of_models))))]
    found: dict[int, tuple[Row | None, list[int]]] = {}
    for number, entry in enumerate(of_models):
        found.setdefault(id(entry), (entry, []))[1].append(number)
    return list(found.values())


def _polynomial(
    up: Float[np.ndarray, "models entries"], down: Float[np.ndarray, "models entries"]
) -> Float[np.ndarray, "coefficients models entries"]:
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
    return np.stack(terms)
