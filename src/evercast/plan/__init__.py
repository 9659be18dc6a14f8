"""The plan of a run: stages, units of work, networks, blocks, keys and costs. Pure and light."""

from __future__ import annotations

from evercast.plan.document import plan_from_json, plan_to_json, recipe_from_json, unit_from_json
from evercast.plan.graph import make_plan, used_sources
from evercast.plan.model import FILE_PREFIX, IMAGE_PREFIX, STAGES, NetworkCount, Plan, Unit, UnitResources

__all__ = [
    "FILE_PREFIX",
    "IMAGE_PREFIX",
    "STAGES",
    "NetworkCount",
    "Plan",
    "Unit",
    "UnitResources",
    "make_plan",
    "plan_from_json",
    "plan_to_json",
    "recipe_from_json",
    "unit_from_json",
    "used_sources",
]
