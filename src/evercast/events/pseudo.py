"""Pseudo-data: events drawn from simulation where real ones are not to be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt64

from evercast.artifacts.event_table import EventTable
from evercast.errors import InvalidInput
from evercast.spec.model import PseudoData

__all__ = ["Drawn", "draw_events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Pseudo-data and how it came about.

    Args:
        table: the events, with role data, weight 1 and the identities they have in simulation; marked as drawn.
        numbers: process -> events drawn.
    """

    table: EventTable
    numbers: Mapping[str, int]


def draw_events(sample: str, tables: Mapping[str, EventTable], pseudo: PseudoData) -> Drawn:
    """Return one draw of the experiment: per process a Poisson number of events, chosen by weight without replacement.

    The events are those in `pseudo.region`; events of negative weight are not chosen, nor are those that a process
    before has drawn: samples may be made of the same files. The draw is a function of the seed.

    Args:
        sample: name of the data sample that is stood in for.
        tables: process -> selected events of its sample.
        pseudo: expected events per process, region and seed.

    Raises:
        InvalidInput: ``pseudo.too-few``, a process has fewer events left than are to be drawn; ``table.region``.
    """
    random = np.random.default_rng(pseudo.seed)
    parts: list[EventTable] = []
    numbers: dict[str, int] = {}
    taken = np.zeros(0, dtype=np.uint64)
    for process, expected in pseudo.yields.items():
        if process not in tables:
            raise InvalidInput(f"pseudo-data needs the selected events of process {process!r}", code="sample.missing")
        table = tables[process].in_region(pseudo.region)
        number = int(random.poisson(expected))
        chance = np.where(_drawable(table, taken), table.weight, 0.0)
        there = int((chance > 0).sum())
        if number > there:
            raise InvalidInput(
                f"pseudo-data draws {number} events of process {process!r}; its sample has {there} in "
                f"{pseudo.region!r} that no process before has drawn",
                code="pseudo.too-few",
                hint="generate more events, or give the processes samples of their own",
            )
        if number:
            rows = random.choice(len(table), size=number, replace=False, p=chance / chance.sum())
            parts.append(table.take(rows))
            taken = np.concatenate([taken, table.event[rows]])
        numbers[process] = number
    first = next(iter(tables.values()))
    return Drawn(table=_joined(sample, first, parts), numbers=numbers)


def _drawable(table: EventTable, taken: UInt64[np.ndarray, " drawn"]) -> Bool[np.ndarray, " events"]:
    """Return which rows may be drawn: of positive weight, not drawn before, and each identity once."""
    once = np.zeros(len(table), dtype=np.bool_)
    once[np.unique(table.event, return_index=True)[1]] = True
    drawable: Bool[np.ndarray, " events"] = once & (table.weight > 0.0) & ~np.isin(table.event, taken)
    return drawable


def _joined(sample: str, first: EventTable, parts: list[EventTable]) -> EventTable:
    parts = parts or [first.take(np.zeros(0, dtype=np.int64))]
    observables = np.concatenate([part.observables for part in parts])
    return EventTable(
        sample=sample,
        role="data",
        observables=observables,
        weight=np.ones(len(observables)),
        event=np.concatenate([part.event for part in parts]),
        regions=np.concatenate([part.regions for part in parts]),
        observable_names=first.observable_names,
        observable_units=first.observable_units,
        region_names=first.region_names,
        drawn=True,
    )
