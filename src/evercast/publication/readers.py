"""The programs that a bundle carries for readers without evercast."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from evercast.artifacts.files import atomic_write_bytes
from evercast.publication.bundle_context import BundleContext

__all__ = ["add_readers", "write_readers"]


def add_readers(folder: Path, context: BundleContext) -> dict[str, object]:  # noqa: ARG001 - one signature for all
    """Write the readers into a bundle; a contributor of `evercast.publication.bundle`.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    return write_readers(folder)


def write_readers(folder: Path) -> dict[str, object]:
    """Write ``read_numpy.py``, and ``read_onnx.py`` where the folder holds ONNX graphs; return what they need.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    needs = {"read_numpy.py": ["numpy"]}
    if any(folder.glob("*.onnx")):
        needs["read_onnx.py"] = ["numpy", "onnxruntime"]
    shipped = files("evercast.publication") / "shipped"
    for name in needs:
        atomic_write_bytes(folder / name, (shipped / name).read_bytes())
    return {name: {"packages": packages} for name, packages in needs.items()}
