"""A plan as JSON and back; this is what a run freezes and what its jobs read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from evercast.errors import IntegrityError
from evercast.plan.model import NetworkCount, Plan, Unit, UnitResources
from evercast.plan.recipes import (
    CommandRecipe,
    DiagnosticsRecipe,
    EvaluationRecipe,
    FetchRecipe,
    FitRecipe,
    GenerationRecipe,
    Recipe,
    ReportRecipe,
    SelectionRecipe,
    SerializationRecipe,
    StageName,
    StudyRecipe,
    ToysRecipe,
    TrainingRecipe,
    TrainingStatisticsRecipe,
)
from evercast.spec.codec import from_json, to_json

__all__ = ["SCHEMA", "plan_from_json", "plan_to_json", "recipe_from_json", "unit_from_json"]

SCHEMA: Final = "plan/1.0.0"

_RECIPES: Final[Mapping[StageName, type[Recipe]]] = {
    "fetch": FetchRecipe, "generation": GenerationRecipe, "command": CommandRecipe, "selection": SelectionRecipe,
    "training": TrainingRecipe, "evaluation": EvaluationRecipe, "serialization": SerializationRecipe, "fit": FitRecipe,
    "toys": ToysRecipe, "study": StudyRecipe, "training_statistics": TrainingStatisticsRecipe,
    "diagnostics": DiagnosticsRecipe, "report": ReportRecipe,
}  # fmt: skip


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "pseudo": plan.pseudo,
        "digest": plan.digest,
        "networks": to_json(plan.networks),
        "files": to_json(plan.files),
        "units": [to_json(unit) for unit in plan.units],
    }


def plan_from_json(body: object, *, only: Collection[str] | None = None) -> Plan:
    """Return the plan that `plan_to_json` gave; with `only`, of its units only these and those they need.

    Raises:
        IntegrityError: ``plan.damaged``: it is no plan, or of another schema version.
        InvalidInput: ``json.structure``.
    """
    content = _content(body)
    return Plan(
        name=content["name"],
        pseudo=content["pseudo"],
        digest=content["digest"],
        units=tuple(unit_from_json(unit) for unit in _wanted(content["units"], only)),
        networks=tuple(from_json(NetworkCount, count) for count in content["networks"]),
        files=content["files"],
    )


def _wanted(units: Sequence[Mapping[str, Any]], only: Collection[str] | None) -> Sequence[Mapping[str, Any]]:
    if only is None:
        return units
    asked = frozenset(only)
    wanted = set(asked)
    for unit in units:
        if unit["id"] in asked:
            wanted.update(value.split(":", 1)[0] for value in unit["inputs"].values())
    return [unit for unit in units if unit["id"] in wanted]


def unit_from_json(body: Mapping[str, Any]) -> Unit:
    """Return one unit of a plan.

    Raises:
        InvalidInput: ``json.structure``.
    """
    recipe = recipe_from_json(body["stage"], body["recipe"])
    return Unit(
        id=body["id"], stage=body["stage"], name=body["name"], key=body["key"], recipe=recipe, inputs=body["inputs"],
        resources=from_json(UnitResources, body["resources"]), networks=body["networks"],
    )  # fmt: skip


def recipe_from_json(stage: StageName, body: object) -> Recipe:
    """Return the recipe of a unit of one stage.

    Raises:
        InvalidInput: ``json.structure``.
    """
    return from_json(_RECIPES[stage], body)


def _content(body: object) -> dict[str, Any]:
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        found = body.get("schema") if isinstance(body, dict) else type(body).__name__
        raise IntegrityError(f"this is no plan of schema {SCHEMA}; found {found!r}", code="plan.damaged")
    return body
