"""Units of networks that make densities follow nuisance parameters: anchors at +1 and -1, or polynomials."""

from __future__ import annotations

from dataclasses import replace

from evercast.plan.builder import Builder
from evercast.plan.recipes import Direction, LearnedVariation, TrainingRecipe
from evercast.plan.selections import varied_sample, varied_unit
from evercast.plan.series import (
    add_blocks,
    add_evaluation,
    bare_ensemble,
    blocks_of,
    count_events,
    evaluation_recipe,
    sample_inputs,
)
from evercast.plan.variations import DensityVariation, points_of
from evercast.spec.model import Ensemble, Morphing

__all__ = ["add_anchors", "add_polynomials", "morph_members"]


def morph_members(ensemble: Ensemble) -> int:
    """Return the networks per process, nuisance parameter and direction, or per polynomial."""
    return ensemble.morphing.members or ensemble.members


def add_anchors(builder: Builder, name: str, parameter: str, variations: tuple[DensityVariation, ...]) -> None:
    """Add the networks at +1 and -1 of one nuisance parameter, and the unit ``ENSEMBLE-PARAMETER`` that evaluates them.

    Args:
        builder: takes the units.
        name: the ensemble.
        parameter: the nuisance parameter.
        variations: those of the parameter, one for each process that follows it.
    """
    ensemble = builder.analysis.ensembles[name]
    members = morph_members(ensemble)
    inputs: dict[str, str] = {}
    for item in variations:
        for direction in item.directions:
            made = _add_anchor(builder, name, item, direction)
            label = f"{item.process}.{direction}"
            builder.made["training", f"{name} {parameter} {label}"] = made
            inputs |= {f"block.{label}.{index}": unit for index, unit in enumerate(made)}
            inputs[f"varied.{label}"] = varied_unit(builder, item.systematic, item.process, direction)
    processes = tuple(item.process for item in variations)
    base = evaluation_recipe(builder, name, members=members, processes=processes)
    networks = members * ensemble.folds * sum(len(item.directions) for item in variations)
    add_evaluation(
        builder, f"{name}-{parameter}", replace(base, learned="variation", parameter=parameter), inputs=inputs,
        networks=networks,
    )  # fmt: skip


def _add_anchor(builder: Builder, name: str, item: DensityVariation, direction: Direction) -> tuple[str, ...]:
    """Add the networks that tell a varied process from the nominal one."""
    analysis, ensemble = builder.analysis, builder.analysis.ensembles[name]
    sample = analysis.processes[item.process].sample
    varied = varied_sample(analysis.systematics[item.systematic], item.process, direction, nominal=sample)
    events = count_events(builder, sample) + count_events(builder, varied)
    recipe = TrainingRecipe(
        analysis=analysis.name, name=name, process=item.process, sample=sample, members=(),
        ensemble=replace(bare_ensemble(ensemble, item.process), reference={sample: 1.0}),
        variation=LearnedVariation(parameter=item.parameter, direction=direction),
    )  # fmt: skip
    return add_blocks(
        builder, f"{name}-{item.process}-{item.parameter}-{direction}", recipe, events=events,
        blocks=blocks_of(ensemble, morph_members(ensemble), events=events, many=True),
        inputs={
            "varied": varied_unit(builder, item.systematic, item.process, direction), **sample_inputs(builder, sample)
        },
    )  # fmt: skip


def add_polynomials(builder: Builder, name: str, variations: tuple[DensityVariation, ...]) -> None:
    """Add one series of networks per process whose density varies, and the unit ``ENSEMBLE-polynomial``.

    Args:
        builder: takes the units.
        name: the ensemble.
        variations: all of the ensemble.
    """
    ensemble = builder.analysis.ensembles[name]
    members = morph_members(ensemble)
    varying = {item.process for item in variations}
    processes = tuple(process for process in ensemble.processes if process in varying)
    inputs: dict[str, str] = {}
    for process in processes:
        made = _add_polynomial(builder, name, process, variations)
        builder.made["training", f"{name} polynomial {process}"] = made
        inputs |= {f"block.{process}.{index}": unit for index, unit in enumerate(made)}
    base = evaluation_recipe(builder, name, members=members, processes=processes)
    recipe = replace(
        base, learned="polynomial", points={process: points_of(variations, process) for process in processes},
        ensemble=replace(base.ensemble, morphing=_parametric(ensemble)),
    )  # fmt: skip
    networks = members * ensemble.folds * len(processes)
    add_evaluation(builder, f"{name}-polynomial", recipe, inputs=inputs, networks=networks)


def _parametric(ensemble: Ensemble) -> Morphing:
    return Morphing(kind="parametric", degree=ensemble.morphing.degree)


def _add_polynomial(
    builder: Builder, name: str, process: str, variations: tuple[DensityVariation, ...]
) -> tuple[str, ...]:
    analysis, ensemble = builder.analysis, builder.analysis.ensembles[name]
    sample = analysis.processes[process].sample
    varied = {
        f"varied.{item.parameter}.{direction}": varied_unit(builder, item.systematic, process, direction)
        for item in variations
        if item.process == process
        for direction in item.directions
    }
    events = (1 + len(varied)) * count_events(builder, sample)
    recipe = TrainingRecipe(
        analysis=analysis.name, name=name, process=process, sample=sample, members=(),
        ensemble=replace(
            bare_ensemble(ensemble, process), reference={sample: 1.0}, morphing=_parametric(ensemble)
        ),
        points=points_of(variations, process),
    )  # fmt: skip
    return add_blocks(
        builder, f"{name}-{process}-polynomial", recipe, events=events,
        blocks=blocks_of(ensemble, morph_members(ensemble), events=events, many=False),
        inputs={**varied, **sample_inputs(builder, sample)},
    )  # fmt: skip
