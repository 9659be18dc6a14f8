"""How a run goes on, told while it does: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from evercast.plan import Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import read_receipt
from evercast.runtime.run import Observer

__all__ = ["ProgressLines", "StageBars", "observer_of"]


def observer_of(frozen: FrozenPlan, *, say: Callable[[str], None], quiet: bool) -> Observer:
    """Return what tells how a run goes on: bars where stderr is a terminal, else lines.

    Args:
        frozen: the plan; what has a receipt already counts from the start.
        say: gets each line.
        quiet: whether `say` says nothing, so that there are no bars either.
    """
    return StageBars(frozen) if not quiet and sys.stderr.isatty() else ProgressLines(frozen, say=say)


class ProgressLines:
    """A line for each unit.

    Args:
        frozen: the plan.
        say: gets each line.
    """

    def __init__(self, frozen: FrozenPlan, *, say: Callable[[str], None]) -> None:
        self._folder, self._say, self._total = frozen.folder, say, len(frozen.plan.units)
        self._done = sum(frozen.folder.receipt(unit).exists() for unit in frozen.plan.units)

    def finished(self, unit: Unit) -> None:
        """Say which unit is finished, and how many are."""
        self._done += 1
        seconds = read_receipt(self._folder.receipt(unit)).seconds
        count = f"[{self._done:>{len(str(self._total))}}/{self._total}]"
        self._say(f"{count} {unit.stage:<19} {unit.name}  {seconds:.1f} s")

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:
        """Say which units are made anew, and count them as not finished."""
        for unit in units:
            self._done -= 1
            self._say(f"{reason}, to be made anew: {unit.stage} {unit.id}")


class StageBars:
    """One bar for each stage of a plan that is not finished.

    Args:
        frozen: the plan; what has a receipt already counts from the start.
    """

    def __init__(self, frozen: FrozenPlan) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

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

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:  # noqa: ARG002 - bars have no room for it
        """Move the bars of the units' stages back."""
        for unit in units:
            self._bars[unit.stage].n -= 1
        for bar in self._bars.values():
            bar.refresh()
