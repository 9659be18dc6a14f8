"""Unbinned channels: yields, log ratios of observed, simulated and reference events, and how they follow parameters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

from evercast.artifacts.event_table import EventTable
from evercast.artifacts.likelihood_file import ExtraEvents
from evercast.artifacts.ratios import read_log_ratios
from evercast.likelihood.assembly import Physics, UnbinnedInput, VariedYield
from evercast.likelihood.assembly_inputs import acts_on, changes_yield
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.model import EventSet
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import NormalisationSystematic, TwoPointSystematic, UnbinnedChannel
from evercast.stages.serialization.morphs import MorphColumns, Morphs
from evercast.stages.serialization.tables import Tables, same_events

__all__ = ["unbinned_input"]

_LOG = logging.getLogger(__name__)

_STEEP: Final = 3.0
"""Natural logarithm of a factor at +-1 from which on the polynomial of code 4 can be negative within (at 3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Events of one sample with their columns."""

    table: EventTable
    log_ratio: Float32[np.ndarray, "events processes"]
    morphs: MorphColumns

    def weighted(self, weight: Float[np.ndarray, " events"]) -> EventSet:
        """Return the events with other weights."""
        columns = self.morphs
        return EventSet(
            log_ratio=self.log_ratio,
            weight=weight,
            log_up=columns.log_up,
            log_down=columns.log_down,
            coefficients=columns.coefficients,
        )


def unbinned_input(
    tables: Tables, name: str, channel: UnbinnedChannel, physics: Physics
) -> tuple[UnbinnedInput, ExtraEvents]:
    """Return an unbinned channel, and what is stored beside its events.

    Raises:
        InvalidInput: ``likelihood.empty-channel``, ``systematic.missing``, ``systematic.empty``,
            ``systematic.repeated``, ``systematic.one-sided``, ``training-statistics.modes``.
        IntegrityError: an evaluation is damaged, or of other events.
    """
    recipe = tables.task.recipe
    ensemble = recipe.ensembles[channel.ensemble]
    morphs = Morphs.of_channel(tables, name, channel)
    parts: dict[str, _Part] = {}

    def part(sample: str) -> _Part:
        if sample not in parts:
            parts[sample] = _part(tables, channel, sample, morphs)
        return parts[sample]

    yields, simulated = {}, []
    for process in ensemble.processes:
        table = tables.simulated(process, ensemble.region, channel=name)
        yields[process] = float(table.weight.sum())
        weight = _initial_coefficient(process, tables, physics) * table.weight
        simulated.append(part(recipe.processes[process].sample).weighted(weight))
    data = part(recipe.data_sample)
    reference = [(part(sample), share) for sample, share in ensemble.reference.items()] if morphs else []
    _log_modes(name, morphs)
    _log_steep(name, morphs, list(parts.values()))
    made = UnbinnedInput(
        name=name,
        yields=yields,
        observed=data.weighted(data.table.weight),
        simulation=_joined(simulated),
        anchors=morphs.anchors(),
        polynomials=morphs.polynomials(),
        reference=_reference(reference) if reference else None,
        varied=_varied_yields(tables, name, channel),
        blind=channel.blind,
    )
    published = recipe.publish.neural_likelihood
    disclosed = published is not None and published.disclosure == "events"
    observables = data.table.columns(ensemble.observables) if disclosed else None
    origins = np.repeat(np.arange(len(simulated), dtype=np.int32), [len(events.weight) for events in simulated])
    return made, ExtraEvents(asimov_process=origins, observables=observables)


def _initial_coefficient(process: str, tables: Tables, physics: Physics) -> float:
    initial = {key: parameter.initial for key, parameter in tables.task.recipe.parameters.items()}
    return evaluate_coefficient(parse_coefficient(physics.coefficient(process)), initial)


def _part(tables: Tables, channel: UnbinnedChannel, sample: str, morphs: Morphs) -> _Part:
    ensemble = tables.task.recipe.ensembles[channel.ensemble]
    table = tables.sample(sample, ensemble.region)
    evaluation = tables.input(f"evaluation_{channel.ensemble}")
    log_ratio = read_log_ratios(evaluation, sample, table=table, processes=ensemble.processes)
    return _Part(table=table, log_ratio=log_ratio, morphs=morphs.of(sample, table))


def _reference(parts: Sequence[tuple[_Part, float]]) -> EventSet:
    """Return the events of the reference mixture; each sample has its share, and the weights sum to 1."""
    shares = sum(share for _, share in parts)
    return _joined(
        [part.weighted(share / shares * part.table.weight / part.table.weight.sum()) for part, share in parts]
    )


def _joined(sets: Sequence[EventSet]) -> EventSet:
    def column(name: str) -> Float32[np.ndarray, "events columns"] | None:
        values = [getattr(events, name) for events in sets]
        return None if values[0] is None else np.concatenate(values)

    return EventSet(
        log_ratio=np.concatenate([events.log_ratio for events in sets]),
        weight=np.concatenate([events.weight for events in sets]),
        log_up=column("log_up"),
        log_down=column("log_down"),
        coefficients=column("coefficients"),
    )


def _varied_yields(tables: Tables, name: str, channel: UnbinnedChannel) -> dict[tuple[str, str], VariedYield]:
    """Return (systematic, process) -> sums of weights in the region over the nominal one."""
    recipe = tables.task.recipe
    ensemble = recipe.ensembles[channel.ensemble]
    found: dict[tuple[str, str], VariedYield] = {}
    for process in ensemble.processes:
        nominal = tables.simulated(process, ensemble.region, channel=name)
        total = float(nominal.weight.sum())
        for key, systematic in recipe.systematics.items():
            if isinstance(systematic, NormalisationSystematic) or not changes_yield(systematic):
                continue
            if not acts_on(systematic, process=process, channel=name):
                continue
            up = tables.varied(key, process, "up", ensemble.region, channel=name)
            factor = float(up.weight.sum()) / total
            if isinstance(systematic, TwoPointSystematic):
                down = 1.0 / factor if systematic.symmetrise else 1.0
                found[key, process] = VariedYield(up=factor, down=down, identical=same_events(up, nominal))
                continue
            other = tables.varied(key, process, "down", ensemble.region, channel=name)
            found[key, process] = VariedYield(
                up=factor, down=float(other.weight.sum()) / total, identical=same_events(up, other)
            )
    return found


def _log_modes(name: str, morphs: Morphs) -> None:
    if morphs.modes is not None:
        shares = ", ".join(f"{100 * share:.1f} %" for share in morphs.modes.explained)
        _LOG.info("channel %s: modes of the training statistics hold %s of the variance", name, shares)


def _log_steep(name: str, morphs: Morphs, parts: Sequence[_Part]) -> None:
    """Say where code 4 may not be positive: there the likelihood is infinite, and fits stop short of it."""
    for column, anchor in enumerate(morphs.anchors()):
        if anchor.interpolation != "code4":
            continue
        count = 0
        for part in parts:
            if part.morphs.log_up is not None and part.morphs.log_down is not None:
                largest = np.maximum(part.morphs.log_up[:, column], part.morphs.log_down[:, column])
                count += int(np.sum(largest > _STEEP))
        if count:
            _LOG.warning(
                "channel %s: the density of %s changes by more than exp(%g) at +-1 of %s in %d events, where code 4 "
                "may be negative between; more training helps, or interpolation log_linear",
                name, anchor.process, _STEEP, anchor.parameter, count,
            )  # fmt: skip
