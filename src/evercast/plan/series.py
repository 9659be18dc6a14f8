"""What all units of an ensemble share: how members become blocks, and what an evaluation covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evercast.plan.blocks import choose_blocks, choose_variation_blocks, partition
from evercast.plan.builder import Builder
from evercast.plan.cost import evaluation_resources, event_count, network_seconds, training_resources
from evercast.plan.recipes import EvaluationRecipe, TrainingRecipe
from evercast.plan.selections import data_sample
from evercast.spec.model import Ensemble, Morphing

__all__ = [
    "Blocks",
    "add_blocks",
    "add_evaluation",
    "bare_ensemble",
    "blocks_of",
    "count_events",
    "evaluated_unit",
    "evaluation_recipe",
    "sample_inputs",
]

Blocks = tuple[tuple[int, ...], ...]
"""Members of each block."""


def count_events(builder: Builder, *samples: str) -> int:
    """Return about how many events the files of some samples hold."""
    return sum(event_count(builder.analysis, sample, folder=builder.folder) for sample in samples)


def blocks_of(ensemble: Ensemble, members: int, *, events: int, many: bool) -> Blocks:
    """Return the members 0 ... `members` - 1 cut in blocks, larger ones where there are `many` series of them."""
    if ensemble.members_per_block is not None:
        return partition(members, members_per_block=ensemble.members_per_block)
    seconds = ensemble.folds * network_seconds(ensemble, events=events)
    return (choose_variation_blocks if many else choose_blocks)(members, seconds_per_member=seconds)


def bare_ensemble(ensemble: Ensemble, process: str) -> Ensemble:
    """Return the ensemble without what a block must not depend on: more members leave the trained ones alone."""
    return replace(
        ensemble, processes=(process,), members_per_block=None, combine="mean_log_ratio", normalise=True,
        calibration="none", morphing=Morphing(), bootstrap=None,
    )  # fmt: skip


def add_blocks(
    builder: Builder, label: str, recipe: TrainingRecipe, *, blocks: Blocks, inputs: Mapping[str, str], events: int
) -> tuple[str, ...]:
    """Add the blocks ``LABEL-K`` of one series of members, and return their units."""
    made = []
    for index, members in enumerate(blocks):
        ensemble = replace(recipe.ensemble, members=len(members))
        networks = len(members) * ensemble.folds
        unit = builder.add(
            "training", f"{label}-{index}", replace(recipe, ensemble=ensemble, members=members), inputs=inputs,
            resources=training_resources(ensemble, events=events, networks=networks), networks=networks,
        )  # fmt: skip
        made.append(unit)
    return tuple(made)


def sample_inputs(builder: Builder, *names: str) -> dict[str, str]:
    """Return the inputs ``sample_NAME``, each sample once."""
    return {f"sample_{name}": builder.one("selection", name) for name in dict.fromkeys(names)}


def evaluation_recipe(
    builder: Builder, name: str, *, members: int, processes: tuple[str, ...] | None = None
) -> EvaluationRecipe:
    """Return the recipe of an evaluation on every sample that matters to the ensemble.

    Args:
        builder: has the document.
        name: the ensemble.
        members: those of the networks that are evaluated.
        processes: the processes concerned; None: all, and they are not named.
    """
    analysis = builder.analysis
    ensemble = analysis.ensembles[name]
    samples = _evaluated(builder, ensemble)
    return EvaluationRecipe(
        name=name,
        ensemble=replace(ensemble, members=members, members_per_block=None, morphing=Morphing(), bootstrap=None),
        process_samples={process: analysis.processes[process].sample for process in ensemble.processes},
        samples=samples,
        roles={sample: analysis.samples[sample].role for sample in samples},
        processes=processes or (),
    )  # fmt: skip


def _evaluated(builder: Builder, ensemble: Ensemble) -> tuple[str, ...]:
    analysis = builder.analysis
    used = {analysis.processes[process].sample for process in ensemble.processes}
    used |= {*ensemble.reference, data_sample(analysis)}
    return tuple(sample for sample in analysis.samples if sample in used)


def add_evaluation(
    builder: Builder, name: str, recipe: EvaluationRecipe, *, inputs: Mapping[str, str], networks: int
) -> None:
    """Add an evaluation whose `inputs` are its blocks, and varied events where it needs them."""
    events = count_events(builder, *recipe.samples)
    resources = evaluation_resources(recipe.ensemble, events=events, samples=len(recipe.samples), networks=networks)
    everything = sample_inputs(builder, *recipe.samples) | dict(inputs)
    unit = builder.add("evaluation", name, recipe, inputs=everything, resources=resources)
    builder.made["evaluation", _thing(recipe.name, recipe.learned, recipe.parameter)] = (unit,)


def evaluated_unit(builder: Builder, name: str, learned: str, *, parameter: str | None = None) -> str:
    """Return the id of an evaluation of the ensemble `name`, of the kind `learned`; `parameter` for a variation."""
    return builder.one("evaluation", _thing(name, learned, parameter))


def _thing(name: str, learned: str, parameter: str | None) -> str:
    return f"{name} {learned} {parameter or ''}".rstrip()
