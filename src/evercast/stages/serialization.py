"""Stage serialization: the likelihoods of an analysis, built and written as they are published.

Output: ``likelihood/`` with ``workspace.json`` (pyhf), a folder for each other likelihood (the published one a neural
bundle) and ``index.json``.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyhf
from jaxtyping import Float64

from evercast.artifacts.bundle_manifest import manifest_of
from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.files import atomic_write_json, canonical_json, sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, ExtraEvents, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.artifacts.neural_bundle import MANIFEST_FILE, BundleEnsemble, write_bundle, write_manifest
from evercast.artifacts.ratios import read_log_ratios, read_ratio_networks
from evercast.errors import InvalidInput
from evercast.events.histograms import read_histogram
from evercast.likelihood.assembly import BinnedInput, Physics, Template, UnbinnedInput, assemble, to_workspace
from evercast.likelihood.coefficients import evaluate_coefficient
from evercast.likelihood.model import EventSet, LikelihoodModel
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.spec.expressions import parse_coefficient
from evercast.spec.model import BinnedChannel, LikelihoodSpec, UnbinnedChannel

__all__ = ["run"]

_LOG = logging.getLogger(__name__)
_WORKSPACE_FILE: Final = "workspace.json"
_N_VECTORS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Built:
    """A likelihood and what is stored beside its events."""

    model: LikelihoodModel
    binned: tuple[BinnedInput, ...]
    extra: Mapping[str, ExtraEvents]


def run(task: Task[SerializationRecipe]) -> None:
    """Build every likelihood of ``task.recipe`` and write it in ``task.output / "likelihood"``.

    Raises:
        InvalidInput: ``likelihood.empty-channel``, ``likelihood.negative-bin``, ``likelihood.empty-template``,
            ``likelihood.impossible-data``, ``likelihood.not-histfactory``.
        IntegrityError: an input is damaged or does not go with the others.
        EnvironmentUnfit: the disk is full or read-only.
    """
    recipe, root = task.recipe, task.output / "likelihood"
    root.mkdir()
    built = {name: _build(task, name, spec) for name, spec in recipe.likelihoods.items()}
    entries: dict[str, IndexEntry] = {}
    published = recipe.publish.pyhf
    if published is not None:
        entries[published.likelihood] = _write_workspace(task, root, built[published.likelihood])
    neural = recipe.publish.neural_likelihood
    ensembles: dict[str, object] = {}
    for name, one in built.items():
        published_neural = neural is not None and neural.likelihood == name
        if name in entries and not published_neural:
            continue
        folder = root / name
        folder.mkdir()
        if published_neural:
            ensembles = _write_neural(task, folder, one)
        else:
            write_likelihood(folder, one.model, extra=one.extra)
        entry = IndexEntry(kind="folder", path=name, sha256=sha256_file(folder / LIKELIHOOD_FILE))
        entries.setdefault(name, entry)
    run_id = _run_id(recipe.analysis, root, ensembles)
    if neural is not None:
        _write_manifest(task, root / neural.likelihood, built[neural.likelihood], run_id=run_id, ensembles=ensembles)
    index = Index(schema="likelihood-index/1.0.0", analysis=recipe.analysis, run_id=run_id, likelihoods=entries)
    write_index(root, index)


def _physics(recipe: SerializationRecipe) -> Physics:
    return Physics(parameters=recipe.parameters, processes=recipe.processes, systematics=recipe.systematics)


def _build(task: Task[SerializationRecipe], name: str, spec: LikelihoodSpec) -> _Built:
    binned, unbinned, extra = [], [], {}
    for key, channel in spec.channels.items():
        if isinstance(channel, BinnedChannel):
            binned.append(_binned_input(task, key, channel))
        else:
            made, beside = _unbinned_input(task, key, channel)
            unbinned.append(made)
            extra[key] = beside
    model = assemble(name, title=spec.title, binned=binned, unbinned=unbinned, physics=_physics(task.recipe))
    return _Built(model=model, binned=tuple(binned), extra=extra)


def _table(task: Task[SerializationRecipe], sample: str, region: str) -> EventTable:
    return read_event_table(task.inputs[f"sample_{sample}"] / "events.zarr").in_region(region)


def _simulated(task: Task[SerializationRecipe], process: str, region: str, *, channel: str) -> EventTable:
    sample = task.recipe.processes[process].sample
    table = _table(task, sample, region)
    total = float(table.weight.sum())
    if len(table) == 0 or total <= 0:
        raise InvalidInput(
            f"process {process!r} has {len(table)} simulated events of sample {sample!r} in region {region!r}, sum of "
            f"weights {total:.6g}; the sum must be positive",
            code="likelihood.empty-channel",
            where=f"channel {channel}",
            hint="look at the cut flow of the sample, or leave the process out of the channel",
        )
    return table


def _binned_input(task: Task[SerializationRecipe], name: str, channel: BinnedChannel) -> BinnedInput:
    data = _table(task, task.recipe.data_sample, channel.region)
    values = data.columns([channel.observable])[:, 0]
    observed, _ = np.histogram(values, np.asarray(channel.edges))
    if observed.sum() != len(values):
        outside = len(values) - int(observed.sum())
        _LOG.warning("channel %s: %d observed events lie outside of the bins and do not count", name, outside)
    templates = tuple(_template(task, name, channel, process) for process in channel.processes)
    return BinnedInput(name=name, templates=templates, observed=observed.astype(np.float64))


def _template(task: Task[SerializationRecipe], name: str, channel: BinnedChannel, process: str) -> Template:
    """Return the template of a process: a published histogram, or the selected events where there is none."""
    published = None if task.recipe.pseudo is not None else channel.templates.get(process)
    if published is not None:
        histogram = task.recipe.histograms[published]
        paths = [task.inputs[f"source_{term.source}"] for term in histogram.terms]
        what = f"the histogram {published} of {process} in channel {name}"
        binned = read_histogram(histogram, paths).rebin(channel.edges, what=what)
        nominal, variance = binned.values, binned.variances
    else:
        table = _simulated(task, process, channel.region, channel=name)
        values = table.columns([channel.observable])[:, 0]
        edges = np.asarray(channel.edges)
        nominal = np.histogram(values, edges, weights=table.weight)[0]
        variance = np.histogram(values, edges, weights=table.weight**2)[0]
    return Template(process=process, nominal=nominal, variance=variance if channel.mc_statistics else None)


def _unbinned_input(
    task: Task[SerializationRecipe], name: str, channel: UnbinnedChannel
) -> tuple[UnbinnedInput, ExtraEvents]:
    recipe = task.recipe
    ensemble = recipe.ensembles[channel.ensemble]
    evaluation = task.inputs[f"evaluation_{channel.ensemble}"]
    data = _table(task, recipe.data_sample, ensemble.region)
    observed = EventSet(
        log_ratio=read_log_ratios(evaluation, recipe.data_sample, table=data, processes=ensemble.processes),
        weight=data.weight,
    )
    initial = {key: parameter.initial for key, parameter in recipe.parameters.items()}
    yields, ratios, weights, origins = {}, [], [], []
    for position, process in enumerate(ensemble.processes):
        table = _simulated(task, process, ensemble.region, channel=name)
        sample = recipe.processes[process].sample
        coefficient = evaluate_coefficient(parse_coefficient(recipe.processes[process].coefficient), initial)
        yields[process] = float(table.weight.sum())
        ratios.append(read_log_ratios(evaluation, sample, table=table, processes=ensemble.processes))
        weights.append(coefficient * table.weight)
        origins.append(np.full(len(table), position, dtype=np.int32))
    simulation = EventSet(log_ratio=np.concatenate(ratios), weight=np.concatenate(weights))
    published = recipe.publish.neural_likelihood
    disclosed = published is not None and published.disclosure == "events"
    extra = ExtraEvents(
        asimov_process=np.concatenate(origins), observables=data.columns(ensemble.observables) if disclosed else None
    )
    return UnbinnedInput(name=name, yields=yields, observed=observed, simulation=simulation), extra


def _write_workspace(task: Task[SerializationRecipe], root: Path, built: _Built) -> IndexEntry:
    published = task.recipe.publish.pyhf
    if published is None or len(built.binned) != len(built.model.channels):
        raise InvalidInput(
            f"likelihood {built.model.name!r} has an unbinned channel, which HistFactory cannot express",
            code="likelihood.not-histfactory",
            where="$.publish.pyhf.likelihood",
            hint="publish it as neural_likelihood",
        )
    workspace = to_workspace(built.binned, _physics(task.recipe), measurement=published.measurement)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="jsonschema.RefResolver", category=DeprecationWarning)  # pyhf's
            pyhf.Workspace(workspace)
    except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.InvalidModel) as err:
        raise InvalidInput(
            f"pyhf does not accept the workspace: {err}", code="likelihood.not-pyhf", where="$.publish.pyhf"
        ) from err
    path = root / _WORKSPACE_FILE
    atomic_write_json(path, workspace)
    return IndexEntry(
        kind="workspace", path=_WORKSPACE_FILE, sha256=sha256_file(path), measurement=published.measurement
    )


def _run_id(analysis: str, root: Path, ensembles: Mapping[str, object]) -> str:
    """Return a name that follows from all that is serialized here: every file, and what the manifest says of networks.

    Args:
        analysis: its name.
        root: with the workspace and every likelihood, and neither a manifest nor an index yet.
        ensembles: of the neural bundle, with the normalisation and calibration of each ratio.
    """
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    digests = {name: sha256_file(path) for name, path in sorted(files.items())}
    return hashlib.sha256(canonical_json([analysis, digests, ensembles])).hexdigest()[:16]


def _disclosure(recipe: SerializationRecipe) -> str:
    published = recipe.publish.neural_likelihood
    return "ratios" if published is None else published.disclosure


def _title(recipe: SerializationRecipe, spec: LikelihoodSpec) -> str:
    return recipe.title if spec.title is None else f"{recipe.title}: {spec.title}"


def _write_neural(task: Task[SerializationRecipe], folder: Path, built: _Built) -> dict[str, object]:
    """Write the bundle without its manifest and return what that says of the ensembles."""
    recipe = task.recipe
    channels = recipe.likelihoods[built.model.name].channels.values()
    names = dict.fromkeys(channel.ensemble for channel in channels if isinstance(channel, UnbinnedChannel))
    return write_bundle(
        folder,
        built.model,
        title=_title(recipe, recipe.likelihoods[built.model.name]),
        ensembles={name: _bundle_ensemble(task, name) for name in names},
        extra=built.extra,
        with_networks=_disclosure(recipe) != "ratios",
    )


def _write_manifest(
    task: Task[SerializationRecipe], folder: Path, built: _Built, *, run_id: str, ensembles: Mapping[str, object]
) -> None:
    workspace = folder.parent / _WORKSPACE_FILE
    manifest = manifest_of(
        task.recipe,
        built.model,
        disclosure=_disclosure(task.recipe),
        run_id=run_id,
        workspace_sha256=sha256_file(workspace) if workspace.is_file() else None,
    )
    write_manifest(folder, manifest, ensembles=ensembles)
    _LOG.info("%s: %s", folder.name, MANIFEST_FILE)


def _bundle_ensemble(task: Task[SerializationRecipe], name: str) -> BundleEnsemble:
    recipe = task.recipe
    ensemble = recipe.ensembles[name]
    blocks = {
        process: [folder / "weights.safetensors" for folder in _blocks(task.inputs, f"block.{name}.{process}")]
        for process in ensemble.processes
    }
    ratios = read_ratio_networks(
        task.inputs[f"evaluation_{name}"], ensemble=name, members=ensemble.members, blocks=blocks
    )
    tables = [_table(task, sample, ensemble.region).columns(ensemble.observables) for sample in ensemble.reference]
    return BundleEnsemble(spec=ensemble, ratios=ratios, inputs=_vector_inputs(np.concatenate(tables)))


def _blocks(inputs: Mapping[str, Path], prefix: str) -> list[Path]:
    """Return the inputs ``PREFIX.0``, ``PREFIX.1``, ... as far as there are any."""
    found: list[Path] = []
    while (key := f"{prefix}.{len(found)}") in inputs:
        found.append(inputs[key])
    return found


def _vector_inputs(observables: Float64[np.ndarray, "events observables"]) -> Float64[np.ndarray, "chosen observables"]:
    """Return simulated events spread over the sample, and its corners: all minima, all maxima, the middle."""
    rows = np.linspace(0, len(observables) - 1, _N_VECTORS).astype(int)
    corners = [observables.min(axis=0), observables.max(axis=0), np.median(observables, axis=0)]
    return np.concatenate([observables[rows], corners])
