"""``replay.json``: a replay with its verdicts, schema ``replay``."""

from __future__ import annotations

import math
from typing import Any, Final

from evercast.reinterpretation.archived import ArchivedRun
from evercast.reinterpretation.causes import Cause
from evercast.reinterpretation.contents import FileComparison
from evercast.reinterpretation.replay import Replay
from evercast.reinterpretation.results import ResultRow
from evercast.reinterpretation.units import UnitComparison
from evercast.spec.codec import to_json

__all__ = ["SCHEMA", "replay_record"]

SCHEMA: Final = "replay/1.0.0"


def replay_record(replay: Replay, archived: ArchivedRun) -> dict[str, Any]:
    """Return the content of ``replay.json``; it is valid by the schema ``replay``."""
    comparison, request = replay.comparison, replay.request
    return {
        "schema": SCHEMA,
        "analysis": replay.name,
        "archive": replay.archive,
        "signed_by": archived.signed_by,
        "allow_unsigned": request.allow_unsigned,
        "stage": request.stage,
        "profile": request.profile,
        "changed": request.change is not None,
        "verdict": comparison.verdict,
        "reproduced": comparison.reproduced,
        "not_compared": comparison.not_compared,
        "units_run": replay.ran,
        "units_imported": replay.imported,
        "seconds": round(replay.seconds, 3),
        "stages": [to_json(stage) for stage in comparison.stages],
        "expected": [to_json(row) for row in comparison.declared],
        "results": [
            {"likelihood": unit.name, "verdict": unit.verdict, "numbers": [_row(row) for row in unit.rows]}
            for unit in comparison.units
            if unit.stage == "fit"
        ],
        "units": [_unit(unit) for unit in comparison.units],
        "document": [
            {"path": change.path, "line": change.line, "old": change.old, "new": change.new}
            for change in comparison.document
        ],
        "first_differences": [
            {"stage": origin.stage, "unit": origin.name, "causes": [_cause(cause) for cause in origin.causes]}
            for origin in comparison.reasons.origins
        ],
        "without_effect": [_cause(cause) for cause in comparison.reasons.without_effect],
    }


def _row(row: ResultRow) -> dict[str, Any]:
    body: dict[str, Any] = to_json(row)
    return {**body, "difference": row.difference}


def _unit(unit: UnitComparison) -> dict[str, Any]:
    return {
        "stage": unit.stage,
        "unit": unit.name,
        "verdict": unit.verdict,
        "text": unit.text,
        "old": unit.old,
        "new": unit.new,
        "follows": ["/".join(key) for key in unit.follows],
        "seconds": list(unit.seconds),
        "files": [_file(file) for file in unit.files if file.kind != "same"],
        "same_files": sum(file.kind == "same" for file in unit.files),
        "networks": _networks(unit),
        "numbers": [] if unit.stage == "fit" else [_row(row) for row in unit.rows],
    }


def _networks(unit: UnitComparison) -> dict[str, Any] | None:
    found = unit.retrained
    return None if found is None else _finite({**to_json(found), "ratio": found.ratio})


def _file(file: FileComparison) -> dict[str, Any]:
    return {"path": file.path, "kind": file.kind, "close": file.close, **_finite(to_json(file.deviation))}


def _finite(body: dict[str, Any]) -> dict[str, Any]:
    """Return the same with None for what is infinite: no number can tell how far texts or whole numbers are apart."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in body.items()
    }


def _cause(cause: Cause) -> dict[str, Any]:
    body: dict[str, Any] = to_json(cause)
    return body
