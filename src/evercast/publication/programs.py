"""Programs that a bundle may carry: those of evercast, known by their digest. None is ever run by evercast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["KNOWN_PROGRAMS", "SHIPPED"]

KNOWN_PROGRAMS: Final[Mapping[str, Mapping[str, str]]] = {
    "read_numpy.py": {
        "0.1.0": "1dcd2a11e46456d287adfb186491f50987e5e1ad7aa397e8c662b6c9ca4506dd",
    },
    "read_onnx.py": {
        "0.1.0": "281177e8e04dcf404330c707742bc46342c7a2537dfc6e698beb3af5c8a50699",
    },
    "read_projection.py": {"0.1.0": "2433d0a2b171503ed76085ef85dcea992d290f101dfe34af31355a603fb9fb7a"},
}
"""Name of a program in a bundle -> version of evercast that changed it -> sha256. A released entry is never changed:
bundles that were published with it must stay verifiable."""

SHIPPED: Final = "shipped"
"""Folder of this package with the programs of this version."""
