"""What ``evercast status --verify`` says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from evercast.cli.again import NextCommand
from evercast.plan import Plan
from evercast.runtime.folders import RunFolder
from evercast.runtime.published import verify_published
from evercast.runtime.settings import read_settings
from evercast.runtime.verify import Finding, finished_units, verify_units

__all__ = ["Verification", "verify_run"]

_RESULTS = "results"
"""Stands for the stage of a file at the top of the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was compared, and what is not as it must be.

    Args:
        plan: of the document.
        folder: of the run.
        n_units: finished units that were read.
        n_results: files at the top of the run folder that were read.
        findings: about units first, then about the results.
        again: the command that goes on with the run.
    """

    plan: Plan
    folder: RunFolder
    n_units: int
    n_results: int
    findings: tuple[Finding, ...]
    again: NextCommand

    @property
    def wrong(self) -> tuple[str, ...]:
        """Ids of the units that are not as they must be."""
        return tuple(sorted({finding.unit.id for finding in self.findings if finding.unit is not None}))

    @property
    def next(self) -> str | None:
        """The command that makes good what was found; None where nothing was."""
        if not self.findings:
            return None
        return self.again.run("--repair") if self.wrong else self.again.run()

    def to_json(self) -> Mapping[str, Any]:
        """Return it as values for JSON."""
        return {
            "name": self.plan.name, "plan": self.plan.digest, "folder": str(self.folder.root),
            "verified": self.n_units, "verified_results": self.n_results, "wrong": list(self.wrong),
            "findings": [_finding(finding) for finding in self.findings], "next": self.next,
        }  # fmt: skip

    def text(self) -> str:
        """Return it as lines for the screen."""
        lines = [f"{_whose(finding)}: {finding}" for finding in self.findings]
        verdict = f"{self.n_units} of {len(self.plan.units)} units are finished"
        if not self.findings:
            return f"{verdict}; every file of them is what its receipt says{self._results()}"
        if self.wrong:
            lines.append(
                f"\n{verdict}; {len(self.wrong)} of them are not as they must be; to make them anew: {self.next}"
            )
        else:
            lines.append(f"\n{verdict} and as they must be; to write their results anew: {self.next}")
        return "\n".join(lines)

    def _results(self) -> str:
        if not self.n_results:
            return "; the results are not written yet"
        return f", and {self.n_results} files of the results are what was written"


def verify_run(plan: Plan, *, folder: RunFolder, again: NextCommand, quiet: bool) -> Verification:
    """Read everything that is finished or among the results and compare it with its digests.

    Args:
        plan: of the document.
        folder: of the run.
        again: the command that goes on with the run.
        quiet: whether there is no bar on a terminal.

    Raises:
        IntegrityError: ``run.settings-damaged``.
    """
    units = finished_units(plan, folder=folder)
    findings: list[Finding] = []
    with tqdm(total=len(units), desc="verified", unit="unit", disable=quiet or not sys.stderr.isatty()) as bar:
        for _, wrong_here in verify_units(plan, folder=folder, settings=read_settings(folder)):
            findings += wrong_here
            bar.update()
    n_results, results = verify_published(plan, folder=folder)
    return Verification(
        plan=plan, folder=folder, n_units=len(units), n_results=n_results, findings=(*findings, *results),
        again=again,
    )  # fmt: skip


def _whose(finding: Finding) -> str:
    return _RESULTS if finding.unit is None else f"{finding.unit.stage} {finding.unit.id}"


def _finding(finding: Finding) -> dict[str, str | None]:
    unit = finding.unit
    return {
        "unit": None if unit is None else unit.id, "stage": _RESULTS if unit is None else unit.stage,
        "kind": finding.kind, "path": finding.path, "found": finding.found, "expected": finding.expected,
    }  # fmt: skip
