"""Channels as arrays: what compiled functions take as arguments, and the few facts compiled in.

Samples of binned channels and components of unbinned ones are *rows*: a row has a coefficient, factors and
normalisation variations; binned rows have bins. Lists are padded with neutral entries that point at a constant 1 behind
the parameter vector, so that likelihoods of one family (a patchset) share one compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evercast.likelihood.coefficients import read_coefficient
from evercast.likelihood.interpolation import FACTOR_CODES, SHIFT_CODES
from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    Component,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
    UnbinnedChannelModel,
)
from evercast.spec.expressions import Node
from evercast.spec.expressions import names as names_in

__all__ = ["Structure", "Tensors", "build_structure", "build_tensors", "padded_size"]

_STEP = 8
"""Numbers of rows, of parameters and of entries per row are rounded up to it."""
_ENTRY_STEP = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Structure:
    """What is compiled in.

    Args:
        formulas: the distinct coefficient formulas; the first is the constant 1.
        formula_names: (name, index in the parameter vector) of the parameters the formulas use.
        factor_codes, shift_codes: interpolation codes that occur.
        n_binned_rows: rows with bins, padding included.
    """

    formulas: tuple[Node, ...]
    formula_names: tuple[tuple[str, int], ...]
    factor_codes: tuple[str, ...]
    shift_codes: tuple[str, ...]
    n_binned_rows: int


class Tensors(NamedTuple):
    """What is passed as arguments; an index behind the (padded) parameters points at the constant 1.

    Args:
        formula: (rows,) index in the formulas.
        yields: (rows,) expected events of unbinned components; 1 for binned rows.
        factor: (rows, factors) parameter indices.
        system, system_up, system_down, system_code: (rows, systematics) normalisation variations.
        nominal: (binned rows, bins).
        shift_row, shift_parameter, shift_code: (shifts,); shift_up, shift_down: (shifts, bins) differences to nominal.
        bin_factor: (binned rows, factors, bins) parameter indices.
        channel: (binned rows,); observed, mask: (channels, bins).
    """

    formula: Int[Array, " rows"]
    yields: Float[Array, " rows"]
    factor: Int[Array, "rows factors"]
    system: Int[Array, "rows systematics"]
    system_up: Float[Array, "rows systematics"]
    system_down: Float[Array, "rows systematics"]
    system_code: Int[Array, "rows systematics"]
    nominal: Float[Array, "binned bins"]
    shift_row: Int[Array, " shifts"]
    shift_parameter: Int[Array, " shifts"]
    shift_code: Int[Array, " shifts"]
    shift_up: Float[Array, "shifts bins"]
    shift_down: Float[Array, "shifts bins"]
    bin_factor: Int[Array, "binned binfactors bins"]
    channel: Int[Array, " binned"]
    observed: Float[Array, "channels bins"]
    mask: Float[Array, "channels bins"]


def padded_size(model: LikelihoodModel) -> int:
    """Return the length of the parameter vector that the compiled functions take; the rest is filled with zeros."""
    return _round_up(len(model.parameters), _STEP)


def _channels(model: LikelihoodModel) -> tuple[list[BinnedChannelModel], list[UnbinnedChannelModel]]:
    binned = [channel for channel in model.channels if isinstance(channel, BinnedChannelModel)]
    unbinned = [channel for channel in model.channels if isinstance(channel, UnbinnedChannelModel)]
    return binned, unbinned


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _rows(model: LikelihoodModel) -> tuple[list[BinnedSample | Component | None], int]:
    """Return all rows, None for padding, and the number of binned rows."""
    binned, unbinned = _channels(model)
    rows: list[BinnedSample | Component | None] = [sample for channel in binned for sample in channel.samples]
    n_binned = _round_up(len(rows), _STEP)
    rows += [None] * (n_binned - len(rows))
    rows += [component for channel in unbinned for component in channel.components]
    return rows, n_binned


def build_structure(model: LikelihoodModel) -> tuple[Structure, Int[np.ndarray, " rows"]]:
    """Return the compiled-in facts and the formula index of each row.

    Raises:
        InvalidInput: a coefficient is not a formula of the parameters.
    """
    names = model.parameter_names
    rows, n_binned = _rows(model)
    nodes = {"1": read_coefficient("1", parameters=frozenset(), where=model.name)}
    for row in rows:
        if row is not None and row.coefficient not in nodes:
            nodes[row.coefficient] = read_coefficient(row.coefficient, parameters=frozenset(names), where=model.name)
    order = list(nodes)
    formula = np.array([0 if row is None else order.index(row.coefficient) for row in rows], dtype=np.int32)
    used = sorted(set().union(*(names_in(node) for node in nodes.values())))
    modifiers = [modifier for row in rows if row is not None for modifier in row.modifiers]
    factor_codes = {modifier.code for modifier in modifiers if isinstance(modifier, NormSys)}
    shift_codes = {modifier.code for modifier in modifiers if isinstance(modifier, HistoSys)}
    structure = Structure(
        formulas=tuple(nodes.values()),
        formula_names=tuple((name, names.index(name)) for name in used),
        factor_codes=tuple(sorted(factor_codes | {"4"})),
        shift_codes=tuple(sorted(shift_codes)),
        n_binned_rows=n_binned,
    )
    return structure, formula


def build_tensors(model: LikelihoodModel, formula: Int[np.ndarray, " rows"]) -> Tensors:
    """Return the arrays of a model, float64; the model has been checked."""
    binned, _ = _channels(model)
    rows, n_binned = _rows(model)
    index = {name: position for position, name in enumerate(model.parameter_names)}
    constant = padded_size(model)
    n_bins = max((len(channel.observed) for channel in binned), default=1)
    arrays = {
        "formula": formula,
        "yields": np.array([row.yield_events if isinstance(row, Component) else 1.0 for row in rows], dtype=float),
        **_scales(rows, index, constant),
        **_templates(rows[:n_binned], index, constant, n_bins),
        **_counts(binned, n_binned, n_bins),
    }
    with jax.enable_x64(new_val=True):
        return Tensors(**{name: jnp.asarray(values) for name, values in arrays.items()})


def _pad(lists: Sequence[Sequence[T]], filler: T) -> list[list[T]]:
    """Return the lists, all made as long as the longest, rounded up; a single one stays single."""
    width = max((len(entry) for entry in lists), default=0) or 1
    width = width if width <= 2 else _round_up(width, _STEP)
    return [[*entry, *[filler] * (width - len(entry))] for entry in lists]


def _scales(
    rows: Sequence[BinnedSample | Component | None], index: dict[str, int], constant: int
) -> dict[str, np.ndarray]:
    modifiers = [() if row is None else row.modifiers for row in rows]
    factors = [[index[m.parameter] for m in entry if isinstance(m, NormFactor)] for entry in modifiers]
    systems = [
        [(index[m.parameter], m.up, m.down, FACTOR_CODES.index(m.code)) for m in entry if isinstance(m, NormSys)]
        for entry in modifiers
    ]
    neutral = (constant, 1.0, 1.0, FACTOR_CODES.index("4"))
    table = np.array(_pad(systems, neutral), dtype=float)
    return {
        "factor": np.array(_pad(factors, constant), dtype=np.int32),
        "system": table[:, :, 0].astype(np.int32),
        "system_up": table[:, :, 1],
        "system_down": table[:, :, 2],
        "system_code": table[:, :, 3].astype(np.int32),
    }


def _templates(
    rows: Sequence[BinnedSample | Component | None], index: dict[str, int], constant: int, n_bins: int
) -> dict[str, np.ndarray]:
    samples = [row if isinstance(row, BinnedSample) else None for row in rows]
    nominal = np.zeros((len(rows), n_bins))
    shifts: list[tuple[int, int, int]] = []
    shift_up: list[np.ndarray] = []
    shift_down: list[np.ndarray] = []
    bin_factors: list[list[list[int]]] = []
    for number, sample in enumerate(samples):
        modifiers = () if sample is None else sample.modifiers
        if sample is not None:
            nominal[number, : len(sample.nominal)] = sample.nominal
        bin_factors.append([_bin_indices(m, index, constant, n_bins) for m in modifiers if isinstance(m, BinFactor)])
        for m in modifiers:
            if sample is not None and isinstance(m, HistoSys):
                shifts.append((number, index[m.parameter], SHIFT_CODES.index(m.code)))
                shift_up.append(_filled(m.up - sample.nominal, n_bins))
                shift_down.append(_filled(sample.nominal - m.down, n_bins))
    extra = _round_up(len(shifts), _ENTRY_STEP) - len(shifts)
    table = np.array([*shifts, *[(0, constant, SHIFT_CODES.index("4p"))] * extra], dtype=np.int32).reshape(-1, 3)
    empty = [np.zeros(n_bins)] * extra
    neutral = [constant] * n_bins
    return {
        "nominal": nominal,
        "shift_row": table[:, 0],
        "shift_parameter": table[:, 1],
        "shift_code": table[:, 2],
        "shift_up": np.array([*shift_up, *empty]).reshape(-1, n_bins),
        "shift_down": np.array([*shift_down, *empty]).reshape(-1, n_bins),
        "bin_factor": np.array(_pad(bin_factors, neutral), dtype=np.int32).reshape(len(rows), -1, n_bins)
        if rows
        else np.zeros((0, 1, n_bins), dtype=np.int32),
    }


def _bin_indices(modifier: BinFactor, index: dict[str, int], constant: int, n_bins: int) -> list[int]:
    found = [constant if name is None else index[name] for name in modifier.parameters]
    return found + [constant] * (n_bins - len(found))


def _filled(values: Float[np.ndarray, " some"], n_bins: int) -> Float[np.ndarray, " bins"]:
    return np.concatenate([values, np.zeros(n_bins - len(values))])


def _counts(binned: Sequence[BinnedChannelModel], n_rows: int, n_bins: int) -> dict[str, np.ndarray]:
    channel = [number for number, entry in enumerate(binned) for _ in entry.samples]
    counts = [_filled(entry.observed, n_bins) for entry in binned]
    mask = [_filled(np.ones(len(entry.observed)), n_bins) for entry in binned]
    return {
        "channel": np.array(channel + [0] * (n_rows - len(channel)), dtype=np.int32),
        "observed": np.array(counts, dtype=float).reshape(-1, n_bins),
        "mask": np.array(mask, dtype=float).reshape(-1, n_bins),
    }
