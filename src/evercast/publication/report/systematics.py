"""The systematics of a document as the report sees them: what each does to a process in a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.publication.report.units import Unit
from evercast.spec.model import (
    Analysis,
    BinnedChannel,
    Effect,
    NormalisationSystematic,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
    UnbinnedChannel,
)

__all__ = [
    "VariedEvents",
    "blind_regions",
    "effect_of",
    "parameter_of",
    "processes_of",
    "regions_used",
    "varied_events",
    "varied_templates",
    "yield_factor",
]

Bins = Float[np.ndarray, " bins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariedEvents:
    """Selected events of the varied samples.

    Args:
        tables: (systematic, process, direction) -> events; a side that a systematic lacks is absent.
    """

    tables: Mapping[tuple[str, str, str], EventTable] = field(default_factory=dict)

    def side(self, systematic: str, process: str, direction: str, region: str) -> EventTable | None:
        """Return the varied events in a region, None where there are none."""
        table = self.tables.get((systematic, process, direction))
        return None if table is None else table.in_region(region)


def processes_of(systematic: Systematic) -> tuple[str, ...]:
    """Return the processes on which a systematic acts."""
    if isinstance(systematic, SampleSystematic | TwoPointSystematic):
        return tuple(systematic.samples)
    return systematic.processes


def effect_of(systematic: Systematic) -> Effect:
    """Return what a systematic changes: the yield, the shape, or both."""
    if isinstance(systematic, NormalisationSystematic):
        return "normalisation"
    return systematic.kind if isinstance(systematic, SampleSystematic) else systematic.effect


def parameter_of(name: str, systematic: Systematic) -> str:
    """Return the nuisance parameter of a systematic."""
    return systematic.parameter or name


def regions_used(analysis: Analysis) -> dict[str, tuple[str, ...]]:
    """Return region -> channels that use it, over all likelihoods."""
    found: dict[str, dict[str, None]] = {}
    for likelihood in analysis.likelihoods.values():
        for name, channel in likelihood.channels.items():
            found.setdefault(_region(analysis, channel), {})[name] = None
    return {region: tuple(channels) for region, channels in found.items()}


def blind_regions(analysis: Analysis) -> frozenset[str]:
    """Return the regions whose data may not be shown: those of blind channels, unless the document unblinds them."""
    if analysis.inference.unblind:
        return frozenset()
    channels = (channel for likelihood in analysis.likelihoods.values() for channel in likelihood.channels.values())
    return frozenset(_region(analysis, channel) for channel in channels if channel.blind)


def _region(analysis: Analysis, channel: BinnedChannel | UnbinnedChannel) -> str:
    return channel.region if isinstance(channel, BinnedChannel) else analysis.ensembles[channel.ensemble].region


def varied_events(analysis: Analysis, selections: Sequence[Unit]) -> VariedEvents:
    """Return the events of all varied samples that a run selected.

    Raises:
        IntegrityError: an event table is absent or damaged.
    """
    folders = {unit.name: unit.folder / "events.zarr" for unit in selections}
    tables: dict[tuple[str, str, str], EventTable] = {}
    opened: dict[str, EventTable] = {}
    for name, systematic in analysis.systematics.items():
        for process in processes_of(systematic):
            for direction in ("up", "down"):
                unit = _varied_unit(analysis, name, process, direction)
                if unit is None or unit not in folders:
                    continue
                if unit not in opened:
                    opened[unit] = read_event_table(folders[unit])
                tables[name, process, direction] = opened[unit]
    return VariedEvents(tables=tables)


def _varied_unit(analysis: Analysis, name: str, process: str, direction: str) -> str | None:
    """Return the name of the selection unit with the varied events, None where the systematic has no such side."""
    systematic = analysis.systematics[name]
    if isinstance(systematic, NormalisationSystematic):
        return None
    if isinstance(systematic, SampleSystematic):
        samples = systematic.samples[process]
        return samples.up if direction == "up" else samples.down
    if isinstance(systematic, TwoPointSystematic):
        return systematic.samples[process] if direction == "up" else None
    return f"{analysis.processes[process].sample}-{name}-{direction}"


def yield_factor(systematic: Systematic, direction: str, *, nominal: float, varied: float | None) -> float | None:
    """Return the yield of a process at +1 or -1 over the nominal one; None where it cannot be said.

    Args:
        systematic: of any kind.
        direction: ``up`` or ``down``.
        nominal: sum of weights in the region.
        varied: the same of the varied events; None where there are none.
    """
    if isinstance(systematic, NormalisationSystematic):
        return systematic.up if direction == "up" else systematic.down
    if isinstance(systematic, TwoPointSystematic) and direction == "down":
        up = yield_factor(systematic, "up", nominal=nominal, varied=varied)
        return 1.0 if not systematic.symmetrise else None if not up else 1.0 / up
    if effect_of(systematic) == "shape":
        return 1.0
    return None if varied is None or not nominal > 0 else varied / nominal


def varied_templates(
    systematic: Systematic, nominal: Bins, up: Bins | None, down: Bins | None
) -> tuple[Bins | None, Bins | None]:
    """Return the templates of a process at +1 and -1, with the effect that the document declares.

    Args:
        systematic: of any kind.
        nominal: (bins,) expected events.
        up: (bins,) varied events as selected; None where there are none.
        down: likewise.
    """
    if isinstance(systematic, NormalisationSystematic):
        return nominal * systematic.up, nominal * systematic.down
    sides = [_with_effect(effect_of(systematic), nominal, varied) for varied in (up, down)]
    if isinstance(systematic, TwoPointSystematic) and sides[0] is not None:
        sides[1] = 2.0 * nominal - sides[0] if systematic.symmetrise else nominal
    return sides[0], sides[1]


def _with_effect(effect: Effect, nominal: Bins, varied: Bins | None) -> Bins | None:
    if varied is None or effect == "normalisation+shape":
        return varied
    before, after = float(nominal.sum()), float(varied.sum())
    if effect == "shape":
        return varied * (before / after) if after > 0 else None
    return nominal * (after / before) if before > 0 else None
