"""Stage serialization: the likelihoods of an analysis, built and written as they are published.

Output: ``likelihood/`` with ``workspace.json`` (pyhf), a folder for each other likelihood (the published one a neural
bundle) and ``index.json``.
"""

from __future__ import annotations

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.likelihood.assembly import assemble
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.spec.model import BinnedChannel, LikelihoodSpec
from evercast.stages.serialization.binned import binned_input
from evercast.stages.serialization.built import Built
from evercast.stages.serialization.bundle import write_bundle_manifest, write_neural
from evercast.stages.serialization.tables import Tables, physics_of
from evercast.stages.serialization.unbinned import unbinned_input
from evercast.stages.serialization.workspace import hidden_channels, run_id_of, write_signal_points, write_workspace

__all__ = ["run"]


def run(task: Task[SerializationRecipe]) -> None:
    """Build every likelihood of ``task.recipe`` and write it in ``task.output / "likelihood"``.

    Raises:
        InvalidInput: ``likelihood.empty-channel``, ``likelihood.negative-bin``, ``likelihood.empty-template``,
            ``likelihood.impossible-data``, ``likelihood.not-histfactory``, ``morphing.*``, ``systematic.identical``
            and what else is wrong with a systematic.
        IntegrityError: an input is damaged or does not go with the others.
        EnvironmentUnfit: the disk is full or read-only.
    """
    recipe, root, tables = task.recipe, task.output / "likelihood", Tables(task=task)
    root.mkdir()
    built = {name: _build(tables, name, spec) for name, spec in recipe.likelihoods.items()}
    entries: dict[str, IndexEntry] = {}
    hidden: tuple[str, ...] = ()
    published = recipe.publish.pyhf
    if published is not None:
        entry = write_workspace(task, root, built[published.likelihood])
        hidden = hidden_channels(recipe, built[published.likelihood])
        if not hidden:  # otherwise the data are in the folder of the likelihood, which says that it is blind
            entries[published.likelihood] = entry
    write_signal_points(task, root, built)
    neural = recipe.publish.neural_likelihood
    ensembles: dict[str, object] = {}
    for name, one in built.items():
        published_neural = neural is not None and neural.likelihood == name
        if name in entries and not published_neural:
            continue
        folder = root / name
        folder.mkdir()
        if published_neural:
            ensembles = write_neural(tables, folder, one)
        else:
            write_likelihood(folder, one.model, extra=one.extra)
        entry = IndexEntry(kind="folder", path=name, sha256=sha256_file(folder / LIKELIHOOD_FILE))
        entries.setdefault(name, entry)
    run_id = run_id_of(recipe.analysis, root, ensembles)
    if neural is not None:
        write_bundle_manifest(
            task, root / neural.likelihood, built[neural.likelihood], run_id=run_id, ensembles=ensembles
        )
    index = Index(
        schema="likelihood-index/1.0.0", analysis=recipe.analysis, run_id=run_id, likelihoods=entries,
        expected_in_workspace=hidden,
    )  # fmt: skip
    write_index(root, index)


def _build(tables: Tables, name: str, spec: LikelihoodSpec) -> Built:
    binned, unbinned, extra = [], [], {}
    physics = physics_of(tables.task.recipe)
    for key, channel in spec.channels.items():
        if isinstance(channel, BinnedChannel):
            binned.append(binned_input(tables, key, channel))
        else:
            made, beside = unbinned_input(tables, key, channel, physics)
            unbinned.append(made)
            extra[key] = beside
    model = assemble(name, title=spec.title, binned=binned, unbinned=unbinned, physics=physics)
    return Built(model=model, binned=tuple(binned), extra=extra)
