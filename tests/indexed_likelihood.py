"""A likelihood in the folder of a run: its two files, and the index that names them with their digest."""

from __future__ import annotations

from pathlib import Path

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.likelihood.model import LikelihoodModel

__all__ = ["write_indexed"]


def write_indexed(folder: Path, model: LikelihoodModel, *, path: str = ".") -> Path:
    """Write the likelihood below `folder`, an existing one, at `path`, and the index in `folder`; return the folder."""
    (folder / path).mkdir(exist_ok=True)
    write_likelihood(folder / path, model)
    entry = IndexEntry(kind="folder", path=path, sha256=sha256_file(folder / path / LIKELIHOOD_FILE))
    likelihoods = {model.name: entry}
    write_index(folder, Index(schema="likelihood-index/1.0.0", analysis="a", run_id="0" * 16, likelihoods=likelihoods))
    return folder
