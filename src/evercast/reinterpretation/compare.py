"""Two runs against each other: unit by unit, result by result, with a verdict and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from evercast.plan import STAGES, Unit
from evercast.plan.recipes import StageName
from evercast.publication.report.view import JsonView, read_view
from evercast.reinterpretation.causes import Reasons, origins_of
from evercast.reinterpretation.documents import LeafChange, document_changes
from evercast.reinterpretation.results import DeclaredRow, compare_declared
from evercast.reinterpretation.sides import Side
from evercast.reinterpretation.units import Judge, UnitComparison
from evercast.reinterpretation.verdict import WORDS, Verdict, worst
from evercast.spec.codec import to_json

__all__ = ["Comparison", "StageVerdict", "compare_runs", "results_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageVerdict:
    """All units of one stage together.

    Args:
        counts: verdict -> number of units.
        seconds: wall-clock time of its units, archived and new, s.
    """

    stage: StageName
    verdict: Verdict
    counts: Mapping[Verdict, int]
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a replay gave against what was archived.

    Args:
        verdict: the worst of all units, and of declared numbers that are missed although the archived ones were met.
        stages: those that were compared, in the order of the pipeline.
        units: every unit, in the order of the graph.
        declared: the numbers under ``expected`` in the archived document.
        document: leaves of the documents that differ.
        reasons: where differences begin.
        reproduced: whether the same came out; None where nothing that was made anew can be compared. Where every stage
            was run, each fit of the archived document has to be among what was compared.
    """

    verdict: Verdict
    reproduced: bool | None
    stages: tuple[StageVerdict, ...]
    units: tuple[UnitComparison, ...]
    declared: tuple[DeclaredRow, ...]
    document: tuple[LeafChange, ...]
    reasons: Reasons

    @property
    def not_compared(self) -> int:
        """Number of units that were not compared."""
        return sum(unit.verdict == "not-compared" for unit in self.units)

    @property
    def words(self) -> str:
        """The verdict in words, with how many units it says nothing of."""
        count = self.not_compared
        if not count or self.verdict == "not-compared":
            return WORDS[self.verdict]
        return f"{WORDS[self.verdict]}, {count} unit{'s' if count > 1 else ''} not compared"


def compare_runs(old: Side, new: Side, *, stages: Collection[StageName] | None = None) -> Comparison:
    """Return the comparison of a replay with an archived run, under the tolerances of the archived document.

    Args:
        old: the archived run.
        new: the replay.
        stages: those that were made anew; None: all. Units of others were taken from the archive.

    Raises:
        IntegrityError: a file of one of the runs is damaged.
        InvalidDocument: the new document cannot be read.
    """
    judge = Judge(old=old, new=new, tolerances=old.analysis.tolerances)
    judged = judge.judge(_pairs(old, new))
    units = tuple(unit for unit in judged if stages is None or unit.stage in stages)
    changes = document_changes(to_json(old.analysis), to_json(new.analysis), document=new.document)
    compared = {unit.name for unit in units if unit.stage == "fit" and unit.verdict != "not-compared"}
    fresh = {name: view for name, view in results_of(new).items() if name in compared}
    declared = compare_declared(old.analysis.expected, old=results_of(old), new=fresh)
    verdict = worst([*(unit.verdict for unit in units), *(row.verdict for row in declared if _is_news(row))])
    return Comparison(
        verdict=verdict, reproduced=_is_reproduced(verdict, units, old, whole=stages is None),
        stages=_stages(units), units=units, declared=declared, document=changes,
        reasons=origins_of(judged, old=old, new=new, document=changes),
    )  # fmt: skip


def results_of(side: Side) -> dict[str, JsonView]:
    """Return likelihood -> content of ``result.json``, of the fits that are finished.

    Raises:
        IntegrityError: a result is not JSON.
    """
    fits = (unit for unit in side.plan.of_stage("fit") if side.receipt(unit) is not None)
    return {unit.name: read_view(side.folder(unit) / "result.json") for unit in fits}


def _is_reproduced(verdict: Verdict, units: tuple[UnitComparison, ...], old: Side, *, whole: bool) -> bool | None:
    """Return whether the same came out: of the whole run where every fit was compared, of one stage what it made."""
    if verdict == "differs":
        return False
    if whole and old.plan.of_stage("fit"):
        return all(unit.verdict != "not-compared" for unit in units if unit.stage == "fit" and unit.old is not None)
    if any(unit.missing for unit in units):
        return False
    return None if verdict == "not-compared" else True


def _is_news(row: DeclaredRow) -> bool:
    """Return whether a declared number is missed by a number that is not the archived one."""
    return row.verdict == "differs" and row.new != row.old


def _pairs(old: Side, new: Side) -> tuple[tuple[Unit | None, Unit | None], ...]:
    """Return archived and new units of the same stage and name, in the order of the archived plan."""
    both = [(unit, new.by_name.get((unit.stage, unit.name))) for unit in old.plan.units]
    added = [(None, unit) for unit in new.plan.units if (unit.stage, unit.name) not in old.by_name]
    return (*both, *added)


def _stages(units: tuple[UnitComparison, ...]) -> tuple[StageVerdict, ...]:
    found = []
    for stage in STAGES:
        of_stage = [unit for unit in units if unit.stage == stage]
        if not of_stage:
            continue
        counts: dict[Verdict, int] = {}
        for unit in of_stage:
            counts[unit.verdict] = counts.get(unit.verdict, 0) + 1
        seconds = [sum(unit.seconds[side] or 0.0 for unit in of_stage) for side in (0, 1)]
        found.append(
            StageVerdict(
                stage=stage, verdict=worst(counts), counts=counts, seconds=(round(seconds[0], 3), round(seconds[1], 3))
            )
        )
    return tuple(found)
