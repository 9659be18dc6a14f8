"""The pyhf workspace of the published binned likelihood, and the name of a run."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyhf

from evercast.artifacts.files import atomic_write_json, canonical_json, sha256_file
from evercast.artifacts.likelihood_folder import IndexEntry
from evercast.errors import InvalidInput
from evercast.likelihood.assembly import BinnedInput, to_workspace
from evercast.likelihood.evaluate import Likelihood
from evercast.plan.recipes import SerializationRecipe, Task
from evercast.stages.serialization.built import Built
from evercast.stages.serialization.tables import physics_of

__all__ = ["WORKSPACE_FILE", "hidden_channels", "run_id_of", "write_signal_points", "write_workspace"]

_LOG = logging.getLogger(__name__)

WORKSPACE_FILE: Final = "workspace.json"
SIGNAL_POINTS_FOLDER: Final = "signal-points"
"""With a hyphen, which no name of a likelihood has."""


def hidden_channels(recipe: SerializationRecipe, built: Built) -> tuple[str, ...]:
    """Return the channels whose observed counts must not leave in a workspace, which cannot say that it is blind."""
    return () if recipe.unblind else tuple(channel.name for channel in built.model.channels if channel.blind)


def write_workspace(task: Task[SerializationRecipe], root: Path, built: Built) -> IndexEntry:
    """Write the published binned likelihood as a pyhf workspace and return its entry in the index.

    Blind channels get the counts expected at the initial values, unless the recipe is unblind.

    Raises:
        InvalidInput: ``likelihood.not-histfactory``, ``likelihood.not-pyhf``.
    """
    published = task.recipe.publish.pyhf
    if published is None or len(built.binned) != len(built.model.channels):
        raise InvalidInput(
            f"likelihood {built.model.name!r} has an unbinned channel, which HistFactory cannot express",
            code="likelihood.not-histfactory",
            where="$.publish.pyhf.likelihood",
            hint="publish it as neural_likelihood",
        )
    path = root / WORKSPACE_FILE
    _write(task, path, built, measurement=published.measurement)
    return IndexEntry(
        kind="workspace",
        path=WORKSPACE_FILE,
        sha256=sha256_file(path),
        measurement=published.measurement,
        blind=tuple(channel.name for channel in built.model.channels if channel.blind),
    )


def write_signal_points(task: Task[SerializationRecipe], root: Path, built: Mapping[str, Built]) -> None:
    """Write the workspace of every signal point that the document publishes as ``signal-points/NAME.json``.

    Raises:
        InvalidInput: ``likelihood.not-histfactory``, ``likelihood.not-pyhf``.
    """
    published = task.recipe.publish.pyhf
    if published is None or published.signal_points is None:
        return
    folder = root / SIGNAL_POINTS_FOLDER
    folder.mkdir()
    for name, point in published.signal_points.points.items():
        _write(task, folder / f"{name}.json", built[point.likelihood], measurement=published.measurement)


def _write(task: Task[SerializationRecipe], path: Path, built: Built, *, measurement: str) -> None:
    workspace = to_workspace(_exported(task.recipe, built), physics_of(task.recipe), measurement=measurement)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="jsonschema.RefResolver", category=DeprecationWarning)  # pyhf's
            pyhf.Workspace(workspace)
    except (pyhf.exceptions.InvalidSpecification, pyhf.exceptions.InvalidModel) as err:
        raise InvalidInput(
            f"pyhf does not accept the workspace: {err}", code="likelihood.not-pyhf", where="$.publish.pyhf"
        ) from err
    atomic_write_json(path, workspace)


def _exported(recipe: SerializationRecipe, built: Built) -> tuple[BinnedInput, ...]:
    """Return the channels with expected counts in blind ones."""
    hidden = hidden_channels(recipe, built)
    if not hidden:
        return built.binned
    _LOG.warning("%s: the counts of the blind channels %s are expected ones", WORKSPACE_FILE, ", ".join(hidden))
    likelihood = Likelihood(built.model)
    expected = likelihood.expected_events(likelihood.initial)
    return tuple(replace(one, observed=expected[one.name]) if one.name in hidden else one for one in built.binned)


def run_id_of(analysis: str, root: Path, ensembles: Mapping[str, object]) -> str:
    """Return a name that follows from all that is serialized here: every file, and what the manifest says of networks.

    Args:
        analysis: its name.
        root: with the workspace and every likelihood, and neither a manifest nor an index yet.
        ensembles: of the neural bundle, with the normalisation and calibration of each ratio.
    """
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    digests = {name: sha256_file(path) for name, path in sorted(files.items())}
    return hashlib.sha256(canonical_json([analysis, digests, ensembles])).hexdigest()[:16]
