"""The events a block learns from, as its recipe asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evercast.artifacts.event_table import read_event_table
from evercast.networks.architecture import Architecture, Term
from evercast.networks.bootstrap import bootstrapped
from evercast.networks.dataset import Events, TrainingSet, mixture, morphing_set, training_set
from evercast.networks.device import network_devices
from evercast.networks.folds import CrossFitting
from evercast.networks.polynomial import polynomial_terms, term_powers
from evercast.networks.positive_resampling import Resampling, SignTraining, resampled
from evercast.networks.suitability import check_different, check_events
from evercast.networks.training import Checkpoints
from evercast.plan.recipes import LearnedVariation, Task, TrainingRecipe
from evercast.plan.seeds import derive_seed

__all__ = ["TrainingEvents", "training_events"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingEvents:
    """What the networks of a block learn from.

    Args:
        events: all classes.
        terms: of the polynomial; empty for a ratio.
        resampled: input -> how its negative weights were made positive, where there were any.
    """

    events: TrainingSet
    terms: tuple[Term, ...]
    resampled: Mapping[str, Resampling]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reader:
    """Reads inputs of the task as events ready for training, and notes how they were resampled."""

    task: Task[TrainingRecipe]
    cross_fitting: CrossFitting
    strategy: Literal["map", "vmap"]
    checkpoints: Checkpoints
    resampled: dict[str, Resampling]

    def events(self, key: str, what: str, *, nominal: tuple[Events, LearnedVariation] | None = None) -> Events:
        """Return the events of the input `key`: checked, of the replica asked for, with positive weights if asked for.

        Args:
            key: name of the input.
            what: it in words.
            nominal: for a variation, the nominal events as they were selected, and which variation it is.
        """
        recipe, ensemble = self.task.recipe, self.task.recipe.ensemble
        events = self.selected(key, what)
        if nominal is not None:
            which = f"{nominal[1].direction} and nominal"
            parameter = nominal[1].parameter
            check_different(events, nominal[0], parameter=parameter, process=recipe.process, what=which)
        if recipe.replica is not None:
            seed = derive_seed("bootstrap", ensemble.seed, recipe.replica)
            events = bootstrapped(events, seed=seed, what=what)
        if ensemble.negative_weights == "resample" and np.any(events.weight < 0.0):
            events, self.resampled[key] = self._resampled(key, events, what)
        return events

    def selected(self, key: str, what: str) -> Events:
        """Return the events of the input `key` in the region of the ensemble, checked."""
        ensemble = self.task.recipe.ensemble
        table = read_event_table(self.task.inputs[key] / "events.zarr").in_region(ensemble.region)
        events = Events(observables=table.columns(ensemble.observables), weight=table.weight, event=table.event)
        check_events(events, names=ensemble.observables, what=what, negative_weights=ensemble.negative_weights)
        return events

    def _resampled(self, key: str, events: Events, what: str) -> tuple[Events, Resampling]:
        recipe, ensemble = self.task.recipe, self.task.recipe.ensemble
        architecture = Architecture(
            observables=ensemble.observables,
            width=ensemble.model.width,
            depth=ensemble.model.depth,
            activation=ensemble.model.activation,
        )
        replica = -1 if recipe.replica is None else recipe.replica
        training = SignTraining(
            architecture=architecture,
            options=ensemble.training,
            cross_fitting=self.cross_fitting,
            seed=derive_seed(recipe.analysis, ensemble.seed, "signs", *_stable(recipe, key), replica),
            strategy=self.strategy,
            checkpoints=self.checkpoints,
            name=key,
            threads=self.task.threads,
            devices=network_devices(),
        )
        return resampled(events, training, what=what)


def _stable(recipe: TrainingRecipe, key: str) -> tuple[str, ...]:
    """Return what tells the sample of an input, the same in every unit that reads it."""
    if key.startswith("sample_"):
        return (key,)
    if recipe.variation is not None:
        return (recipe.sample, recipe.variation.parameter, recipe.variation.direction)
    return (recipe.sample, *key.split(".")[1:])


def training_events(
    task: Task[TrainingRecipe],
    *,
    cross_fitting: CrossFitting,
    strategy: Literal["map", "vmap"],
    checkpoints: Checkpoints,
) -> TrainingEvents:
    """Return the classes that the recipe names, from the selected events in the region of the ensemble.

    Raises:
        InvalidInput: as the stage.
        NumericalFailure: ``training.diverged`` for a network that learns signs.
        IntegrityError: a table is damaged.
    """
    recipe = task.recipe
    reader = _Reader(task=task, cross_fitting=cross_fitting, strategy=strategy, checkpoints=checkpoints, resampled={})
    against_reference = recipe.variation is None and not recipe.points
    events, terms = (_against_reference if against_reference else _against_nominal)(reader)
    return TrainingEvents(events=events, terms=terms, resampled=reader.resampled)


def _draw_seed(recipe: TrainingRecipe) -> int:
    return derive_seed(recipe.analysis, recipe.ensemble.seed, recipe.name, recipe.process, "max_events")


def _against_reference(reader: _Reader) -> tuple[TrainingSet, tuple[Term, ...]]:
    recipe, ensemble = reader.task.recipe, reader.task.recipe.ensemble
    samples = {
        sample: reader.events(f"sample_{sample}", f"sample {sample!r} in region {ensemble.region!r}")
        for sample in dict.fromkeys((recipe.sample, *ensemble.reference))
    }
    events = training_set(
        samples[recipe.sample],
        mixture(samples, ensemble.reference),
        names=ensemble.observables,
        max_events=ensemble.training.max_events,
        seed=_draw_seed(recipe),
    )
    return events, ()


def _against_nominal(reader: _Reader) -> tuple[TrainingSet, tuple[Term, ...]]:
    recipe, ensemble = reader.task.recipe, reader.task.recipe.ensemble
    key, what = f"sample_{recipe.sample}", f"sample {recipe.sample!r} in region {ensemble.region!r}"
    selected = reader.selected(key, what)
    nominal = reader.events(key, what)

    def varied(name: str, variation: LearnedVariation) -> Events:
        described = f"{what}, varied by {variation.parameter!r} {variation.direction}"
        return reader.events(name, described, nominal=(selected, variation))

    if recipe.variation is not None:
        events = training_set(
            varied("varied", recipe.variation),
            nominal,
            names=ensemble.observables,
            class_names=("nominal", "varied"),
            max_events=ensemble.training.max_events,
            seed=_draw_seed(recipe),
        )
        return events, ()
    points = [{point.parameter: 1.0 if point.direction == "up" else -1.0} for point in recipe.points]
    terms = polynomial_terms(points, degree=ensemble.morphing.degree)
    classes = {
        f"{point.parameter} {point.direction}": varied(f"varied.{point.parameter}.{point.direction}", point)
        for point in recipe.points
    }
    events = morphing_set(
        nominal,
        classes,
        term_powers(terms, points),
        names=ensemble.observables,
        max_events=ensemble.training.max_events,
        seed=_draw_seed(recipe),
    )
    return events, terms
