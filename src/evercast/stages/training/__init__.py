"""Stage training: the networks of one block, one process of an ensemble.

They learn its ratio to the reference, the ratio of a variation to its nominal sample, or the polynomial that goes
through several variations; on the simulation as it is, or on a bootstrap replica of it.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Final

import jax

from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights, write_weights
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.device import network_devices, network_strategy
from evercast.networks.folds import CrossFitting
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks
from evercast.plan.recipes import Task, TrainingRecipe
from evercast.plan.seeds import derive_seed
from evercast.runtime.device import configure_device
from evercast.stages.training.checkpoints import FolderCheckpoints
from evercast.stages.training.samples import TrainingEvents, training_events

__all__ = ["FolderCheckpoints", "run"]

_log = logging.getLogger(__name__)
_FORMAT: Final = "training/1.1.0"


def run(task: Task[TrainingRecipe]) -> None:
    """Train the block and write ``weights.safetensors`` and ``training.json``.

    Raises:
        InvalidInput: ``training.*``, a class that nothing can be learned from; the message names sample and region.
            ``systematic.identical``, a variation that changes nothing; ``morphing.degree``.
        NumericalFailure: ``training.diverged``.
        IntegrityError: an input table is damaged.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``; ``device.no-gpu``.
    """
    recipe = task.recipe
    device = recipe.ensemble.training.device
    configure_device(threads=task.threads, cache=task.compiled_functions(), gpus=task.gpus, device=device)
    strategy = network_strategy()
    folds = CrossFitting(folds=recipe.ensemble.folds, seed=derive_seed("folds", recipe.ensemble.seed))
    checkpoints = FolderCheckpoints(task.checkpoint)
    learned = training_events(task, cross_fitting=folds, strategy=strategy, checkpoints=checkpoints)
    architecture = Architecture(
        observables=recipe.ensemble.observables,
        width=recipe.ensemble.model.width,
        depth=recipe.ensemble.model.depth,
        activation=recipe.ensemble.model.activation,
        terms=learned.terms,
    )
    networks = train_networks(
        learned.events,
        _network_names(recipe),
        architecture=architecture,
        options=recipe.ensemble.training,
        cross_fitting=folds,
        strategy=strategy,
        checkpoints=checkpoints,
        threads=task.threads,
        devices=network_devices(),
    )
    _log.info("trained %d networks of %s, process %s (%s)", len(networks), recipe.name, recipe.process, _slot(recipe))
    _write(task, architecture, learned, networks, fold_seed=folds.seed, strategy=strategy)


def _slot(recipe: TrainingRecipe) -> str:
    """Return what is learned, as it enters the seeds."""
    if recipe.variation is not None:
        learned = f"{recipe.variation.parameter}:{recipe.variation.direction}"
    else:
        learned = "polynomial" if recipe.points else "nominal"
    return learned if recipe.replica is None else f"{learned}:replica:{recipe.replica}"


def _network_names(recipe: TrainingRecipe) -> list[NetworkName]:
    """Return the networks of the block with their seeds, member by member."""
    key = (recipe.analysis, recipe.ensemble.seed, recipe.name, recipe.process, _slot(recipe))
    return [
        NetworkName(member=member, fold=fold, seed=derive_seed(*key, member, fold))
        for member in recipe.members
        for fold in range(recipe.ensemble.folds)
    ]


def _labels(recipe: TrainingRecipe, *, fold_seed: int) -> dict[str, str]:
    """Return what the weights say of themselves, all that blocks of one set of networks have in common."""
    labels = {"ensemble": recipe.name, "process": recipe.process, "fold_seed": str(fold_seed)}
    if recipe.variation is not None:
        labels |= {"parameter": recipe.variation.parameter, "direction": recipe.variation.direction}
    if recipe.points:
        labels["points"] = " ".join(f"{point.parameter}:{point.direction}" for point in recipe.points)
    if recipe.replica is not None:
        labels["replica"] = str(recipe.replica)
    return labels


def _write(
    task: Task[TrainingRecipe],
    architecture: Architecture,
    learned: TrainingEvents,
    networks: list[TrainedNetwork],
    *,
    fold_seed: int,
    strategy: str,
) -> None:
    recipe = task.recipe
    stacked = Weights.stack([network.weights for network in networks])
    block = EnsembleWeights(
        architecture=architecture,
        members=recipe.members,
        folds=recipe.ensemble.folds,
        weights=stacked.reshape(len(recipe.members), recipe.ensemble.folds),
        labels=_labels(recipe, fold_seed=fold_seed),
    )
    write_weights(task.output / "weights.safetensors", block)
    body = {
        "format": _FORMAT,
        "ensemble": recipe.name,
        "process": recipe.process,
        "sample": recipe.sample,
        "variation": None if recipe.variation is None else asdict(recipe.variation),
        "points": [asdict(point) for point in recipe.points],
        "replica": recipe.replica,
        "reference": dict(recipe.ensemble.reference),
        "region": recipe.ensemble.region,
        "members": list(recipe.members),
        "folds": recipe.ensemble.folds,
        "fold_seed": fold_seed,
        "architecture": architecture.to_json(),
        "device": {"backend": jax.default_backend(), "networks": strategy},
        "negative_weights": {
            "treatment": recipe.ensemble.negative_weights,
            "resampled": {name: asdict(one) for name, one in learned.resampled.items()},
        },
        "classes": {name: asdict(summary) for name, summary in learned.events.summary().items()},
        "networks": [_network_json(network) for network in networks],
    }
    atomic_write_json(task.output / "training.json", body)


def _network_json(network: TrainedNetwork) -> dict[str, object]:
    return {
        "member": network.name.member,
        "fold": network.name.fold,
        "seed": network.name.seed,
        "best_epoch": network.best_epoch,
        "epochs": len(network.training_loss),
        "loss": {"training": network.training_loss, "validation": network.validation_loss},
        "training": {name: asdict(summary) for name, summary in network.training.items()},
        "validation": {name: asdict(summary) for name, summary in network.validation.items()},
    }
