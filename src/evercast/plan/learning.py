"""Units of training and evaluation of an ensemble: its ratios, what varies, and the replicas of the simulation."""

from __future__ import annotations

from dataclasses import replace

from evercast.plan.builder import Builder
from evercast.plan.model import NetworkCount
from evercast.plan.morphs import add_anchors, add_polynomials, morph_members
from evercast.plan.recipes import TrainingRecipe
from evercast.plan.series import (
    add_blocks,
    add_evaluation,
    bare_ensemble,
    blocks_of,
    count_events,
    evaluated_unit,
    evaluation_recipe,
    sample_inputs,
)
from evercast.plan.variations import DensityVariation, by_parameter, density_variations
from evercast.spec.model import Bootstrap, Ensemble

__all__ = ["add_ensemble"]


def add_ensemble(builder: Builder, name: str) -> None:
    """Add the training blocks of an ensemble and its evaluations."""
    ensemble = builder.analysis.ensembles[name]
    variations = density_variations(builder.analysis, name)
    first = len(builder.units)
    _add_ratios(builder, name)
    if ensemble.morphing.kind == "anchor":
        for parameter, some in by_parameter(variations).items():
            add_anchors(builder, name, parameter, some)
    elif variations:
        add_polynomials(builder, name, variations)
    if ensemble.bootstrap is not None:
        _add_replicas(builder, name, ensemble.bootstrap)
    recipes = [unit.recipe for unit in list(builder.units.values())[first:]]
    trained = [recipe for recipe in recipes if isinstance(recipe, TrainingRecipe)]
    builder.networks.append(_count(name, ensemble, variations, trained))


def _count(
    name: str, ensemble: Ensemble, variations: tuple[DensityVariation, ...], trained: list[TrainingRecipe]
) -> NetworkCount:
    anchors = ensemble.morphing.kind == "anchor"
    bootstrap = ensemble.bootstrap or Bootstrap(replicas=0, members=0)
    return NetworkCount(
        ensemble=name, processes=len(ensemble.processes),
        systematics=len(by_parameter(variations)) if anchors else 0,
        members=ensemble.members, folds=ensemble.folds,
        members_per_block=max(len(recipe.members) for recipe in trained), blocks=len(trained),
        variations=sum(len(item.directions) for item in variations) if anchors else 0,
        polynomials=0 if anchors else len({item.process for item in variations}),
        variation_members=morph_members(ensemble), replicas=bootstrap.replicas, replica_members=bootstrap.members,
    )  # fmt: skip


def _add_series(builder: Builder, name: str, process: str, *, members: int, replica: int | None) -> tuple[str, ...]:
    """Add the networks of one process against the reference, of the simulation or of one replica of it."""
    analysis, ensemble = builder.analysis, builder.analysis.ensembles[name]
    sample = analysis.processes[process].sample
    events = count_events(builder, sample, *ensemble.reference)
    recipe = TrainingRecipe(
        analysis=analysis.name, name=name, ensemble=bare_ensemble(ensemble, process), process=process, sample=sample,
        members=(), replica=replica,
    )  # fmt: skip
    return add_blocks(
        builder, f"{name}-{process}" if replica is None else f"{name}-{process}-replica-{replica}", recipe,
        blocks=blocks_of(ensemble, members, events=events, many=replica is not None),
        inputs=sample_inputs(builder, sample, *ensemble.reference), events=events,
    )  # fmt: skip


def _add_ratios(builder: Builder, name: str) -> None:
    ensemble = builder.analysis.ensembles[name]
    blocks: dict[str, str] = {}
    for process in ensemble.processes:
        made = _add_series(builder, name, process, members=ensemble.members, replica=None)
        builder.made["training", f"{name} {process}"] = made
        blocks |= {f"block_{process}_{index}": unit for index, unit in enumerate(made)}
    recipe = evaluation_recipe(builder, name, members=ensemble.members)
    networks = ensemble.members * ensemble.folds * len(ensemble.processes)
    add_evaluation(builder, name, recipe, inputs=blocks, networks=networks)


def _add_replicas(builder: Builder, name: str, bootstrap: Bootstrap) -> None:
    """Add the small ensembles of every replica of the simulation, and their evaluation."""
    ensemble = builder.analysis.ensembles[name]
    chosen = bootstrap.processes or ensemble.processes
    inputs: dict[str, str] = {"nominal": evaluated_unit(builder, name, "ratio")} if bootstrap.processes else {}
    for replica in range(bootstrap.replicas):
        for process in chosen:
            made = _add_series(builder, name, process, members=bootstrap.members, replica=replica)
            builder.made["training", f"{name} replica {replica} {process}"] = made
            inputs |= {f"block.{replica}.{process}.{index}": unit for index, unit in enumerate(made)}
    recipe = evaluation_recipe(builder, name, members=bootstrap.members)
    recipe = replace(recipe, learned="replicas", ensemble=replace(recipe.ensemble, bootstrap=bootstrap))
    networks = bootstrap.replicas * bootstrap.members * ensemble.folds * len(chosen)
    add_evaluation(builder, f"{name}-replicas", recipe, inputs=inputs, networks=networks)
