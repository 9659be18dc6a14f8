"""The document: read, checked, frozen.

`load_analysis` is imported when it is first used: a stage that needs the model only does not pay for the checks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evercast.spec.schema import analysis_from_json, analysis_to_json, load_analysis

__all__ = ["analysis_from_json", "analysis_to_json", "load_analysis"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module("evercast.spec.schema"), name)
    raise AttributeError(f"module 'evercast.spec' has no attribute '{name}'")
