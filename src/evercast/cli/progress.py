"""Progress bars of a run, for a terminal."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from evercast.plan import Unit
from evercast.runtime.plans import FrozenPlan

__all__ = ["StageBars"]


class StageBars:
    """One bar for each stage of a plan that is not finished.

    Args:
        frozen: the plan; what has a receipt already counts from the start.
    """

    def __init__(self, frozen: FrozenPlan) -> None:
        self._bars: dict[str, Any] = {}
        for position, stage in enumerate(frozen.plan.stages()):
            units = frozen.plan.of_stage(stage)
            done = sum(frozen.folder.receipt(unit).exists() for unit in units)
            self._bars[stage] = tqdm(
                total=len(units), initial=done, desc=f"{stage:<19}", position=position, leave=True,
                bar_format="{desc} {bar:30} {n_fmt}/{total_fmt} {elapsed}",
            )  # fmt: skip

    def finished(self, unit: Unit) -> None:
        """Move the bar of the unit's stage by one."""
        bar = self._bars[unit.stage]
        bar.update()
        if bar.n >= bar.total:
            bar.refresh()
