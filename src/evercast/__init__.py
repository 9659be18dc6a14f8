"""evercast: preserve, replay and reinterpret collider analyses whose result is a likelihood.

>>> import evercast
>>> likelihood = evercast.open_likelihood("FOLDER")  # doctest: +SKIP
>>> likelihood.fit().value("mu")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["OpenedLikelihood", "__version__", "open_likelihood"]

__version__ = "0.1.0"

_LATER = {"OpenedLikelihood": "evercast.interop.opened", "open_likelihood": "evercast.interop.opened"}
"""Names that are imported when they are asked for: ``import evercast`` stays fast, and needs none of its packages."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
