"""Units of the statistical model and its results: serialization, fits, pseudo-experiments, diagnostics, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evercast.plan.builder import Builder
from evercast.plan.cost import light_resources, toys_resources
from evercast.plan.origins import add_fetch
from evercast.plan.recipes import (
    DiagnosticsRecipe,
    FitRecipe,
    ReportRecipe,
    SerializationRecipe,
    StudyRecipe,
    ToysRecipe,
    TrainingStatisticsRecipe,
)
from evercast.plan.selections import data_sample, model_samples, varied_unit
from evercast.plan.series import evaluated_unit
from evercast.plan.variations import density_variations
from evercast.spec.model import Analysis, BinnedChannel, Ensemble, Inference, Morphing, ToyStudy, UnbinnedChannel
from evercast.spec.systematics import directions_of, processes_of

__all__ = ["add_fit", "add_last", "add_serialization", "add_toys", "add_training_statistics"]

_LIKELIHOOD = "likelihood"
_MORPH_SECONDS = 0.1
"""What a process that follows a systematic adds to a fit and to the uncertainty from training samples, s."""


def add_serialization(builder: Builder) -> None:
    """Add the unit that builds all likelihoods."""
    analysis = builder.analysis
    inputs = {f"sample_{name}": builder.one("selection", name) for name in model_samples(analysis)}
    for name in analysis.ensembles:
        inputs |= _ratios(builder, name) | _morphs(builder, name)
        if _has_modes(builder, name):
            inputs[f"replicas.{name}"] = evaluated_unit(builder, name, "replicas")
    inputs |= {f"source_{name}": add_fetch(builder, name) for name in _template_sources(builder)}
    recipe = SerializationRecipe(
        analysis=analysis.name, title=analysis.title, metadata=analysis.metadata, selection=analysis.selection,
        parameters=analysis.parameters, processes=analysis.processes, systematics=analysis.systematics,
        morphing_bases=analysis.morphing_bases, ensembles=_seen_ensembles(builder), histograms=analysis.histograms,
        likelihoods=analysis.likelihoods, publish=replace(analysis.publish, overrides={}),
        data_sample=data_sample(analysis), pseudo=analysis.pseudo_data if builder.pseudo else None,
        unblind=_unblinds_workspace(analysis),
    )  # fmt: skip
    inputs |= _varied(builder)
    resources = light_resources(seconds=10 + 0.02 * len(inputs), memory_mb=1500, disk_mb=50 + len(inputs) // 50)
    unit = builder.add("serialization", _LIKELIHOOD, recipe, inputs=inputs, resources=resources)
    builder.made["serialization", _LIKELIHOOD] = (unit,)


def _unblinds_workspace(analysis: Analysis) -> bool:
    """Return whether observed counts of blind channels enter the workspace; False too where none is blind."""
    published = analysis.publish.pyhf
    spec = analysis.likelihoods.get(published.likelihood) if published else None
    blind = spec is not None and any(channel.blind for channel in spec.channels.values())
    return blind and analysis.inference.unblind


def _ratios(builder: Builder, name: str) -> dict[str, str]:
    inputs = {f"evaluation_{name}": evaluated_unit(builder, name, "ratio")}
    for process in builder.analysis.ensembles[name].processes:
        inputs |= _numbered(builder, f"block.{name}.{process}", f"{name} {process}")
    return inputs


def _numbered(builder: Builder, label: str, made: str) -> dict[str, str]:
    return {f"{label}.{index}": unit for index, unit in enumerate(builder.made["training", made])}


def _morphs(builder: Builder, name: str) -> dict[str, str]:
    """Return the evaluations and networks of what varies in an ensemble."""
    variations = density_variations(builder.analysis, name)
    inputs: dict[str, str] = {}
    if builder.analysis.ensembles[name].morphing.kind == "parametric":
        for process in dict.fromkeys(item.process for item in variations):
            inputs[f"polynomial.{name}"] = evaluated_unit(builder, name, "polynomial")
            inputs |= _numbered(builder, f"polynomial_block.{name}.{process}", f"{name} polynomial {process}")
        return inputs
    for item in variations:
        unit = evaluated_unit(builder, name, "variation", parameter=item.parameter)
        inputs[f"variation.{name}.{item.parameter}"] = unit
        for direction in item.directions:
            label = f"variation_block.{name}.{item.parameter}.{item.process}.{direction}"
            inputs |= _numbered(builder, label, f"{name} {item.parameter} {item.process}.{direction}")
    return inputs


def _varied(builder: Builder) -> dict[str, str]:
    """Return the varied events of every systematic that has some."""
    return {
        f"varied.{name}.{process}.{direction}": varied_unit(builder, name, process, direction)
        for name, systematic in builder.analysis.systematics.items()
        if systematic.kind != "normalisation"
        for process in processes_of(systematic)
        for direction in directions_of(systematic)
    }


def _has_modes(builder: Builder, ensemble: str) -> bool:
    """Return whether a channel takes nuisance parameters from the replicas of an ensemble."""
    channels = (channel for spec in builder.analysis.likelihoods.values() for channel in spec.channels.values())
    return any(
        isinstance(channel, UnbinnedChannel) and channel.ensemble == ensemble and channel.training_statistics > 0
        for channel in channels
    )


def _seen_ensembles(builder: Builder) -> Mapping[str, Ensemble]:
    """Return the ensembles without what changes no likelihood: the size of blocks, and replicas that none uses."""
    return {
        name: replace(
            ensemble, members_per_block=None, bootstrap=ensemble.bootstrap if _has_modes(builder, name) else None
        )
        for name, ensemble in builder.analysis.ensembles.items()
    }


def _template_sources(builder: Builder) -> tuple[str, ...]:
    """Return the sources of the histograms that fill binned channels; none with pseudo-data."""
    if builder.pseudo:
        return ()
    analysis = builder.analysis
    channels = (channel for likelihood in analysis.likelihoods.values() for channel in likelihood.channels.values())
    histograms = [
        name for channel in channels if isinstance(channel, BinnedChannel) for name in channel.templates.values()
    ]
    return tuple(dict.fromkeys(term.source for name in histograms for term in analysis.histograms[name].terms))


def add_fit(builder: Builder, likelihood: str) -> None:
    """Add the fit of one likelihood."""
    recipe = FitRecipe(likelihood=likelihood, inference=_without_toys(builder))
    inputs = {"likelihood": builder.one("serialization", _LIKELIHOOD)}
    systematics = len(builder.analysis.systematics)
    seconds = 15 + 0.5 * systematics + _MORPH_SECONDS * _morphs_of_all(builder)
    resources = light_resources(seconds=seconds, memory_mb=1500)
    builder.made["fit", likelihood] = (builder.add("fit", likelihood, recipe, inputs=inputs, resources=resources),)


def _morphs_of_all(builder: Builder) -> int:
    """Return the number of pairs of a process and a systematic."""
    return sum(len(processes_of(systematic)) for systematic in builder.analysis.systematics.values())


def _without_toys(builder: Builder) -> Inference:
    """Return what is inferred without the studies: a new one fits nothing again."""
    return replace(builder.analysis.inference, toys={})


def _seen(builder: Builder, *, limit: float | None = None) -> Inference:
    """Return what pseudo-experiments and refits read of the inference: another scan or limit leaves them alone."""
    return Inference(scan_range=(0.0, 0.0), limit=limit, unblind=builder.analysis.inference.unblind)


def add_toys(builder: Builder, name: str) -> None:
    """Add the pseudo-experiments of the study `name`, job by job, and the unit that puts them together."""
    analysis = builder.analysis
    study = analysis.inference.toys[name]
    for likelihood in study.likelihoods or analysis.likelihoods:
        inputs = {"likelihood": builder.one("serialization", _LIKELIHOOD)}
        made: list[str] = []
        for recipe in _toys_recipes(builder, name, study, likelihood):
            resources = toys_resources(analysis, likelihood=likelihood, purpose=study.purpose, toys=recipe.count)
            label = f"{name}-{likelihood}-{len(made)}"
            made.append(builder.add("toys", label, recipe, inputs=inputs, resources=resources))
        limit = analysis.inference.limit if study.purpose == "limit" else None
        together = StudyRecipe(likelihood=likelihood, study=name, spec=study, inference=_seen(builder, limit=limit))
        builder.add(
            "study", f"{name}-{likelihood}", together, resources=light_resources(seconds=5),
            inputs={**inputs, **{f"toys_{index}": unit for index, unit in enumerate(made)}},
        )  # fmt: skip


def _toys_recipes(builder: Builder, name: str, study: ToyStudy, likelihood: str) -> list[ToysRecipe]:
    """Return the jobs of a study of one likelihood, in the order of values and numbers.

    A job does not know of the other jobs, so that more values and more pseudo-experiments leave those alone that are
    there already.
    """
    values = (None,) if study.purpose == "goodness_of_fit" else study.values
    inference = _seen(builder)
    recipes = []
    for value in values:
        for first in range(0, study.toys, study.toys_per_job):
            count = min(study.toys_per_job, study.toys - first)
            own = () if value is None else (value,)
            spec = replace(study, toys=count, toys_per_job=count, values=own, likelihoods=(likelihood,))
            recipe = ToysRecipe(
                likelihood=likelihood, study=name, spec=spec, inference=inference, value=value, first=first, count=count
            )
            recipes.append(recipe)
    return recipes


def add_training_statistics(builder: Builder, likelihood: str) -> None:
    """Add the uncertainty of a likelihood from its training samples, where it has an unbinned channel."""
    analysis = builder.analysis
    spec = analysis.likelihoods[likelihood]
    names = dict.fromkeys(one.ensemble for one in spec.channels.values() if isinstance(one, UnbinnedChannel))
    if not names:
        return
    inputs = {"likelihood": builder.one("serialization", _LIKELIHOOD)}
    samples = {data_sample(analysis)}
    for name in names:
        ensemble = analysis.ensembles[name]
        inputs |= _ratios(builder, name)
        samples |= {*ensemble.reference, *(analysis.processes[process].sample for process in ensemble.processes)}
        if ensemble.bootstrap is not None:
            inputs[f"replicas.{name}"] = evaluated_unit(builder, name, "replicas")
    inputs |= {f"sample_{name}": builder.one("selection", name) for name in analysis.samples if name in samples}
    recipe = TrainingStatisticsRecipe(
        likelihood=likelihood, spec=spec, process_samples={key: one.sample for key, one in analysis.processes.items()},
        ensembles={
            name: replace(analysis.ensembles[name], members_per_block=None, morphing=Morphing()) for name in names
        },
        data_sample=data_sample(analysis), inference=_seen(builder),
    )  # fmt: skip
    replicas = sum(one.bootstrap.replicas for one in recipe.ensembles.values() if one.bootstrap is not None)
    seconds = 20 + replicas + _MORPH_SECONDS * _morphs_of_all(builder)
    resources = light_resources(seconds=seconds, memory_mb=2000)
    builder.add("training_statistics", likelihood, recipe, inputs=inputs, resources=resources)


def add_last(builder: Builder) -> None:
    """Add the checks of everything, and the report of everything."""
    everything = {f"{unit.stage}/{unit.name}": identity for identity, unit in builder.units.items()}
    checks = builder.add(
        "diagnostics", "diagnostics", DiagnosticsRecipe(analysis=builder.analysis), inputs=everything,
        resources=light_resources(seconds=20 + 0.05 * len(everything), memory_mb=2000, disk_mb=10),
    )  # fmt: skip
    everything[f"diagnostics/{builder.units[checks].name}"] = checks
    builder.add(
        "report", "report", ReportRecipe(analysis=builder.analysis, pseudo=builder.pseudo), inputs=everything,
        resources=light_resources(seconds=20 + 0.05 * len(everything), memory_mb=1000, disk_mb=20),
    )  # fmt: skip
