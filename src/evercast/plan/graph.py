"""The plan of an analysis: document in, units with keys out. Pure but for the digests of files beside the document."""

from __future__ import annotations

from pathlib import Path

from evercast.plan.builder import Builder
from evercast.plan.cost import light_resources
from evercast.plan.keys import canonical_digest
from evercast.plan.learning import add_ensemble, add_selections, data_sample, model_samples
from evercast.plan.model import Plan
from evercast.plan.origins import add_command, add_fetch
from evercast.plan.recipes import FitRecipe, ReportRecipe, SerializationRecipe
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis, BinnedChannel

__all__ = ["make_plan", "used_sources"]


def make_plan(analysis: Analysis, *, document_folder: Path, pseudo: bool) -> Plan:
    """Return the plan of an analysis.

    Args:
        analysis: a checked document.
        document_folder: where the relative paths of the document start.
        pseudo: draw the observed events from simulation instead of fetching the public ones.

    Raises:
        InvalidInput: a file is missing, a reference does not resolve, or pseudo-data are wanted and not declared.
    """
    builder = Builder(analysis=analysis, folder=document_folder, pseudo=pseudo)
    for stage in analysis.stages:
        add_command(builder, stage)
    add_selections(builder)
    for ensemble in analysis.ensembles:
        add_ensemble(builder, ensemble)
    _add_serialization(builder)
    for likelihood in analysis.likelihoods:
        _add_fit(builder, likelihood)
    _add_report(builder)
    units = tuple(builder.units.values())
    return Plan(
        name=analysis.name,
        pseudo=pseudo,
        digest=canonical_digest({"units": [unit.id for unit in units], "document": to_json(analysis)}),
        units=units,
        networks=tuple(builder.networks),
        files=builder.files,
    )


def used_sources(plan: Plan) -> tuple[str, ...]:
    """Return the names of the public files that a run of the plan needs."""
    return tuple(unit.name for unit in plan.of_stage("fetch"))


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


def _add_serialization(builder: Builder) -> None:
    analysis = builder.analysis
    inputs = {f"sample_{name}": builder.one("selection", name) for name in model_samples(analysis)}
    for name, ensemble in analysis.ensembles.items():
        inputs[f"evaluation_{name}"] = builder.one("evaluation", name)
        for process in ensemble.processes:
            blocks = builder.made["training", f"{name} {process}"]
            inputs |= {f"block.{name}.{process}.{index}": unit for index, unit in enumerate(blocks)}
    inputs |= {f"source_{name}": add_fetch(builder, name) for name in _template_sources(builder)}
    recipe = SerializationRecipe(
        analysis=analysis.name, title=analysis.title, metadata=analysis.metadata, selection=analysis.selection,
        parameters=analysis.parameters, processes=analysis.processes, systematics=analysis.systematics,
        morphing_bases=analysis.morphing_bases,
        ensembles=analysis.ensembles, histograms=analysis.histograms, likelihoods=analysis.likelihoods,
        publish=analysis.publish, data_sample=data_sample(analysis),
        pseudo=analysis.pseudo_data if builder.pseudo else None,
    )  # fmt: skip
    resources = light_resources(seconds=10, memory_mb=1500, disk_mb=50)
    unit = builder.add("serialization", "likelihood", recipe, inputs=inputs, resources=resources)
    builder.made["serialization", "likelihood"] = (unit,)


def _add_fit(builder: Builder, likelihood: str) -> None:
    recipe = FitRecipe(likelihood=likelihood, inference=builder.analysis.inference)
    inputs = {"likelihood": builder.one("serialization", "likelihood")}
    resources = light_resources(seconds=15, memory_mb=1500)
    builder.made["fit", likelihood] = (builder.add("fit", likelihood, recipe, inputs=inputs, resources=resources),)


def _add_report(builder: Builder) -> None:
    inputs = {f"{unit.stage}/{unit.name}": identity for identity, unit in builder.units.items()}
    recipe = ReportRecipe(analysis=builder.analysis, pseudo=builder.pseudo)
    resources = light_resources(seconds=20, memory_mb=1000, disk_mb=20)
    builder.add("report", "report", recipe, inputs=inputs, resources=resources)
