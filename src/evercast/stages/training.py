"""Stage training: the networks of one block, one process of an ensemble against the reference."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import jax
import numpy as np
from numpy.typing import NDArray

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.weights import EnsembleWeights, read_tensors, write_tensors, write_weights
from evercast.errors import IntegrityError
from evercast.networks.architecture import Architecture, Weights
from evercast.networks.dataset import Events, TrainingSet, check_events, mixture, training_set
from evercast.networks.device import network_strategy
from evercast.networks.folds import CrossFitting
from evercast.networks.training import NetworkName, TrainedNetwork, train_networks
from evercast.plan.recipes import Task, TrainingRecipe
from evercast.plan.seeds import derive_seed
from evercast.runtime.device import configure_device

__all__ = ["FolderCheckpoints", "run"]

_log = logging.getLogger(__name__)
_FORMAT: Final = "training/1.0.0"
_CHECKPOINT_FORMAT: Final = "training-checkpoint/1.0.0"


def run(task: Task[TrainingRecipe]) -> None:
    """Train the block and write ``weights.safetensors`` and ``training.json``.

    Raises:
        InvalidInput: ``training.*``, a class that nothing can be learned from; the message names sample and region.
        NumericalFailure: ``training.diverged``.
        IntegrityError: an input table is damaged.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
    """
    recipe = task.recipe
    configure_device(threads=task.threads, cache=task.checkpoint.parents[1] / ".compiled")
    events = _training_events(task)
    strategy = network_strategy()
    fold_seed = derive_seed("folds", recipe.ensemble.seed)
    names = _network_names(recipe)
    architecture = Architecture(
        observables=recipe.ensemble.observables,
        width=recipe.ensemble.model.width,
        depth=recipe.ensemble.model.depth,
        activation=recipe.ensemble.model.activation,
    )
    networks = train_networks(
        events,
        names,
        architecture=architecture,
        options=recipe.ensemble.training,
        cross_fitting=CrossFitting(folds=recipe.ensemble.folds, seed=fold_seed),
        strategy=strategy,
        checkpoints=FolderCheckpoints(task.checkpoint),
        threads=task.threads,
    )
    _log.info("trained %d networks of %s, process %s", len(networks), recipe.name, recipe.process)
    _write(task, architecture, events, networks, fold_seed=fold_seed, strategy=strategy)


def _training_events(task: Task[TrainingRecipe]) -> TrainingSet:
    """Return both classes from the selected events in the region of the ensemble."""
    recipe = task.recipe
    ensemble = recipe.ensemble
    samples: dict[str, Events] = {}
    for sample in dict.fromkeys((recipe.sample, *ensemble.reference)):
        table = read_event_table(task.inputs[f"sample_{sample}"] / "events.zarr").in_region(ensemble.region)
        events = Events(observables=table.columns(ensemble.observables), weight=table.weight, event=table.event)
        what = f"sample {sample!r} in region {ensemble.region!r}"
        check_events(events, names=ensemble.observables, what=what, negative_weights=ensemble.negative_weights)
        samples[sample] = events
    return training_set(
        samples[recipe.sample],
        mixture(samples, ensemble.reference),
        names=ensemble.observables,
        max_events=ensemble.training.max_events,
        seed=derive_seed(recipe.analysis, ensemble.seed, recipe.name, recipe.process, "max_events"),
    )


def _network_names(recipe: TrainingRecipe) -> list[NetworkName]:
    """Return the networks of the block with their seeds, member by member."""
    key = (recipe.analysis, recipe.ensemble.seed, recipe.name, recipe.process, "nominal")
    return [
        NetworkName(member=member, fold=fold, seed=derive_seed(*key, member, fold))
        for member in recipe.members
        for fold in range(recipe.ensemble.folds)
    ]


def _write(
    task: Task[TrainingRecipe],
    architecture: Architecture,
    events: TrainingSet,
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
        labels={"ensemble": recipe.name, "process": recipe.process, "fold_seed": str(fold_seed)},
    )
    write_weights(task.output / "weights.safetensors", block)
    body = {
        "format": _FORMAT,
        "ensemble": recipe.name,
        "process": recipe.process,
        "sample": recipe.sample,
        "reference": dict(recipe.ensemble.reference),
        "region": recipe.ensemble.region,
        "members": list(recipe.members),
        "folds": recipe.ensemble.folds,
        "fold_seed": fold_seed,
        "architecture": architecture.to_json(),
        "device": {"backend": jax.default_backend(), "networks": strategy},
        "classes": {name: asdict(summary) for name, summary in events.summary().items()},
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


class FolderCheckpoints:
    """States of trainings as safetensors files in a folder; a damaged or foreign one counts as absent.

    Args:
        folder: belongs to one unit, whose key stands for recipe and inputs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Return the arrays kept under `name`, or None."""
        path = self._folder / f"{name}.safetensors"
        if not path.exists():
            return None
        try:
            kept = read_tensors(path)
        except IntegrityError as err:
            _log.warning("the checkpoint %s is left aside: %s", path.name, err.message)
            return None
        if kept.metadata != _checkpoint_metadata(kept.arrays):
            _log.warning("the checkpoint %s is left aside: other version or changed content", path.name)
            return None
        return kept.arrays

    def save(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the arrays under `name`, whole or not at all.

        Raises:
            EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self._folder / f"{name}.safetensors", arrays, _checkpoint_metadata(arrays))


def _checkpoint_metadata(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, object]:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return {"format": _CHECKPOINT_FORMAT, "jax": jax.__version__, "sha256": digest.hexdigest()}
