"""Binned channels as arrays, laid out for rates with analytic derivatives.

A *row* is a sample of a channel. Its rate in a bin is program x systems x gamma x template: the *program* is its
coefficient formula times its normfactors, *systems* its normsys, *gamma* the product of its bin factors, the template
its nominal bins plus its histosys *shifts*. Channels with the same number of bins form a group of dense arrays
(channels, bins, samples), shorter lists of samples filled up with empty rows.

Parameters that act on rows or templates are *global* and stand first; those that are bin factors only stand behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.binned_factors import Programs, Systems, build_programs, build_systems
from evercast.likelihood.binned_shifts import Shifts
from evercast.likelihood.coefficients import read_coefficient
from evercast.likelihood.model import BinFactor, BinnedChannelModel, BinnedSample, HistoSys, ParameterModel
from evercast.spec.expressions import names as names_in

__all__ = ["Group", "Layout", "build_layout"]

Rows = Sequence[BinnedSample | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Channels with one number of bins; parameters are given by their own position, the number of them for none.

    Args:
        channels: positions of the channels.
        first: number of its first row; rows run over channels, then samples.
        nominal: (channels, bins, samples).
        up, down: (channels, bins, samples, shifts), differences of the varied templates to the nominal one.
        shifts: the parameters of the last axis.
        gamma: (factors, channels, bins, samples) bin factors of each cell.
        slots: (channels, bins, slots) the different bin factors of each bin.
        member: (factors, channels, bins, samples, slots) 1 where a factor of a cell is that slot.
        unique: no slot occurs twice.
    """

    channels: tuple[int, ...]
    first: int
    nominal: Float[np.ndarray, "channels bins samples"]
    up: Float[np.ndarray, "channels bins samples shifts"]
    down: Float[np.ndarray, "channels bins samples shifts"]
    shifts: Shifts
    gamma: Int[np.ndarray, "factors channels bins samples"]
    slots: Int[np.ndarray, "channels bins slots"]
    member: Float[np.ndarray, "factors channels bins samples slots"]
    unique: bool

    @property
    def n_rows(self) -> int:
        """Rows of the group, empty ones included."""
        return int(self.nominal.shape[0] * self.nominal.shape[2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """All binned channels of a likelihood.

    Args:
        index: (own,) positions of the own parameters in the parameter vector of the likelihood, global ones first.
        n_global: how many of them are global.
        programs, systems: of all rows.
        groups: in the order of their rows.
    """

    index: Int[np.ndarray, " own"]
    n_global: int
    programs: Programs
    systems: Systems
    groups: tuple[Group, ...]


def build_layout(parameters: Sequence[ParameterModel], channels: Sequence[BinnedChannelModel]) -> Layout:
    """Return the arrays of the binned channels.

    Args:
        parameters: all of the likelihood.
        channels: its binned channels.

    Raises:
        InvalidInput: a formula is none or uses what is no parameter; a bin factor stands twice in a sample.
    """
    names = frozenset(parameter.name for parameter in parameters)
    order = {parameter.name: position for position, parameter in enumerate(parameters)}
    used_globally, used_in_bins = _used(channels, names)
    found = [
        *sorted(used_globally, key=order.__getitem__),
        *sorted(used_in_bins - used_globally, key=order.__getitem__),
    ]
    position = {name: number for number, name in enumerate(found)}
    groups: list[Group] = []
    rows: list[BinnedSample | None] = []
    for members in _by_bins(channels):
        chosen = [channels[i] for i in members]
        groups.append(_group(chosen, members, len(rows), position))
        longest = max(len(channel.samples) for channel in chosen)
        for channel in chosen:
            rows += [*channel.samples, *[None] * (longest - len(channel.samples))]
    return Layout(
        index=np.array([order[name] for name in found], dtype=np.int64),
        n_global=len(used_globally),
        programs=build_programs(rows, position, names),
        systems=build_systems(rows, position),
        groups=tuple(groups),
    )


def _used(channels: Sequence[BinnedChannelModel], names: frozenset[str]) -> tuple[set[str], set[str]]:
    """Return the parameters that act on rows or templates, and those that are bin factors."""
    formulas: set[str] = set()
    rows: set[str] = set()
    bins: set[str] = set()
    for channel in channels:
        for sample in channel.samples:
            formulas.add(sample.coefficient)
            for modifier in sample.modifiers:
                if isinstance(modifier, BinFactor):
                    bins.update(name for name in modifier.parameters if name is not None)
                else:
                    rows.add(modifier.parameter)
    for formula in formulas:
        rows |= names_in(read_coefficient(formula, parameters=names, where="binned channels"))
    return rows, bins


def _by_bins(channels: Sequence[BinnedChannelModel]) -> Iterable[tuple[int, ...]]:
    sizes: dict[int, list[int]] = {}
    for number, channel in enumerate(channels):
        sizes.setdefault(len(channel.observed), []).append(number)
    return (tuple(members) for members in sizes.values())


def _group(
    channels: Sequence[BinnedChannelModel], members: tuple[int, ...], first: int, position: Mapping[str, int]
) -> Group:
    n_samples, n_bins = max(len(channel.samples) for channel in channels), len(channels[0].observed)
    shape = (len(channels), n_bins, n_samples)
    nominal = np.zeros(shape)
    for i, channel in enumerate(channels):
        for j, sample in enumerate(channel.samples):
            nominal[i, :, j] = sample.nominal
    keys, up, down = _differences(channels, nominal)
    gamma = _gamma(channels, shape, position)
    slots, member = _slots(gamma, len(position))
    real = slots[slots < len(position)]
    return Group(
        channels=members, first=first, nominal=nominal, up=up, down=down,
        shifts=Shifts(
            column=np.array([position[name] for name, _ in keys], dtype=np.int64), code=tuple(code for _, code in keys)
        ),
        gamma=gamma, slots=slots, member=member, unique=len(np.unique(real)) == len(real),
    )  # fmt: skip


def _differences(
    channels: Sequence[BinnedChannelModel], nominal: Float[np.ndarray, "channels bins samples"]
) -> tuple[
    Mapping[tuple[str, str], int],
    Float[np.ndarray, "channels bins samples shifts"],
    Float[np.ndarray, "channels bins samples shifts"],
]:
    """Return (parameter, code) -> shift, and the differences of the varied templates to the nominal one."""
    keys: dict[tuple[str, str], int] = {}
    places: list[tuple[int, int, int]] = []
    found: list[HistoSys] = []
    for i, channel in enumerate(channels):
        for j, sample in enumerate(channel.samples):
            for m in sample.modifiers:
                if isinstance(m, HistoSys):
                    places.append((i, j, keys.setdefault((m.parameter, m.code), len(keys))))
                    found.append(m)
    n_channels, n_bins, n_samples = nominal.shape
    place = np.array(places, dtype=np.int64).reshape(-1, 3).T
    base = nominal[place[0], :, place[1]]
    result = []
    for varied, sign in (([m.up for m in found], 1.0), ([m.down for m in found], -1.0)):
        difference = np.zeros((n_channels, n_samples, len(keys), n_bins))
        values = np.array(varied, dtype=float).reshape(-1, n_bins)
        np.add.at(difference, (place[0], place[1], place[2]), sign * (values - base))
        result.append(np.ascontiguousarray(np.moveaxis(difference, 3, 1)))
    return keys, result[0], result[1]


def _gamma(
    channels: Sequence[BinnedChannelModel], shape: tuple[int, int, int], position: Mapping[str, int]
) -> Int[np.ndarray, "factors channels bins samples"]:
    factors = [
        [[m for m in sample.modifiers if isinstance(m, BinFactor)] for sample in channel.samples]
        for channel in channels
    ]
    most = max((len(found) for of_channel in factors for found in of_channel), default=0)
    none = len(position)
    gamma = np.full((most, *shape), none, dtype=np.int64)
    for i, of_channel in enumerate(factors):
        for j, found in enumerate(of_channel):
            for k, modifier in enumerate(found):
                gamma[k, i, :, j] = [none if name is None else position[name] for name in modifier.parameters]
                if np.any((gamma[:k, i, :, j] == gamma[k, i, :, j]) & (gamma[k, i, :, j] != none)):
                    sample = channels[i].samples[j].name
                    message = f"a bin factor stands twice in sample '{sample}' of channel '{channels[i].name}'"
                    raise InvalidInput(message, code="likelihood.duplicate-factor")
    return gamma


def _slots(
    gamma: Int[np.ndarray, "factors channels bins samples"], none: int
) -> tuple[Int[np.ndarray, "channels bins slots"], Float[np.ndarray, "factors channels bins samples slots"]]:
    n_factors, n_channels, n_bins, n_samples = gamma.shape
    found = [[np.unique(cell[cell < none]) for cell in np.moveaxis(of_channel, 1, 0)] for of_channel in
             np.moveaxis(gamma, 1, 0)]  # fmt: skip
    most = max((len(entry) for of_channel in found for entry in of_channel), default=0)
    slots = np.full((n_channels, n_bins, most), none, dtype=np.int64)
    for i, of_channel in enumerate(found):
        for b, entry in enumerate(of_channel):
            slots[i, b, : len(entry)] = entry
    same: Bool[np.ndarray, ...] = (gamma[..., None] == slots[None, :, :, None, :]) & (gamma[..., None] < none)
    return slots, same.astype(float).reshape(n_factors, n_channels, n_bins, n_samples, most)
