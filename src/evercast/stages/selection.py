"""Stage selection: the files of one sample in, its selected events, cut flow and normalisation out."""

from __future__ import annotations

import logging

import numpy as np

from evercast.artifacts.event_table import EventTable, read_event_table, write_event_table
from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import InvalidInput
from evercast.events.histograms import BinnedYield, read_histogram
from evercast.events.inputs import parts_of
from evercast.events.normalise import Normalised, by_cross_section, by_histogram, by_yield, effective_sample_size
from evercast.events.pseudo import draw_events
from evercast.events.sample import SampleEvents, read_sample
from evercast.events.selector import SelectedEvents, Selector, check_not_empty
from evercast.events.statements import compare_with_statements, generated_sum
from evercast.events.summary import drawn_summary, selection_summary
from evercast.events.variation import parse_variation
from evercast.events.varied import by_nominal, check_changed, check_varied_regions, nominal_factors
from evercast.plan.recipes import EventVariation, SelectionRecipe, Task
from evercast.spec.model import Histogram, Normalisation

__all__ = ["run"]

_log = logging.getLogger(__name__)

_LEAST_EFFECTIVE = 2.0


def run(task: Task[SelectionRecipe]) -> None:
    """Write ``events.zarr`` and ``summary.json``.

    Raises:
        InvalidInput: ``selection.empty`` with the cut flow, ``sample.weights``, ``sample.calibration``,
            ``sample.generated-sum``, ``systematic.identical``, ``systematic.empty``, ``systematic.transform``, or what
            is wrong with a file or an expression.
        IntegrityError: ``sample.checksum``, ``sample.changed``, ``selection.summary``.
        EnvironmentUnfit: ``disk.full``, ``disk.read-only``.
    """
    if task.recipe.pseudo is not None and task.recipe.sample.role == "data":
        _draw(task)
    elif task.recipe.variation is not None:
        _select_varied(task, task.recipe.variation)
    else:
        _select(task)


def _select_varied(task: Task[SelectionRecipe], declared: EventVariation) -> None:
    """Select again with a variation; the weights get the factors of the nominal selection."""
    recipe, sample = task.recipe, task.recipe.sample
    variation = parse_variation(declared)
    if sample.role != "simulation":
        raise InvalidInput(f"sample {recipe.name!r} is data: it has no variations", code="systematic.data")
    folder = task.inputs["nominal"]
    nominal = read_event_table(folder / "events.zarr")
    factors = nominal_factors(read_json(folder / "summary.json"), where=str(folder / "summary.json"))
    selector = Selector(recipe.selection, weight=sample.weight, smear=True, variation=variation)
    events = read_sample(sample, selector, task.inputs, digests=recipe.files)
    check_not_empty([events.selected], selector.cut_flow, f"{recipe.name} ({variation.name})")
    calibration = None if sample.normalisation is None else sample.normalisation.calibration
    names = tuple(recipe.selection.observables)
    normalised = by_nominal(events.selected, nominal, factors, calibration=calibration, observable_names=names)
    table = _table(recipe, events.selected, normalised)
    check_changed(table, nominal, name=variation.name)
    check_varied_regions(table, nominal, name=variation.name)
    write_event_table(task.output / "events.zarr", table)
    changes = {"name": variation.name} | {key: getattr(declared, key) for key in ("transform", "weight", "meaning")}
    summary = selection_summary(
        table, events, selector.cut_flow, normalised, norm=sample.normalisation, comparisons=(), variation=changes
    )
    atomic_write_json(task.output / "summary.json", summary)
    _log.info("%s, %s: %d of %d events selected", recipe.name, variation.name, len(table), events.n_read)


def _select(task: Task[SelectionRecipe]) -> None:
    recipe = task.recipe
    sample = recipe.sample
    simulation = sample.role == "simulation"
    if not simulation and (sample.weight is not None or sample.normalisation is not None):
        raise InvalidInput(f"sample {recipe.name!r} is data: its events have weight 1", code="sample.weights")
    selector = Selector(recipe.selection, weight=sample.weight, smear=simulation)
    events = read_sample(sample, selector, task.inputs, digests=recipe.files)
    if simulation:
        _check_weights(recipe.name, events)
    if not sample.may_be_empty:
        check_not_empty([events.selected], selector.cut_flow, recipe.name)
    normalised = _normalised(task, events) if simulation else _unchanged(events.selected)
    table = _table(recipe, events.selected, normalised)
    if simulation and not sample.may_be_empty:
        _check_effective(table)
    write_event_table(task.output / "events.zarr", table)
    summary = selection_summary(
        table,
        events,
        selector.cut_flow,
        normalised,
        norm=sample.normalisation,
        comparisons=compare_with_statements(sample, events),
    )
    atomic_write_json(task.output / "summary.json", summary)
    _log.info("%s: %d of %d events selected", recipe.name, len(table), events.n_read)


def _check_weights(name: str, events: SampleEvents) -> None:
    total = events.sum_read
    if total <= 0:
        problem = "all weights are zero, or they cancel" if total == 0 else f"the sum of weights is {total:g}"
        raise InvalidInput(
            f"sample {name!r}: {problem} in {events.n_read} events; a positive sum is expected",
            code="sample.weights",
            where=", ".join(file.name for file in events.files),
            hint="check the weight that the sample declares",
        )


def _unchanged(selected: SelectedEvents) -> Normalised:
    return Normalised(kind="none", weight=selected.weight, factor=1.0)


def _normalised(task: Task[SelectionRecipe], events: SampleEvents) -> Normalised:
    recipe, selected = task.recipe, events.selected
    norm = recipe.sample.normalisation
    if norm is None:
        return _unchanged(selected)
    if norm.cross_section_pb is not None:
        return by_cross_section(
            selected.weight,
            cross_section_pb=norm.cross_section_pb * norm.k_factor,
            luminosity_fb=recipe.luminosity_fb,
            generated_sum=generated_sum(recipe.sample, events),
        )
    if norm.yield_events is not None:
        return by_yield(selected.weight, _in_region(recipe, selected, norm.region), total=norm.yield_events)
    if recipe.pseudo is not None:
        in_region = _in_region(recipe, selected, recipe.pseudo.region)
        return by_yield(selected.weight, in_region, total=_pseudo_yield(recipe), kind="pseudo")
    published = _published(task, recipe.histogram, prefix="histogram")
    shape = published if recipe.shape is None else _published(task, recipe.shape, prefix="shape")
    return _by_histogram(recipe, norm, selected, total=published.total, shape=shape)


def _by_histogram(
    recipe: SelectionRecipe, norm: Normalisation, selected: SelectedEvents, *, total: float, shape: BinnedYield
) -> Normalised:
    in_region = _in_region(recipe, selected, norm.region)
    if norm.calibration is None:
        return by_yield(selected.weight, in_region, total=total, kind="histogram")
    position = list(recipe.selection.observables).index(norm.calibration.observable)
    what = f"the histogram {norm.calibration.shape_of or norm.histogram} of the calibration"
    target = shape.rebin(norm.calibration.edges, what=what).scaled_to(total)
    return by_histogram(selected.weight, in_region, selected.observables[:, position], target)


def _published(task: Task[SelectionRecipe], histogram: Histogram | None, *, prefix: str) -> BinnedYield:
    if histogram is None:
        raise InvalidInput("the recipe has no histogram for its normalisation", code="histogram.missing")
    paths = [path for i in range(len(histogram.terms)) for path in parts_of(task.inputs, f"{prefix}_{i}")]
    return read_histogram(histogram, paths)


def _in_region(recipe: SelectionRecipe, selected: SelectedEvents, region: str | None) -> np.ndarray:
    names = list(recipe.selection.regions)
    if region is None and len(names) == 1:
        region = names[0]
    if region not in names:
        raise InvalidInput(
            f"the normalisation of sample {recipe.name!r} counts in region {region!r}; there are: {', '.join(names)}",
            code="table.region",
        )
    return selected.regions[:, names.index(region)]


def _pseudo_yield(recipe: SelectionRecipe) -> float:
    pseudo = recipe.pseudo
    yields = {} if pseudo is None else pseudo.yields
    found = {
        yields[process] for process, sample in recipe.processes.items() if sample == recipe.name and process in yields
    }
    if len(found) != 1:
        raise InvalidInput(
            f"pseudo-data must give one yield for sample {recipe.name!r}; it gives {sorted(found) or 'none'}",
            code="pseudo.yields",
            hint="name in pseudo_data.yields one process of the sample",
        )
    return found.pop()


def _table(recipe: SelectionRecipe, selected: SelectedEvents, normalised: Normalised) -> EventTable:
    observables = recipe.selection.observables
    return EventTable(
        sample=recipe.name,
        role=recipe.sample.role,
        observables=selected.observables,
        weight=normalised.weight,
        event=selected.event,
        regions=selected.regions,
        observable_names=tuple(observables),
        observable_units=tuple(one.unit for one in observables.values()),
        region_names=tuple(recipe.selection.regions),
    )


def _check_effective(table: EventTable) -> None:
    """Refuse a region in which a sample is carried by one event, or has no positive weight in all.

    Raises:
        InvalidInput: ``sample.weights``.
    """
    for name in table.region_names:
        weight = table.in_region(name).weight
        if not len(weight):
            _log.warning("sample %r has no events in region %r", table.sample, name)
            continue
        total, effective = float(weight.sum()), effective_sample_size(weight)
        if total <= 0 or effective < _LEAST_EFFECTIVE:
            raise InvalidInput(
                f"sample {table.sample!r} has {len(weight)} events in region {name!r} with a sum of weights of "
                f"{total:g} and an effective number of {effective:.3g}; expected a positive sum and at least "
                f"{_LEAST_EFFECTIVE:g}",
                code="sample.weights",
                hint="generate more events, or check the weights",
            )


def _draw(task: Task[SelectionRecipe]) -> None:
    recipe, pseudo = task.recipe, task.recipe.pseudo
    if pseudo is None:
        raise InvalidInput("the recipe has no pseudo-data", code="pseudo.yields")
    tables = {
        process: read_event_table(task.inputs[f"process_{process}"] / "events.zarr")
        for process in pseudo.yields
        if f"process_{process}" in task.inputs
    }
    drawn = draw_events(recipe.name, tables, pseudo)
    write_event_table(task.output / "events.zarr", drawn.table)
    atomic_write_json(task.output / "summary.json", drawn_summary(drawn, pseudo))
    _log.warning(
        "%s: %d pseudo-data events drawn from simulation; no real data was used", recipe.name, len(drawn.table)
    )
