"""The functions and names that the expression language knows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["COEFFICIENT_FUNCTIONS", "FUNCTIONS", "ITEM_PROPERTIES"]

FUNCTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(("abs", "sqrt", "log", "exp", "sin", "cos", "tan", "cosh", "sinh", "tanh", "floor"), (1, 1)),
        "atan2": (2, 2),
        "where": (3, 3),
        "min": (1, 8),
        "max": (1, 8),
        **dict.fromkeys(("sum", "any", "all", "count"), (1, 1)),
        **dict.fromkeys(("mass", "pt", "eta", "phi", "energy", "px", "py", "pz", "rapidity", "charge", "pdg"), (1, 1)),
        "delta_r": (2, 2),
        "delta_phi": (2, 2),
        "cos_theta_star": (2, 2),
        "cos_helicity": (3, 3),
        "phi_planes": (4, 4),
        "phi1_plane": (4, 4),
    }
)
"""Function name to the least and the largest number of arguments."""

COEFFICIENT_FUNCTIONS = frozenset({"sqrt", "exp", "log", "abs", "min", "max", "sin", "cos", "tanh"})
"""Functions that a coefficient of a process may use."""

ITEM_PROPERTIES = frozenset({"pt", "eta", "phi", "energy", "px", "py", "pz", "pdg", "charge", "mass"})
"""Names that the expressions of `objects` may use: properties of the item."""
