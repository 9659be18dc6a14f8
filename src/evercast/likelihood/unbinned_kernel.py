"""Sums over a chunk of events, with derivatives: the one piece of arithmetic that meets every event.

With nu_j the expected events of component j divided by Z_j, and t_ij = r_ij g_ij / lambda_i,

    d ln lambda_i / d nu_j        = t_ij
    d ln lambda_i / d y_k         = D_ik,  D_ik = sum_j nu_j t_ij z_ijk,  z_ijk = d ln g_ij / d y_k
    d2 ln lambda_i / d nu_j d y_k = t_ij (z_ijk - D_ik)
    d2 ln lambda_i / d y_k d y_l  = sum_j nu_j t_ij (z_ijk z_ijl + delta_kl d z_ijk / d y_k) - D_ik D_il

Columns (events x anchors) are handled in the element type, what is left per component in float64, sums in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evercast.likelihood.morph_factors import CODE4, DOWN, DOWN_SLOPE, UP, UP_SLOPE
from evercast.likelihood.morph_layout import ColumnGroup, MorphLayout

__all__ = [
    "At",
    "Chunk",
    "Element",
    "Sums",
    "add_sums",
    "data_sums",
    "empty_sums",
    "morphed",
    "reference_sums",
    "sums_shapes",
]


Element = np.dtype[np.generic]
"""Type in which columns are handled: float32 or float64."""


class Chunk(NamedTuple):
    """Events as stored.

    Args:
        log_ratio: (events, components).
        weight: (events,) float64.
        log_up, log_down: (events, anchors).
        coefficients: (events, terms).
    """

    log_ratio: Float[Array, "events components"]
    weight: Float[Array, " events"]
    log_up: Float[Array, "events anchors"]
    log_down: Float[Array, "events anchors"]
    coefficients: Float[Array, "events terms"]


class At(NamedTuple):
    """Where the sums are made, float64; with a leading axis where they are made at several points.

    Args:
        expected: (components,) expected events; divided by Z for the sums of the data.
        anchors: (22, anchors) of `anchor_table`.
        terms: (terms,) values of the monomials.
    """

    expected: Float[Array | np.ndarray, "*points components"]
    anchors: Float[Array | np.ndarray, "*points rows anchors"]
    terms: Float[Array | np.ndarray, "*points terms"]


class Sums(NamedTuple):
    """Sums over events, float64; what an order of derivatives does not need is empty.

    Args:
        value: data: sum of w ln lambda; reference: 0.
        n_bad: events with weight whose intensity is not positive.
        component: (components,) sum of w t; reference: sum of w r g.
        column: per group (components, columns) sum of w t z; reference: of w r g z.
        square: per group (components, columns, columns) sum of the same weight x z z.
        bend: per group (components, code-4 columns) sum of the same weight x dz / dy.
        cross: (components + coordinates, same) sum of w x x^T, x = (t, D).
    """

    value: Float[Array, ""]
    n_bad: Float[Array, ""]
    component: Float[Array, " components"]
    column: tuple[Float[Array, "components columns"], ...]
    square: tuple[Float[Array, "components columns columns"], ...]
    bend: tuple[Float[Array, "components code4"], ...]
    cross: Float[Array, "x x"]


class SumsShapes(NamedTuple):
    """The shape of each of the `Sums`."""

    value: tuple[int, ...]
    n_bad: tuple[int, ...]
    component: tuple[int, ...]
    column: tuple[tuple[int, ...], ...]
    square: tuple[tuple[int, ...], ...]
    bend: tuple[tuple[int, ...], ...]
    cross: tuple[int, ...]


class _Moved(NamedTuple):
    """The components of a group: ln g without the code-4 part, the code-4 part, z and dz / dy.

    Args:
        exponent, factor: (events, components), float64.
        slope: (events, components, columns).
        bend: (events, components, code-4 columns).
    """

    exponent: Array
    factor: Array
    slope: Array
    bend: Array


def sums_shapes(layout: MorphLayout, *, order: int, reference: bool) -> SumsShapes:
    """Return the shape of each of the sums.

    Args:
        layout: of the morphs.
        order: 0 value, 1 with first, 2 with second derivatives.
        reference: sums of the reference sample, without `cross`.
    """
    n = layout.n_components
    sizes = [(len(group.components), group.n_columns, group.n_code4) for group in layout.groups]
    size = n + layout.n_coordinates if order > 1 and not reference else 0
    return SumsShapes(
        value=(),
        n_bad=(),
        component=(n if order > 0 or reference else 0,),
        column=tuple((count, k if order > 0 else 0) for count, k, _ in sizes),
        square=tuple((count, k, k) if order > 1 else (count, 0, 0) for count, k, _ in sizes),
        bend=tuple((count, k if order > 1 else 0) for count, _, k in sizes),
        cross=(size, size),
    )


def empty_sums(layout: MorphLayout, *, order: int, reference: bool) -> Sums:
    """Return sums over no events; the arguments are those of `sums_shapes`."""
    shapes = sums_shapes(layout, order=order, reference=reference)
    return Sums(
        value=jnp.zeros(shapes.value),
        n_bad=jnp.zeros(shapes.n_bad),
        component=jnp.zeros(shapes.component),
        column=tuple(jnp.zeros(shape) for shape in shapes.column),
        square=tuple(jnp.zeros(shape) for shape in shapes.square),
        bend=tuple(jnp.zeros(shape) for shape in shapes.bend),
        cross=jnp.zeros(shapes.cross),
    )


def _take(values: Array, columns: tuple[int, ...], n_components: int, dtype: Element) -> Array:
    """Return (..., components, columns) of some columns; a plain slice where they lie side by side."""
    first, stop = columns[0], columns[-1] + 1
    side_by_side = columns == tuple(range(first, stop))
    found = values[..., first:stop] if side_by_side else values[..., np.array(columns)]
    return found.astype(dtype).reshape(*values.shape[:-1], n_components, -1)


def _basis_sum(c: Array, u: Array, d: Array, ln_u: Array, ln_d: Array) -> Array:
    above = c[0] * (u - 1.0) + u * ln_u * (c[2] + ln_u * c[4])
    return above + (c[1] * (d - 1.0) + d * ln_d * (c[3] + ln_d * c[5]))


def _move(group: ColumnGroup, chunk: Chunk, at: At, *, order: int, dtype: Element, within: bool) -> _Moved:
    shape = chunk.weight.shape[0], len(group.components)
    exponent, factor = jnp.zeros(shape), jnp.ones(shape)
    slopes, bend = [], jnp.zeros((*shape, 0), dtype)
    for columns in (group.code4, group.log_linear):
        if not columns:
            continue
        ln_u, ln_d = (_take(values, columns, shape[1], dtype) for values in (chunk.log_up, chunk.log_down))
        table = _take(jnp.asarray(at.anchors), columns, shape[1], dtype)
        slope = None
        if not (within and columns is group.code4):
            exponent += jnp.sum(ln_u * table[UP] + ln_d * table[DOWN], axis=2)
            slope = ln_u * table[UP_SLOPE] + ln_d * table[DOWN_SLOPE]
        if columns is group.code4:
            u, d, c = jnp.exp(ln_u), jnp.exp(ln_d), table[CODE4].reshape(3, 6, *table.shape[1:])
            h = 1.0 + _basis_sum(c[0], u, d, ln_u, ln_d)
            factor = jnp.prod(h, axis=2).astype(exponent.dtype)
            if order > 0:
                ratio = _basis_sum(c[1], u, d, ln_u, ln_d) / h
                slope = ratio if slope is None else slope + ratio
            if order > 1:
                bend = _basis_sum(c[2], u, d, ln_u, ln_d) / h - ratio**2
        slopes.append(ln_u if slope is None else slope)  # without derivatives it is cut off below
    if group.terms:
        deltas = _take(chunk.coefficients, group.terms, shape[1], dtype)
        exponent += jnp.sum(deltas * _take(jnp.asarray(at.terms), group.terms, shape[1], dtype), axis=2)
        slopes.append(deltas)
    slope = jnp.concatenate(slopes, axis=2) if len(slopes) > 1 else slopes[0]
    return _Moved(exponent, factor, slope if order > 0 else slope[:, :, :0], bend)


def _log_and_factor(
    layout: MorphLayout, chunk: Chunk, moved: list[_Moved]
) -> tuple[Float[Array, "events components"], Float[Array, "events components"]]:
    """Return ln r_j plus the exponents of the morphs, and the code-4 factors."""
    logs = chunk.log_ratio.astype(jnp.float64)
    factor = jnp.ones_like(logs)
    for group, entry in zip(layout.groups, moved, strict=True):
        if group.components == tuple(range(layout.n_components)):
            return logs + entry.exponent, entry.factor
        own = np.array(group.components)
        logs = logs.at[:, own].add(entry.exponent)
        factor = factor.at[:, own].set(entry.factor)
    return logs, factor


def morphed(
    layout: MorphLayout, chunk: Chunk, at: At, *, dtype: Element
) -> tuple[Float[Array, "events components"], Float[Array, "events components"]]:
    """Return ln r_j plus the exponents of the morphs, and the code-4 factors, which are to be multiplied by exp."""
    moved = [_move(group, chunk, at, order=0, dtype=dtype, within=False) for group in layout.groups]
    return _log_and_factor(layout, chunk, moved)


def _weighted(
    layout: MorphLayout, moved: list[_Moved], weight: Float[Array, "events components"], *, order: int
) -> tuple[tuple[Array, ...], tuple[Array, ...], tuple[Array, ...]]:
    """Return column, square and bend sums with a weight per event and component."""
    columns, squares, bends = [], [], []
    for group, entry in zip(layout.groups, moved, strict=True):
        own = weight[:, np.array(group.components)].astype(entry.slope.dtype)
        columns.append(jnp.einsum("ij,ijk->jk", own, entry.slope).astype(jnp.float64))
        z = entry.slope if order > 1 else entry.slope[:, :, :0]
        parts = [(z[:, j] * own[:, j, None]).T @ z[:, j] for j in range(own.shape[1])]
        squares.append(jnp.stack(parts).astype(jnp.float64))
        bends.append(jnp.einsum("ij,ijk->jk", own, entry.bend).astype(jnp.float64))
    return tuple(columns), tuple(squares), tuple(bends)


def data_sums(layout: MorphLayout, chunk: Chunk, at: At, *, order: int, dtype: Element, within: bool) -> Sums:
    """Return the sums of w_i ln sum_j nu_j r_ij g_ij and its derivatives.

    Args:
        layout: of the morphs.
        chunk: events; those with weight 0 count for nothing.
        at: nu_j / Z_j, of any sign, and the numbers of the morphs.
        order: 0 value, 1 with first, 2 with second derivatives.
        dtype: of the elements, float32 or float64.
        within: no parameter of a code-4 anchor lies beyond +-1: powers of u and d are left out.
    """
    moved = [_move(group, chunk, at, order=order, dtype=dtype, within=within) for group in layout.groups]
    logs, factor = _log_and_factor(layout, chunk, moved)
    largest = jnp.max(logs, axis=1)
    ratio = jnp.exp(logs - largest[:, None]) * factor
    intensity = ratio @ at.expected
    good = intensity > 0
    counted = jnp.where(good, chunk.weight, 0.0)
    safe = jnp.where(good, intensity, 1.0)
    value = jnp.sum(jnp.where(good, counted * (jnp.log(safe) + largest), 0.0))
    sums = empty_sums(layout, order=order, reference=False)
    sums = sums._replace(value=value, n_bad=jnp.sum(jnp.where(good | (chunk.weight == 0), 0.0, 1.0)))
    if order == 0:
        return sums
    scaled = jnp.where(good[:, None], ratio / safe[:, None], 0.0)
    weighted = scaled * counted[:, None]
    column, square, bend = _weighted(layout, moved, weighted, order=order)
    sums = sums._replace(component=jnp.sum(weighted, axis=0), column=column)
    if order == 1:
        return sums
    cross = _cross(layout, moved, scaled, jnp.asarray(at.expected), counted)
    return sums._replace(square=square, bend=bend, cross=cross)


def _cross(layout: MorphLayout, moved: list[_Moved], scaled: Array, expected: Array, weight: Array) -> Array:
    if not layout.groups:
        return (scaled * weight[:, None]).T @ scaled
    dtype, size = moved[0].slope.dtype, layout.n_coordinates
    shares = (scaled * expected).astype(dtype)
    total = jnp.zeros((scaled.shape[0], size), dtype)
    for group, entry in zip(layout.groups, moved, strict=True):
        own = shares[:, np.array(group.components)]
        if len(set(group.coordinates)) == 1:
            total += _spread(jnp.einsum("ij,ijk->ik", own, entry.slope), group.coordinates[0], size)
            continue
        for j, along in enumerate(group.coordinates):
            total += _spread(own[:, j, None] * entry.slope[:, j], along, size)
    x = jnp.concatenate([scaled.astype(dtype), total], axis=1)
    return ((x * weight.astype(dtype)[:, None]).T @ x).astype(jnp.float64)


def _spread(values: Array, coordinates: tuple[int, ...], size: int) -> Array:
    """Return (events, columns) added up into (events, coordinates)."""
    if coordinates == tuple(range(size)):
        return values
    indicator = np.zeros((len(coordinates), size))
    indicator[np.arange(len(coordinates)), list(coordinates)] = 1.0
    return values @ jnp.asarray(indicator, values.dtype)


def reference_sums(layout: MorphLayout, chunk: Chunk, at: At, *, order: int, dtype: Element, within: bool) -> Sums:
    """Return the sums of w r_j g_j over reference events, with derivatives; arguments as for `data_sums`."""
    moved = [_move(group, chunk, at, order=order, dtype=dtype, within=within) for group in layout.groups]
    logs, factor = _log_and_factor(layout, chunk, moved)
    weighted = jnp.where(chunk.weight[:, None] == 0, 0.0, jnp.exp(logs) * factor * chunk.weight[:, None])
    sums = empty_sums(layout, order=order, reference=True)._replace(component=jnp.sum(weighted, axis=0))
    if order == 0:
        return sums
    column, square, bend = _weighted(layout, moved, weighted, order=order)
    sums = sums._replace(column=column)
    return sums._replace(square=square, bend=bend) if order > 1 else sums


def add_sums(one: Sums, other: Sums) -> Sums:
    """Return the sums over both."""
    total: Sums = jax.tree.map(jnp.add, one, other)
    return total
