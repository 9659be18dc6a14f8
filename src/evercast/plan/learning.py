"""Units of selection, training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evercast.errors import InvalidInput
from evercast.plan.blocks import choose_blocks, partition
from evercast.plan.builder import Builder
from evercast.plan.cost import (
    evaluation_resources,
    event_count,
    network_seconds,
    selection_resources,
    training_resources,
)
from evercast.plan.model import NetworkCount
from evercast.plan.origins import add_fetch, add_generation, stage_output
from evercast.plan.recipes import EvaluationRecipe, SelectionRecipe, TrainingRecipe
from evercast.spec.model import Analysis, Ensemble, Histogram, PseudoData, Sample, Selection

__all__ = ["add_ensemble", "add_selections", "data_sample", "model_samples"]

_WITHOUT_NETWORKS = frozenset({"normalisation"})


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
        unit = builder.add(
            "selection", name, recipe, inputs=inputs,
            resources=selection_resources(
                event_count(builder.analysis, name, folder=builder.folder),
                observables=len(builder.analysis.selection.observables),
            ),
        )  # fmt: skip
        builder.made["selection", name] = (unit,)


def _selection_recipe(
    builder: Builder, name: str, *, histogram: Histogram | None, shape: Histogram | None, inputs: Mapping[str, str]
) -> SelectionRecipe:
    analysis = builder.analysis
    sample = analysis.samples[name]
    pseudo, processes = _pseudo(builder, name)
    local = {key: value.removeprefix("file:") for key, value in inputs.items() if value.startswith("file:")}
    return SelectionRecipe(
        name=name,
        sample=replace(sample, title=None),
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
    """Return what a sample must know of the pseudo-data, and process -> sample: simulation only its own yield."""
    analysis = builder.analysis
    sample, declared = analysis.samples[name], analysis.pseudo_data
    processes = {key: process.sample for key, process in analysis.processes.items()}
    by_histogram = sample.normalisation is not None and sample.normalisation.histogram is not None
    if declared is None or not builder.pseudo or not (sample.role == "data" or by_histogram):
        return None, {}
    if sample.role == "data":
        return declared, processes
    own = {process: of for process, of in processes.items() if of == name}
    yields = {process: value for process, value in declared.yields.items() if process in own}
    return PseudoData(region=declared.region, yields=yields, seed=0), own


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
        for name in analysis.pseudo_data.yields
    }


def add_ensemble(builder: Builder, name: str) -> None:
    """Add the training blocks of an ensemble and its evaluation."""
    analysis = builder.analysis
    ensemble = analysis.ensembles[name]
    evaluation_inputs: dict[str, str] = {}
    sizes: list[int] = []
    for process in ensemble.processes:
        blocks = _blocks(builder, ensemble, process)
        made = tuple(_add_block(builder, name, process, index, members) for index, members in enumerate(blocks))
        evaluation_inputs |= {f"block_{process}_{index}": unit for index, unit in enumerate(made)}
        builder.made["training", f"{name} {process}"] = made
        sizes += [len(members) for members in blocks]
    count = NetworkCount(
        ensemble=name, processes=len(ensemble.processes), systematics=_systematics_with_networks(analysis),
        members=ensemble.members, folds=ensemble.folds, members_per_block=max(sizes), blocks=len(sizes),
    )  # fmt: skip
    builder.networks.append(count)
    _add_evaluation(builder, name, blocks=evaluation_inputs)


def _systematics_with_networks(analysis: Analysis) -> int:
    return sum(item.kind not in _WITHOUT_NETWORKS for item in analysis.systematics.values())


def _training_events(builder: Builder, ensemble: Ensemble, process: str) -> int:
    samples = (builder.analysis.processes[process].sample, *ensemble.reference)
    return sum(event_count(builder.analysis, sample, folder=builder.folder) for sample in samples)


def _blocks(builder: Builder, ensemble: Ensemble, process: str) -> tuple[tuple[int, ...], ...]:
    if ensemble.members_per_block is not None:
        return partition(ensemble.members, members_per_block=ensemble.members_per_block)
    events = _training_events(builder, ensemble, process)
    return choose_blocks(ensemble.members, seconds_per_member=ensemble.folds * network_seconds(ensemble, events=events))


def _add_block(builder: Builder, name: str, process: str, index: int, members: tuple[int, ...]) -> str:
    ensemble = builder.analysis.ensembles[name]
    sample = builder.analysis.processes[process].sample
    networks = len(members) * ensemble.folds
    recipe = TrainingRecipe(
        analysis=builder.analysis.name, name=name, ensemble=_as_seen_by_block(ensemble, process, members),
        process=process, sample=sample, members=members,
    )  # fmt: skip
    inputs = {f"sample_{item}": builder.one("selection", item) for item in dict.fromkeys((sample, *ensemble.reference))}
    events = _training_events(builder, ensemble, process)
    resources = training_resources(ensemble, events=events, networks=networks)
    return builder.add(
        "training", f"{name}-{process}-{index}", recipe, inputs=inputs, resources=resources, networks=networks
    )


def _as_seen_by_block(ensemble: Ensemble, process: str, members: tuple[int, ...]) -> Ensemble:
    """Return the ensemble without what a block must not depend on: more members leave the trained ones alone."""
    return replace(
        ensemble, processes=(process,), members=len(members), members_per_block=None, combine="mean_log_ratio",
        normalise=True, calibration="none",
    )  # fmt: skip


def _add_evaluation(builder: Builder, name: str, *, blocks: Mapping[str, str]) -> None:
    analysis = builder.analysis
    ensemble = replace(analysis.ensembles[name], members_per_block=None)
    process_samples = {process: analysis.processes[process].sample for process in ensemble.processes}
    used = {*process_samples.values(), *ensemble.reference, data_sample(analysis)}
    samples = tuple(sample for sample in analysis.samples if sample in used)
    recipe = EvaluationRecipe(
        name=name, ensemble=ensemble, process_samples=process_samples, samples=samples,
        roles={sample: analysis.samples[sample].role for sample in samples},
    )  # fmt: skip
    inputs = {f"sample_{sample}": builder.one("selection", sample) for sample in samples} | dict(blocks)
    resources = evaluation_resources(
        ensemble, events=sum(event_count(analysis, sample, folder=builder.folder) for sample in samples),
        networks=ensemble.members * ensemble.folds * len(ensemble.processes),
    )  # fmt: skip
    builder.made["evaluation", name] = (builder.add("evaluation", name, recipe, inputs=inputs, resources=resources),)
