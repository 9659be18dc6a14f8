"""The published neural likelihood: its bundle with all networks, and its manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.bundle_manifest import manifest_of
from evercast.artifacts.bundle_networks import PolynomialNetworks, RatioNetworks
from evercast.artifacts.files import sha256_file
from evercast.artifacts.neural_bundle import MANIFEST_FILE, BundleEnsemble, write_bundle, write_manifest
from evercast.artifacts.ratio_networks import read_polynomial_networks, read_ratio_networks, read_variation_networks
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.spec.model import LikelihoodSpec, UnbinnedChannel
from evercast.stages.serialization.built import Built
from evercast.stages.serialization.tables import Tables
from evercast.stages.serialization.workspace import WORKSPACE_FILE

__all__ = ["write_bundle_manifest", "write_neural"]

_LOG = logging.getLogger(__name__)
_N_VECTORS: Final = 64


def _disclosure(recipe: SerializationRecipe) -> str:
    published = recipe.publish.neural_likelihood
    return "ratios" if published is None else published.disclosure


def _with_points(recipe: SerializationRecipe) -> bool:
    """Return whether simulated events may be given away."""
    published = recipe.publish.neural_likelihood
    return published is None or published.support == "points"


def _title(recipe: SerializationRecipe, spec: LikelihoodSpec) -> str:
    return recipe.title if spec.title is None else f"{recipe.title}: {spec.title}"


def write_neural(tables: Tables, folder: Path, built: Built) -> dict[str, object]:
    """Write the bundle without its manifest and return what that says of the ensembles."""
    recipe = tables.task.recipe
    channels = recipe.likelihoods[built.model.name].channels.values()
    names = dict.fromkeys(channel.ensemble for channel in channels if isinstance(channel, UnbinnedChannel))
    return write_bundle(
        folder,
        built.model,
        title=_title(recipe, recipe.likelihoods[built.model.name]),
        ensembles={name: _bundle_ensemble(tables, name) for name in names},
        extra=built.extra,
        with_networks=_disclosure(recipe) != "ratios",
    )


def write_bundle_manifest(
    task: Task[SerializationRecipe], folder: Path, built: Built, *, run_id: str, ensembles: Mapping[str, object]
) -> None:
    """Write the manifest of the bundle in `folder`, after all its other files."""
    workspace = folder.parent / WORKSPACE_FILE
    manifest = manifest_of(
        task.recipe,
        built.model,
        disclosure=_disclosure(task.recipe),
        run_id=run_id,
        workspace_sha256=sha256_file(workspace) if workspace.is_file() else None,
    )
    write_manifest(folder, manifest, ensembles=ensembles)
    _LOG.info("%s: %s", folder.name, MANIFEST_FILE)


def _bundle_ensemble(tables: Tables, name: str) -> BundleEnsemble:
    recipe = tables.task.recipe
    ensemble = recipe.ensembles[name]
    blocks = {process: _blocks(tables, f"block.{name}.{process}") for process in ensemble.processes}
    ratios = read_ratio_networks(
        tables.input(f"evaluation_{name}"), ensemble=name, members=ensemble.members, blocks=blocks
    )
    events = [tables.sample(sample, ensemble.region).columns(ensemble.observables) for sample in ensemble.reference]
    return BundleEnsemble(
        spec=ensemble,
        ratios=ratios,
        inputs=_vector_inputs(np.concatenate(events), seed=None if _with_points(recipe) else ensemble.seed),
        variations=_variations(tables, name),
        polynomials=_polynomials(tables, name),
    )


def _variations(tables: Tables, name: str) -> dict[str, dict[str, dict[str, RatioNetworks]]]:
    """Return the networks of the varied densities: parameter -> process -> direction."""
    ensemble = tables.task.recipe.ensembles[name]
    prefix = f"variation.{name}."
    found = {}
    for parameter in [key.removeprefix(prefix) for key in tables.task.inputs if key.startswith(prefix)]:
        blocks: dict[str, dict[str, list[Path]]] = {}
        for process in ensemble.processes:
            for side in ("up", "down"):
                files = _blocks(tables, f"variation_block.{name}.{parameter}.{process}.{side}")
                if files:
                    blocks.setdefault(process, {})[side] = files
        found[parameter] = read_variation_networks(
            tables.input(prefix + parameter),
            ensemble=name,
            parameter=parameter,
            members=ensemble.morphing.members or ensemble.members,
            blocks=blocks,
        )
    return found


def _polynomials(tables: Tables, name: str) -> dict[str, PolynomialNetworks]:
    if f"polynomial.{name}" not in tables.task.inputs:
        return {}
    ensemble = tables.task.recipe.ensembles[name]
    blocks = {process: _blocks(tables, f"polynomial_block.{name}.{process}") for process in ensemble.processes}
    return read_polynomial_networks(
        tables.input(f"polynomial.{name}"),
        ensemble=name,
        members=ensemble.morphing.members or ensemble.members,
        blocks={process: files for process, files in blocks.items() if files},
    )


def _blocks(tables: Tables, prefix: str) -> list[Path]:
    """Return the weight files of the inputs ``PREFIX.0``, ``PREFIX.1``, ... as far as there are any."""
    found: list[Path] = []
    while (key := f"{prefix}.{len(found)}") in tables.task.inputs:
        found.append(tables.input(key) / "weights.safetensors")
    return found


def _vector_inputs(
    observables: Float64[np.ndarray, "events observables"], *, seed: int | None
) -> Float64[np.ndarray, "chosen observables"]:
    """Return simulated events spread over the sample, its edges, and two points outside of it.

    With a seed there are no events: each observable has a value between those of the sample, at a quantile of its own.

    Edges: all minima, all maxima, the middle; the middle with one observable at its minimum or maximum. Outside: all
    observables a tenth of their range below the minimum, above the maximum.
    """
    if seed is None:
        chosen = observables[np.linspace(0, len(observables) - 1, _N_VECTORS).astype(int)]
    else:
        at = np.random.default_rng(seed).uniform(0.0, 1.0, size=(_N_VECTORS, observables.shape[1]))
        columns = zip(observables.T, at.T, strict=True)
        chosen = np.stack([np.quantile(column, levels) for column, levels in columns], axis=1)
    low, high, middle = observables.min(axis=0), observables.max(axis=0), np.median(observables, axis=0)
    edges = np.tile(middle, (2 * len(middle), 1))
    for column in range(len(middle)):
        edges[2 * column, column], edges[2 * column + 1, column] = low[column], high[column]
    step = 0.1 * (high - low)
    return np.concatenate([chosen, [low, high, middle], edges, [low - step, high + step]])
