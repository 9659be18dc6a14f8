"""The folder ``likelihood/`` of a run: every likelihood of an analysis, found by name.

``index.json`` says for each whether it is a pyhf workspace or a folder that `evercast.artifacts.likelihood_file` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Int

from evercast.artifacts.files import atomic_write_json, read_json, sha256_file
from evercast.artifacts.likelihood_file import read_likelihood, read_origins
from evercast.errors import IntegrityError, InvalidInput
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import LikelihoodModel
from evercast.spec.codec import from_json, to_json

__all__ = [
    "INDEX_FILE", "Index", "IndexEntry", "Publication", "open_likelihood", "open_origins", "read_index",
    "write_index",
]  # fmt: skip

INDEX_FILE: Final = "index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """Where a likelihood is.

    Args:
        kind: a pyhf workspace, or a folder with ``likelihood.json``.
        path: relative to ``likelihood/``.
        sha256: of the workspace, or of the folder's ``likelihood.json``.
        measurement: of the workspace.
        blind: channels of a workspace whose observed results are computed only where that is asked for; a workspace
            cannot say it itself.
    """

    kind: Literal["workspace", "folder"]
    path: str
    sha256: str
    measurement: str | None = None
    blind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Whether the checks of the run let it be published, as in ``diagnostics.json``.

    Args:
        red: ids of the red checks.
        overridden: id of a red check -> the written reason why the result is published all the same.
    """

    allowed: bool
    red: tuple[str, ...] = ()
    overridden: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All likelihoods of a run.

    Args:
        run_id: shared by everything that was serialized together; it follows from their content.
        publication: None until the checks are made: it is added in the run folder.
        expected_in_workspace: blind channels whose counts in ``workspace.json`` are expected ones, not observed.
    """

    schema: Literal["likelihood-index/1.0.0"]
    analysis: str
    run_id: str
    likelihoods: Mapping[str, IndexEntry]
    publication: Publication | None = None
    expected_in_workspace: tuple[str, ...] = ()


def write_index(folder: Path, index: Index) -> None:
    """Write the index in the folder ``likelihood/``.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    atomic_write_json(folder / INDEX_FILE, to_json(index))


def read_index(folder: Path) -> Index:
    """Return the index of the folder ``likelihood/``.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    path = folder / INDEX_FILE
    try:
        return from_json(Index, read_json(path))
    except InvalidInput as err:
        raise IntegrityError(f"not an index: {err.message}", code="likelihood.index", where=str(path)) from err


def open_likelihood(folder: Path, name: str) -> LikelihoodModel:
    """Return the likelihood `name` of the folder ``likelihood/``, with its observed data.

    Raises:
        InvalidInput: ``likelihood.unknown``, with the names there are.
        IntegrityError: a file is missing, damaged, or not the one that the index names.
    """
    index = read_index(folder)
    entry = index.likelihoods.get(name)
    if entry is None:
        raise InvalidInput(
            f"there is no likelihood {name!r}; there are: {', '.join(index.likelihoods) or 'none'}",
            code="likelihood.unknown",
            where=str(folder),
        )
    path = _inside(folder, entry.path)
    file = path if entry.kind == "workspace" else path / "likelihood.json"
    found = sha256_file(file)
    if found != entry.sha256:
        raise IntegrityError(
            f"the file has sha256 {found}; the index says {entry.sha256}",
            code="likelihood.digest",
            where=str(file),
            hint="evercast run makes it anew; a published bundle must be fetched again",
        )
    if entry.kind == "folder":
        return read_likelihood(path)
    body = read_json(path)
    if not isinstance(body, dict):
        raise IntegrityError("the workspace is not an object", code="likelihood.format", where=str(path))
    model = read_workspace(body, measurement=entry.measurement, name=name)
    channels = tuple(replace(channel, blind=channel.name in entry.blind) for channel in model.channels)
    return replace(model, channels=channels)


def open_origins(folder: Path, name: str) -> dict[str, Int[np.ndarray, " simulated"]]:
    """Return unbinned channel -> which component each simulated event of the likelihood `name` is of; see its file.

    Raises:
        IntegrityError: index or file are missing or damaged.
    """
    entry = read_index(folder).likelihoods.get(name)
    return {} if entry is None or entry.kind == "workspace" else read_origins(_inside(folder, entry.path))


def _inside(folder: Path, relative: str) -> Path:
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts:
        raise IntegrityError(
            f"the index points to {relative!r}, which is outside of its folder",
            code="likelihood.index",
            where=str(folder / INDEX_FILE),
        )
    return folder / path
