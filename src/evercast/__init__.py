"""evercast: preserve, replay and reinterpret collider analyses whose result is a likelihood."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
