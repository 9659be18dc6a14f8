"""Which devices networks are run on, and how they are run together there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

__all__ = ["EVENTS", "NETWORKS", "along", "mesh_of", "network_devices", "network_strategy"]

NETWORKS: Final = "networks"
"""Axis of a mesh of devices along which networks are spread."""
EVENTS: Final = "events"
"""The same for events."""

_DEFAULT_DEVICE: Final = "jax_default_device"  # JAX has no type for it


def network_devices() -> tuple[jax.Device, ...]:
    """Return the devices of this process: its GPUs, or as many parts of the CPU as it has threads.

    Where another default device than the first was set (``jax_default_device``), it is that one alone.
    """
    chosen = getattr(jax.config, _DEFAULT_DEVICE)
    return (chosen,) if isinstance(chosen, jax.Device) else tuple(jax.local_devices())


def network_strategy() -> Literal["map", "vmap"]:
    """Return how networks are run together: one after the other on a CPU, all at once on a GPU."""
    return "map" if network_devices()[0].platform == "cpu" else "vmap"


def mesh_of(devices: Sequence[jax.Device], axis: str) -> Mesh | None:
    """Return the devices as a mesh of one axis; None for a single one, which needs none."""
    return Mesh(np.array(devices), (axis,)) if len(devices) > 1 else None


def along(*axes: str) -> PartitionSpec:
    """Return how an array is spread: its first axis along that of a mesh, or without a name whole on every device."""
    return PartitionSpec(*axes)  # type: ignore[no-untyped-call]  # JAX has no types for it
