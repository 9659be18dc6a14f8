"""Binned channels as arrays, laid out for rates with analytic derivatives.

A *row* is a sample of a channel. Its rate in a bin is program x systems x gamma x template: the *program* is its
coefficient formula times its normfactors, *systems* its normsys, *gamma* the product of its bin factors, the template
its nominal bins plus its histosys *shifts*. Channels with the same number of bins form a group of dense arrays
(channels, bins, samples), shorter lists of samples filled up with empty rows.

Parameters that act on rows or templates are *global* and stand first; those that are bin factors only stand behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from evercast.errors import InvalidInput
from evercast.likelihood.binned_factors import Programs, Systems, build_programs, build_systems, distinct
from evercast.likelihood.binned_shifts import Shifts
from evercast.likelihood.coefficients import read_coefficient
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, ParameterModel
from evercast.spec.expressions import names as names_in

__all__ = ["Group", "Layout", "build_layout"]

Rows = Sequence[BinnedSample | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Channels with one number of bins; parameters are given by their own position, the number of them for none.

    Args:
        channels: positions of the channels.
        first: number of its first row; rows run over channels, then samples.
        nominal: (models, channels, bins, samples).
        up, down: (models, channels, bins, samples, shifts), differences of the varied templates to the nominal one.
        shifts: the parameters of the last axis.
        gamma: (factors, channels, bins, samples) bin factors of each cell.
        slots: (channels, bins, slots) the different bin factors of each bin.
        member: (factors, channels, bins, samples, slots) 1 where a factor of a cell is that slot.
        unique: no slot occurs twice.
    """

    channels: tuple[int, ...]
    first: int
    nominal: Float[np.ndarray, "models channels bins samples"]
    up: Float[np.ndarray, "models channels bins samples shifts"]
    down: Float[np.ndarray, "models channels bins samples shifts"]
    shifts: Shifts
    gamma: Int[np.ndarray, "factors channels bins samples"]
    slots: Int[np.ndarray, "channels bins slots"]
    member: Float[np.ndarray, "factors channels bins samples slots"]
    unique: bool

    @property
    def n_rows(self) -> int:
        """Rows of the group, empty ones included."""
        return int(self.nominal.shape[1] * self.nominal.shape[3])

    def of_models(self, chosen: slice | Int[np.ndarray, " chosen"]) -> Group:
        """Return the group of some of the models."""
        return replace(self, nominal=self.nominal[chosen], up=self.up[chosen], down=self.down[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """All binned channels of a likelihood, or of several that differ in templates and variations only.

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

    def of_models(self, chosen: slice | Int[np.ndarray, " chosen"]) -> Layout:
        """Return the channels of some of the models: of one for all points of an evaluation, or one for each."""
        groups = tuple(group.of_models(chosen) for group in self.groups)
        return replace(self, systems=self.systems.of_models(chosen), groups=groups)


def build_layout(parameters: Sequence[ParameterModel], models: Sequence[Sequence[BinnedChannelModel]]) -> Layout:
    """Return the arrays of the binned channels.

    Args:
        parameters: all of the likelihood.
        models: its binned channels, or those of several likelihoods with the same parameters, rows, coefficients,
            normfactors and bin factors (`evercast.likelihood.family`).

    Raises:
        InvalidInput: a formula is none or uses what is no parameter; a bin factor stands twice in a sample.
    """
    names = frozenset(parameter.name for parameter in parameters)
    order = {parameter.name: position for position, parameter in enumerate(parameters)}
    used_globally, used_in_bins = _used(models, names)
    found = [
        *sorted(used_globally, key=order.__getitem__),
        *sorted(used_in_bins - used_globally, key=order.__getitem__),
    ]
    position = {name: number for number, name in enumerate(found)}
    groups: list[Group] = []
    rows: list[list[BinnedSample | None]] = [[] for _ in models]
    for members in _by_bins(models[0]):
        chosen = [[channels[i] for i in members] for channels in models]
        groups.append(_group(chosen, members, len(rows[0]), position))
        longest = max(len(channel.samples) for channel in chosen[0])
        for of_model, channels in zip(rows, chosen, strict=True):
            for channel in channels:
                of_model += [*channel.samples, *[None] * (longest - len(channel.samples))]
    return Layout(
        index=np.array([order[name] for name in found], dtype=np.int64),
        n_global=len(used_globally),
        programs=build_programs(rows[0], position, names),
        systems=build_systems(rows, position),
        groups=tuple(groups),
    )


def _used(models: Sequence[Sequence[BinnedChannelModel]], names: frozenset[str]) -> tuple[set[str], set[str]]:
    """Return the parameters that act on rows or templates, and those that are bin factors."""
    formulas: set[str] = set()
    rows: set[str] = set()
    bins: set[str] = set()
    for sample in {id(entry): entry for model in models for channel in model for entry in channel.samples}.values():
        formulas.add(sample.coefficient)
        bins |= sample.kinds.of_bins
        rows |= sample.kinds.of_rows
    for formula in formulas:
        rows |= names_in(read_coefficient(formula, parameters=names, where="binned channels"))
    return rows, bins


def _by_bins(channels: Sequence[BinnedChannelModel]) -> Iterable[tuple[int, ...]]:
    sizes: dict[int, list[int]] = {}
    for number, channel in enumerate(channels):
        sizes.setdefault(len(channel.observed), []).append(number)
    return (tuple(members) for members in sizes.values())


def _group(
    models: Sequence[Sequence[BinnedChannelModel]], members: tuple[int, ...], first: int, position: Mapping[str, int]
) -> Group:
    channels = models[0]
    n_samples, n_bins = max(len(channel.samples) for channel in channels), len(channels[0].observed)
    shape = (len(channels), n_bins, n_samples)
    nominal = np.zeros((len(models), *shape))
    found: list[_Template] = []
    for i, of_channel in enumerate(zip(*models, strict=True)):
        for j, of_sample in enumerate(zip(*(channel.samples for channel in of_channel), strict=True)):
            for sample, holders in distinct(of_sample):
                if isinstance(sample, BinnedSample):
                    nominal[holders, i, :, j] = sample.nominal
                    found.append(_Template(holders, i, j, sample))
    keys, up, down = _differences(found, nominal)
    gamma = _gamma(channels, shape, position)
    slots, member = _slots(gamma, len(position))
    real = slots[slots < len(position)]
    column = np.array([position[name] for name, _ in keys], dtype=np.int64)
    shifts = Shifts(column=column, code=tuple(code for _, code in keys), unique=len(set(column.tolist())) == len(keys))
    return Group(
        channels=members, first=first, nominal=nominal, up=up, down=down, shifts=shifts, gamma=gamma, slots=slots,
        member=member, unique=len(np.unique(real)) == len(real),
    )  # fmt: skip


class _Template(NamedTuple):
    """A sample, with where it stands and in which models."""

    holders: Sequence[int]
    channel: int
    position: int
    sample: BinnedSample


def _differences(
    templates: Sequence[_Template], nominal: Float[np.ndarray, "models channels bins samples"]
) -> tuple[
    Mapping[tuple[str, str], int],
    Float[np.ndarray, "models channels bins samples shifts"],
    Float[np.ndarray, "models channels bins samples shifts"],
]:
    """Return (parameter, code) -> shift, and the differences of the varied templates to the nominal one."""
    keys: dict[tuple[str, str], int] = {}
    found = [
        (template, [(keys.setdefault((m.parameter, m.code), len(keys)), m) for m in template.sample.kinds.shifts])
        for template in templates
    ]  # fmt: skip
    n_models, n_channels, n_bins, n_samples = nominal.shape
    up, down = np.zeros((2, n_models, n_channels, n_bins, n_samples, len(keys)))
    for template, modifiers in found:
        if not modifiers:
            continue
        column = [shift for shift, _ in modifiers]
        base, several = template.sample.nominal, len(set(column)) < len(column)
        for target, sign, varied in (
            (up, 1.0, [m.up for _, m in modifiers]), (down, -1.0, [m.down for _, m in modifiers]),
        ):  # fmt: skip
            difference = np.zeros((n_bins, len(keys)))
            values = sign * (np.array(varied, dtype=float) - base).T
            if several:
                np.add.at(difference.T, np.array(column), values.T)
            else:
                difference[:, column] = values
            target[template.holders, template.channel, :, template.position] = difference
    return keys, up, down


def _gamma(
    channels: Sequence[BinnedChannelModel], shape: tuple[int, int, int], position: Mapping[str, int]
) -> Int[np.ndarray, "factors channels bins samples"]:
    factors = [[sample.kinds.bin_factors for sample in channel.samples] for channel in channels]
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
