"""Stages: each reads its inputs, computes, and writes its output folder; they never import each other.

A stage is a module with ``run(task: Task[...]) -> None``, named as in `evercast.plan.recipes.StageName`. Heavy imports
belong in these modules: they are loaded only in the job that runs the stage.
"""

from __future__ import annotations

__all__: list[str] = []
