"""Units of selection: every sample once, and again for each variation of its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evercast.errors import InvalidInput
from evercast.plan.builder import Builder
from evercast.plan.cost import event_count, selection_resources
from evercast.plan.model import UnitResources
from evercast.plan.origins import add_fetch, add_generation, stage_output
from evercast.plan.recipes import Direction, EventVariation, SelectionRecipe
from evercast.spec.model import (
    Analysis,
    Histogram,
    KinematicSystematic,
    PseudoData,
    Sample,
    Selection,
    Systematic,
    WeightSystematic,
)
from evercast.spec.systematics import processes_of, varied_samples_of

__all__ = [
    "add_selections",
    "add_varied_selections",
    "data_sample",
    "model_samples",
    "varied_sample",
    "varied_unit",
]

_DIRECTIONS: tuple[Direction, ...] = ("up", "down")


def data_sample(analysis: Analysis) -> str:
    """Return the name of the sample of observed events.

    Raises:
        InvalidInput: ``plan.data-sample`` unless there is exactly one.
    """
    names = [name for name, sample in analysis.samples.items() if sample.role == "data"]
    if len(names) != 1:
        raise InvalidInput(
            f"{len(names)} samples have role data ({', '.join(names) or 'none'}); expected 1",
            code="plan.data-sample",
            where="$.samples",
        )
    return names[0]


def model_samples(analysis: Analysis) -> tuple[str, ...]:
    """Return the samples that the likelihoods are made of: those of processes and references, and the data."""
    used = {process.sample for process in analysis.processes.values()} | {data_sample(analysis)}
    used.update(name for ensemble in analysis.ensembles.values() for name in ensemble.reference)
    return tuple(name for name in analysis.samples if name in used)


def add_selections(builder: Builder) -> None:
    """Add one unit for each sample; simulation first, because pseudo-data are drawn from it."""
    order = sorted(builder.analysis.samples, key=lambda name: builder.analysis.samples[name].role == "data")
    for name in order:
        sample = builder.analysis.samples[name]
        drawn = builder.pseudo and sample.role == "data"
        inputs = _drawn_inputs(builder) if drawn else _file_inputs(builder, sample)
        histogram, shape = _histogram(builder, sample), _shape(builder, sample)
        for prefix, published in (("histogram", histogram), ("shape", shape)):
            terms = published.terms if published is not None else ()
            inputs |= {f"{prefix}_{index}": add_fetch(builder, term.source) for index, term in enumerate(terms)}
        recipe = _selection_recipe(builder, name, histogram=histogram, shape=shape, inputs=inputs)
        unit = builder.add("selection", name, recipe, inputs=inputs, resources=_resources(builder, name))
        builder.made["selection", name] = (unit,)


def add_varied_selections(builder: Builder) -> None:
    """Add the units ``SAMPLE-SYSTEMATIC-DIRECTION``: once per sample, where a process of the systematic uses it."""
    for name, systematic in builder.analysis.systematics.items():
        if isinstance(systematic, KinematicSystematic | WeightSystematic):
            used = (builder.analysis.processes[process].sample for process in systematic.processes)
            for sample in dict.fromkeys(used):
                for direction in _DIRECTIONS:
                    _add_varied(builder, name, systematic, sample, direction)


def varied_unit(builder: Builder, systematic: str, process: str, direction: Direction) -> str:
    """Return the id of the selection that stands for a process at +1 or -1 of a systematic."""
    declared = builder.analysis.systematics[systematic]
    sample = varied_samples_of(declared, process).get(direction)
    if sample is not None:
        return builder.one("selection", sample)
    return builder.one("selection", f"{builder.analysis.processes[process].sample}-{systematic}-{direction}")


def varied_sample(systematic: Systematic, process: str, direction: Direction, *, nominal: str) -> str:
    """Return the sample whose files stand behind a process at +1 or -1: `nominal`, where they are selected again."""
    if process not in processes_of(systematic):
        return nominal
    return varied_samples_of(systematic, process).get(direction, nominal)


def _add_varied(
    builder: Builder, name: str, systematic: KinematicSystematic | WeightSystematic, sample: str, direction: Direction
) -> None:
    nominal = builder.units[builder.one("selection", sample)]
    change = getattr(systematic, direction)
    label = f"{name} {direction}"
    if isinstance(systematic, KinematicSystematic):
        variation = EventVariation(transform=change, name=label)
    else:
        variation = EventVariation(weight=change, meaning=systematic.meaning, name=label)
    if not isinstance(nominal.recipe, SelectionRecipe):
        raise InvalidInput(f"sample {sample} is not selected", code="plan.incomplete")
    unit = builder.add(
        "selection", f"{sample}-{name}-{direction}", replace(nominal.recipe, variation=variation),
        inputs={**nominal.inputs, "nominal": nominal.id}, resources=_resources(builder, sample),
    )  # fmt: skip
    builder.made["selection", f"{sample}-{name}-{direction}"] = (unit,)


def _resources(builder: Builder, sample: str) -> UnitResources:
    events = event_count(builder.analysis, sample, folder=builder.folder)
    return selection_resources(events, observables=len(builder.analysis.selection.observables))


def _selection_recipe(
    builder: Builder, name: str, *, histogram: Histogram | None, shape: Histogram | None, inputs: Mapping[str, str]
) -> SelectionRecipe:
    analysis = builder.analysis
    sample = analysis.samples[name]
    pseudo, processes = _pseudo(builder, name)
    local = {key: value.removeprefix("file:") for key, value in inputs.items() if value.startswith("file:")}
    return SelectionRecipe(
        name=name,
        sample=_without_estimates(sample),
        selection=_without_labels(analysis.selection),
        luminosity_fb=analysis.metadata.luminosity_fb,
        sqrt_s_tev=analysis.metadata.sqrt_s_tev,
        histogram=histogram,
        shape=shape,
        pseudo=pseudo,
        processes=processes,
        files={key: builder.files[path] for key, path in local.items()},
    )


def _pseudo(builder: Builder, name: str) -> tuple[PseudoData | None, Mapping[str, str]]:
    """Return what a sample must know of the pseudo-data, and process -> sample: simulation only its own yield.

    Data know the processes that they are drawn from: one that a reinterpretation adds draws nothing anew.
    """
    analysis = builder.analysis
    sample, declared = analysis.samples[name], analysis.pseudo_data
    processes = {key: process.sample for key, process in analysis.processes.items()}
    by_histogram = sample.normalisation is not None and sample.normalisation.histogram is not None
    if declared is None or not builder.pseudo or not (sample.role == "data" or by_histogram):
        return None, {}
    if sample.role == "data":
        drawn = {key: value for key, value in declared.yields.items() if value > 0}
        return replace(declared, yields=drawn), {key: of for key, of in processes.items() if key in drawn}
    own = {process: of for process, of in processes.items() if of == name}
    yields = {process: value for process, value in declared.yields.items() if process in own}
    return PseudoData(region=declared.region, yields=yields, seed=0), own


def _without_estimates(sample: Sample) -> Sample:
    """Return the sample without its title and without what its files say for the plan's estimates alone."""
    return replace(sample, title=None, files=tuple(replace(file, events=None) for file in sample.files))


def _without_labels(selection: Selection) -> Selection:
    """Return the selection without what is only for plots, so that a new label selects nothing again."""
    return replace(
        selection,
        observables={name: replace(item, label=None) for name, item in selection.observables.items()},
        regions={name: replace(item, label=None) for name, item in selection.regions.items()},
    )


def _histogram(builder: Builder, sample: Sample) -> Histogram | None:
    """Return the histogram that normalises the sample; none with pseudo-data, whose yields are declared."""
    if builder.pseudo or sample.normalisation is None or sample.normalisation.histogram is None:
        return None
    return replace(builder.analysis.histograms[sample.normalisation.histogram], title=None)


def _shape(builder: Builder, sample: Sample) -> Histogram | None:
    """Return the histogram whose shape the sample takes, where it is not the one that normalises it."""
    calibration = sample.normalisation.calibration if sample.normalisation is not None else None
    if builder.pseudo or calibration is None or calibration.shape_of is None:
        return None
    return replace(builder.analysis.histograms[calibration.shape_of], title=None)


def _file_inputs(builder: Builder, sample: Sample) -> dict[str, str]:
    inputs: dict[str, str] = {}
    for index, file in enumerate(sample.files):
        if file.generator is not None:
            parts = add_generation(builder, file.generator)
            names = [f"file_{index}"] if len(parts) == 1 else [f"file_{index}_{part}" for part in range(len(parts))]
            inputs |= dict(zip(names, parts, strict=True))
        elif file.source is not None:
            inputs[f"file_{index}"] = add_fetch(builder, file.source)
        elif file.stage is not None:
            inputs[f"file_{index}"] = stage_output(builder, file.stage)
        elif file.path is not None:
            inputs[f"file_{index}"] = builder.file(file.path, declared=file.sha256)
    return inputs


def _drawn_inputs(builder: Builder) -> dict[str, str]:
    analysis = builder.analysis
    if analysis.pseudo_data is None:
        raise InvalidInput(
            "the document declares no pseudo_data, so the observed events cannot be drawn from simulation",
            code="plan.no-pseudo-data",
            where="$",
            hint="add pseudo_data: {region, yields, seed}, or run with --pseudo-data never",
        )
    return {
        f"process_{name}": builder.one("selection", analysis.processes[name].sample)
        for name, value in analysis.pseudo_data.yields.items()
        if value > 0
    }
