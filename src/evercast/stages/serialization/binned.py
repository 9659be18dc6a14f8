"""Binned channels: counts, templates, varied templates."""

from __future__ import annotations

import logging

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.event_table import EventTable
from evercast.events.histograms import read_histogram
from evercast.likelihood.assembly import BinnedInput, Template, VariedTemplate
from evercast.likelihood.assembly_inputs import acts_on
from evercast.plan.recipes import Direction
from evercast.spec.model import BinnedChannel, NormalisationSystematic, TwoPointSystematic
from evercast.stages.serialization.tables import Tables

__all__ = ["binned_input"]

_LOG = logging.getLogger(__name__)

Bins = Float64[np.ndarray, " bins"]


def binned_input(tables: Tables, name: str, channel: BinnedChannel) -> BinnedInput:
    """Return the templates and counts of a channel.

    Raises:
        InvalidInput: ``likelihood.empty-channel``, ``systematic.missing``, ``systematic.empty``, or what is wrong with
            a published histogram.
    """
    data = tables.sample(tables.task.recipe.data_sample, channel.region)
    values = data.columns([channel.observable])[:, 0]
    observed, _ = np.histogram(values, np.asarray(channel.edges))
    if observed.sum() != len(values):
        outside = len(values) - int(observed.sum())
        _LOG.warning("channel %s: %d observed events lie outside of the bins and do not count", name, outside)
    templates = tuple(_template(tables, name, channel, process) for process in channel.processes)
    return BinnedInput(name=name, templates=templates, observed=observed.astype(np.float64), blind=channel.blind)


def _template(tables: Tables, name: str, channel: BinnedChannel, process: str) -> Template:
    """Return the template of a process: a published histogram, or the selected events where there is none."""
    recipe = tables.task.recipe
    published = None if recipe.pseudo is not None else channel.templates.get(process)
    simulated: Bins | None = None
    if published is not None:
        histogram = recipe.histograms[published]
        paths = [tables.input(f"source_{term.source}") for term in histogram.terms]
        what = f"the histogram {published} of {process} in channel {name}"
        binned = read_histogram(histogram, paths).rebin(channel.edges, what=what)
        nominal, variance = binned.values, binned.variances
    else:
        table = tables.simulated(process, channel.region, channel=name)
        nominal, variance = _filled(table, channel), _filled(table, channel, squares=True)
        simulated = nominal
    return Template(
        process=process,
        nominal=nominal,
        variance=variance if channel.mc_statistics else None,
        varied=_varied(tables, name, channel, process, nominal=nominal, simulated=simulated),
    )


def _filled(table: EventTable, channel: BinnedChannel, *, squares: bool = False) -> Bins:
    values = table.columns([channel.observable])[:, 0]
    weight = table.weight**2 if squares else table.weight
    counts: Bins = np.histogram(values, np.asarray(channel.edges), weights=weight)[0]
    return counts


def _varied(
    tables: Tables, name: str, channel: BinnedChannel, process: str, *, nominal: Bins, simulated: Bins | None
) -> dict[str, VariedTemplate]:
    """Return systematic -> varied templates."""
    found: dict[str, VariedTemplate] = {}
    for key, systematic in tables.task.recipe.systematics.items():
        if isinstance(systematic, NormalisationSystematic) or not acts_on(systematic, process=process, channel=name):
            continue
        directions: tuple[Direction, ...] = ("up",) if isinstance(systematic, TwoPointSystematic) else ("up", "down")
        sides = {
            side: _filled(tables.varied(key, process, side, channel.region, channel=name), channel)
            for side in directions
        }
        if simulated is None:
            base = _filled(tables.simulated(process, channel.region, channel=name), channel)
            sides = {side: _carried_over(nominal, values, base) for side, values in sides.items()}
        found[key] = VariedTemplate(up=sides["up"], down=sides.get("down"))
    return found


def _carried_over(nominal: Bins, varied: Bins, simulated: Bins) -> Bins:
    """Return the published template as the simulation changes it bin by bin; unchanged in bins without simulation."""
    there = simulated > 0
    return np.where(there, nominal * np.divide(varied, simulated, out=np.ones_like(varied), where=there), nominal)
