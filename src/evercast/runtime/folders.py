"""Where everything of a run lies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from evercast.plan import Unit

__all__ = ["RECEIPT", "RunFolder", "default_results"]

RECEIPT = "receipt.json"


def default_results(name: str) -> Path:
    """Return the run folder of an analysis: ``results/NAME`` under the current folder."""
    return Path("results") / name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run, ``results/NAME`` unless told otherwise: what is published on top, the rest in ``work``."""

    root: Path

    @classmethod
    def of_plan(cls, plan_file: Path) -> RunFolder:
        """Return the run folder of a frozen plan, ``ROOT/work/plans/DIGEST/plan.json``."""
        return cls(plan_file.parents[3])

    @property
    def work(self) -> Path:
        """Everything that is not published."""
        return self.root / "work"

    @property
    def lock(self) -> Path:
        """Held by the run that writes here."""
        return self.work / "lock"

    @property
    def current(self) -> Path:
        """Which plan was run last, and how."""
        return self.work / "current.json"

    @property
    def snakemake_log(self) -> Path:
        """What Snakemake itself said in the last run."""
        return self.work / "logs" / "snakemake.log"

    @property
    def run_error(self) -> Path:
        """Why the last run could not begin."""
        return self.work / "errors" / "run.json"

    @property
    def publish_error(self) -> Path:
        """Why the last run could not publish its results."""
        return self.work / "errors" / "publish.json"

    @property
    def published(self) -> Path:
        """What was published last, digest by digest."""
        return self.work / "published.json"

    def plan(self, digest: str) -> Path:
        """Return the folder of a frozen plan."""
        return self.work / "plans" / digest[:16]

    def unit(self, unit: Unit) -> Path:
        """Return the folder of a finished unit."""
        return self.work / unit.stage / unit.id

    def receipt(self, unit: Unit) -> Path:
        """Return the file that says that a unit is finished; it appears together with everything it lists."""
        return self.unit(unit) / RECEIPT

    def log(self, unit: Unit) -> Path:
        """Return the log of a unit."""
        return self.work / "logs" / unit.stage / f"{unit.id}.log"

    def error(self, unit: Unit) -> Path:
        """Return the file in which a unit that failed says why."""
        return self.work / "errors" / unit.stage / f"{unit.id}.json"

    def running(self, unit: Unit) -> Path:
        """Return the file that says who works on a unit."""
        return self.work / "running" / unit.stage / f"{unit.id}.json"

    def unit_lock(self, unit: Unit) -> Path:
        """Return the lock of a unit."""
        return self.work / "locks" / f"{unit.id}.lock"

    @property
    def damaged(self) -> Path:
        """Units that were put aside because they were not what their receipts said; nothing reads them."""
        return self.work / "damaged"

    @property
    def run_lease(self) -> Path:
        """The folder of the lease of the run that writes here."""
        return self.work / "leases" / "run"

    def unit_lease(self, unit: Unit) -> Path:
        """Return the folder of the lease of a unit."""
        return self.work / "leases" / unit.id

    def checkpoint(self, unit: Unit) -> Path:
        """Return the folder of a unit that survives a kill."""
        return self.work / "checkpoints" / unit.stage / unit.id

    def attempt(self, name: str) -> Path:
        """Return a new name for a folder in which something is prepared before it gets its final name."""
        return self.work / "attempts" / f"{name}-{secrets.token_hex(6)}"
