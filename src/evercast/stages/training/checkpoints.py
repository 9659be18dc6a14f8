"""States of trainings in a folder that survives a kill."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jax
import numpy as np
from numpy.typing import NDArray

from evercast.artifacts.weights import read_tensors, write_tensors
from evercast.errors import IntegrityError

__all__ = ["FolderCheckpoints"]

_log = logging.getLogger(__name__)
_CHECKPOINT_FORMAT: Final = "training-checkpoint/2.0.0"


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
