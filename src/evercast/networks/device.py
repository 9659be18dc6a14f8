"""How networks are run together on the device at hand."""

from __future__ import annotations

from typing import Literal

import jax

__all__ = ["network_strategy"]


def network_strategy() -> Literal["map", "vmap"]:
    """Return how networks are run together: one after the other on a CPU, all at once on a GPU."""
    return "map" if jax.default_backend() == "cpu" else "vmap"
