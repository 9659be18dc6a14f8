"""What a run would do, without doing it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evercast.cli.columns import column_width
from evercast.errors import RunFailed
from evercast.plan import Unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.repair import Damage, find_damaged, following, refuse_damaged_receipts
from evercast.runtime.settings import read_settings
from evercast.runtime.status import read_error_file, run_status

__all__ = ["Todo", "ask_snakemake", "find_todo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What a run would do.

    Args:
        plan: its digest.
        n_units: of the plan.
        waiting: units that are not finished.
        damaged: finished units that a repair would put aside and make anew, and why.
        following: finished units that would be made anew too, where those come out with another content.
    """

    plan: str
    n_units: int
    waiting: Sequence[Unit]
    damaged: Sequence[Damage] = ()
    following: Sequence[Unit] = ()

    def text(self) -> str:
        """Return it as lines for the screen."""
        units = (*self.waiting, *(unit for unit, _ in self.damaged))
        width = column_width(unit.stage for unit in units)
        lines = [f"{unit.stage:<{width}}{unit.id}" for unit in self.waiting]
        for unit, wrong in self.damaged:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            lines.append(f"{unit.stage:<{width}}{unit.id}  anew: {wrong[0]}{more}")
        count = len({unit.id for unit in units})
        anew = f", {len(self.damaged)} of them anew because they are damaged" if self.damaged else ""
        lines.append(f"{count} of {self.n_units} units would be run{anew}")
        if self.following:
            what = "1 unit that follows" if len(self.following) == 1 else f"{len(self.following)} units that follow"
            lines.append(f"{what} from these would be made anew too where their content comes out another")
        return "\n".join(lines)

    def to_json(self) -> Mapping[str, Any]:
        """Return it as values for JSON."""
        damaged = [
            {"id": unit.id, "stage": unit.stage, "reasons": [str(finding) for finding in wrong]}
            for unit, wrong in self.damaged
        ]
        return {
            "plan": self.plan,
            "units": [{"id": unit.id, "stage": unit.stage} for unit in self.waiting],
            "repair": damaged,
            "may_follow": [{"id": unit.id, "stage": unit.stage} for unit in self.following],
        }


def find_todo(frozen: FrozenPlan, *, repair: bool) -> Todo:
    """Return what a run would do.

    Args:
        frozen: the plan.
        repair: whether it would verify what is finished, and make anew what is damaged.

    Raises:
        IntegrityError: ``unit.receipt-damaged``: the run would refuse, without a repair.
    """
    damaged: tuple[Damage, ...] = ()
    if repair:
        damaged = find_damaged(frozen, last=read_settings(frozen.folder))
    else:
        refuse_damaged_receipts(frozen)
    anew = {unit.id for unit, _ in damaged}
    waiting = [item.unit for item in run_status(frozen.plan, folder=frozen.folder) if item.state != "done"]
    known = anew | {unit.id for unit in waiting}
    return Todo(
        plan=frozen.plan.digest, n_units=len(frozen.plan.units), damaged=damaged,
        waiting=[unit for unit in waiting if unit.id not in anew],
        following=[unit for unit in following(frozen.plan, anew) if unit.id not in known],
    )  # fmt: skip


def ask_snakemake(call: Sequence[str], *, folder: RunFolder) -> None:
    """Let Snakemake check the plan.

    Args:
        call: its command line, but for what makes it dry.
        folder: of the run.

    Raises:
        EvercastError: what our own part of the workflow refuses.
        RunFailed: ``run.workflow-failed``.
    """
    folder.run_error.unlink(missing_ok=True)
    checked = subprocess.run([*call, "--dry-run", "--quiet"], capture_output=True, text=True, check=False)  # noqa: S603
    if checked.returncode != 0:
        if (err := read_error_file(folder.run_error)) is not None:
            raise err
        raise RunFailed(f"Snakemake refuses the plan:\n{checked.stderr[-3000:]}", code="run.workflow-failed")
