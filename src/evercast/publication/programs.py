"""Programs that a bundle may carry: those of evercast, known by their digest. None is ever run by evercast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["KNOWN_PROGRAMS", "SHIPPED"]

KNOWN_PROGRAMS: Final[Mapping[str, Mapping[str, str]]] = {
    "read_numpy.py": {
        "0.1.0": "e6f5b8fcde527d2f9bf3e89d93e0615374fe58c20fd73098413647a89f229a45",
    },
    "read_onnx.py": {
        "0.1.0": "701770caed5236b2a7c4eaffd778deae36fec739eb6cf0c97e98d63e4fc60db1",
    },
    "read_projection.py": {"0.1.0": "2f646e369e0351e55952b5c5b4f37358295ded89945a9f5f3407409beed8f724"},
}
"""Name of a program in a bundle -> version of evercast that changed it -> sha256. A released entry is never changed:
bundles that were published with it must stay verifiable."""

SHIPPED: Final = "shipped"
"""Folder of this package with the programs of this version."""
