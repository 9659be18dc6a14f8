"""The verdict on every unit of a run: its files, and where networks were trained anew, what they say of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evercast.plan import Unit
from evercast.plan.recipes import TrainingRecipe
from evercast.publication.report.view import JsonView, read_view
from evercast.reinterpretation.contents import FileComparison, compare_contents
from evercast.reinterpretation.later import LATER_FILES, later_rows
from evercast.reinterpretation.networks import Retrained, blocks_by_series, compare_series, series_of
from evercast.reinterpretation.results import ResultRow, compare_result, worst_row
from evercast.reinterpretation.sides import Side
from evercast.reinterpretation.verdict import Verdict
from evercast.spec.model import Tolerances

__all__ = ["Judge", "UnitComparison"]

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitComparison:
    """A unit of the archive and what the replay made of it.

    Args:
        stage, name: which unit it is; its key may have changed.
        old, new: ids; None on the side that has no such unit.
        text: the verdict in words.
        follows: stage and name of units before it that explain why it is not the same.
        files: what it holds.
        rows: numbers of a fit; of a later stage after networks trained anew, what is judged of it.
        missing: whether one of the two has no such unit finished.
        anew: whether networks that were trained anew, and say the same, are behind it.
        seconds: wall-clock time of the archived and of the new one, s.
    """

    stage: str
    name: str
    verdict: Verdict
    text: str
    old: str | None = None
    new: str | None = None
    follows: tuple[tuple[str, str], ...] = ()
    files: tuple[FileComparison, ...] = ()
    rows: tuple[ResultRow, ...] = ()
    retrained: Retrained | None = None
    missing: bool = False
    anew: bool = False
    seconds: tuple[float | None, float | None] = (None, None)


@dataclass(slots=True, kw_only=True, eq=False)
class Judge:
    """Judges units in the order of the plan; a verdict rests on those of the units before it.

    Args:
        old: the archived run.
        new: the replay.
        tolerances: of the archived document.
        known: (stage, name) -> what was said of the units so far.
    """

    old: Side
    new: Side
    tolerances: Tolerances
    known: dict[tuple[str, str], UnitComparison] = field(default_factory=dict)

    def judge(self, pairs: tuple[tuple[Unit | None, Unit | None], ...]) -> tuple[UnitComparison, ...]:
        """Return the verdict on every pair of an archived and a new unit, in the order given.

        Raises:
            IntegrityError: a receipt, weights or events of one side are damaged.
        """
        finished = [(a, b) for a, b in pairs if a and b and self.old.receipt(a) and self.new.receipt(b)]
        series = blocks_by_series(finished)
        for before, after in pairs:
            found = self._judged(before, after, series)
            follows = found.verdict == "not-compared" and before is not None and bool(self._behind(before))
            found = replace(found, anew=found.verdict == "statistical" or follows)
            self.known[found.stage, found.name] = found
        return tuple(self.known.values())

    def _judged(
        self, old: Unit | None, new: Unit | None, series: Mapping[str, tuple[tuple[Unit, Unit], ...]]
    ) -> UnitComparison:
        if old is None or new is None:
            return _alone(old, new)
        before, after = self.old.receipt(old), self.new.receipt(new)
        start = UnitComparison(
            stage=old.stage, name=old.name, old=old.id, new=new.id, verdict="not-compared",
            text="not made anew" if after is None else "not in the archive",
        )  # fmt: skip
        if before is None or after is None:
            return replace(start, missing=True)
        files = compare_contents((self.old.folder(old), before), (self.new.folder(new), after), self.tolerances.numeric)
        start = replace(start, files=files, seconds=(before.seconds, after.seconds))
        if all(file.kind == "same" for file in files):
            return replace(start, verdict="same-bits", text="every file has the archived digest")
        if old.stage == "report":
            return replace(start, text="it tells of the run, with its times")
        return self._different(start, old, new, series)

    def _different(
        self, start: UnitComparison, old: Unit, new: Unit, series: Mapping[str, tuple[tuple[Unit, Unit], ...]]
    ) -> UnitComparison:
        if old.stage == "fit":
            return self._fit(start, old, new)
        if all(file.close for file in start.files):
            return replace(start, verdict="numeric", text=_closeness(start.files))
        if isinstance(old.recipe, TrainingRecipe) and not self._before(old, "differs"):
            return self._training(start, old.recipe, series)
        return self._downstream(start, old)

    def _training(
        self, start: UnitComparison, recipe: TrainingRecipe, series: Mapping[str, tuple[tuple[Unit, Unit], ...]]
    ) -> UnitComparison:
        name = series_of(recipe)
        blocks = series.get(name, ())
        said = (self.known.get((old.stage, old.name)) for old, _ in blocks)
        judged = next((known.retrained for known in said if known is not None and known.retrained), None)
        found = judged or (compare_series(name, blocks, old=self.old, new=self.new) if blocks else None)
        if found is None:
            return replace(start, verdict="differs", text="the networks have another form, or no events to compare on")
        allowed = self.tolerances.retraining.spread
        if found.ratio is None:
            limit = self.tolerances.numeric.abs
            text = f"other weights; log ratios differ by {found.rms:.2g} (rms of {found.events} events); allowed "
            text += f"{limit:g}: a single network has no spread to judge by"
            return replace(start, verdict="numeric" if found.rms <= limit else "differs", text=text, retrained=found)
        text = (
            f"other weights; ensemble means of the log ratio differ by {found.rms:.2g} (rms of {found.events} events), "
            f"{found.ratio:.2g} x the spread of the members / sqrt({found.members}); allowed {allowed:g}"
        )
        verdict: Verdict = "statistical" if found.ratio <= allowed else "differs"
        return replace(start, verdict=verdict, text=text, retrained=found)

    def _fit(self, start: UnitComparison, old: Unit, new: Unit) -> UnitComparison:
        retrained = bool(self._behind(old))
        first, second = (side.folder(unit) / "result.json" for side, unit in ((self.old, old), (self.new, new)))
        rows = compare_result(
            read_view(first), read_view(second), self.tolerances, retrained=retrained, noise=self._noise(old)
        )
        verdict = worst_row(rows)
        beyond = [row for row in rows if row.verdict == "differs"]
        text = _most_different(rows) if not beyond else f"{len(beyond)} of {len(rows)} numbers beyond their tolerance"
        follows = self._before(old, "differs") if beyond else self._behind(old)
        if verdict == "same-bits":
            verdict, text = "numeric", "every result is the archived one; other numbers differ by rounding"
        return replace(start, verdict=verdict, text=text, rows=rows, follows=follows)

    def _noise(self, fit: Unit) -> float | None:
        """Return the bootstrap error of the archived ensemble on the parameter of interest."""
        unit = self.old.by_name.get(("training_statistics", fit.name))
        if unit is None or self.old.receipt(unit) is None:
            return None
        body: JsonView = read_view(self.old.folder(unit) / "result.json")
        return body.number("expected", "estimates", "ensemble_noise", "sigma")

    def _downstream(self, start: UnitComparison, old: Unit) -> UnitComparison:
        different = self._before(old, "differs")
        if different:
            names = ", ".join("/".join(item) for item in different[:3])
            return replace(
                start, verdict="differs", text=f"{_farness(start.files)}; follows {names}", follows=different
            )
        carried = self._behind(old)
        if carried and old.stage in LATER_FILES:
            return replace(self._later(start, old), follows=carried)
        if carried:
            text = "not compared: it follows the networks that were trained anew, and is judged by the results"
            return replace(start, text=text, follows=carried)
        return replace(start, verdict="differs", text=_farness(start.files))

    def _later(self, start: UnitComparison, old: Unit) -> UnitComparison:
        """Judge what is computed from fits, likelihoods or networks behind which networks were trained anew."""
        folders = self.old.folder(old), self.new.units / start.stage / str(start.new)
        first, second = (read_view(folder / LATER_FILES[old.stage]) for folder in folders)
        fit = self.old.by_name.get(("fit", first.text("likelihood") or ""))
        known = fit is not None and self.old.receipt(fit) is not None
        archived = read_view(self.old.folder(fit) / "result.json") if fit is not None and known else JsonView()
        rows = later_rows(old.stage, first, second, fit=archived, sigma=self.tolerances.retraining.sigma)
        beyond = [row for row in rows if row.verdict == "differs"]
        if beyond:
            named = "; ".join(f"{row.quantity} {row.old} -> {row.new}" for row in beyond[:_NAMED])
            return replace(
                start, verdict="differs", rows=rows, text=f"{len(beyond)} of {len(rows)} entries differ: {named}"
            )
        judged = sum(row.verdict != "not-compared" for row in rows)
        if not judged:
            return replace(start, rows=rows, text="not compared: it holds nothing that can be judged")
        return replace(start, verdict="statistical", rows=rows, text=f"{judged} of {len(rows)} entries judged")

    def _behind(self, unit: Unit) -> tuple[tuple[str, str], ...]:
        """Return the units that a unit reads and behind which networks were trained anew."""
        units = self.old.plan.by_id()
        keys = [(units[item].stage, units[item].name) for item in unit.needs() if item in units]
        return tuple(key for key in keys if (known := self.known.get(key)) is not None and known.anew)

    def _before(self, unit: Unit, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        """Return the units that a unit reads and of which `verdict` was said."""
        units = self.old.plan.by_id()
        keys = [(units[item].stage, units[item].name) for item in unit.needs() if item in units]
        return tuple(key for key in keys if (known := self.known.get(key)) is not None and known.verdict == verdict)


def _alone(old: Unit | None, new: Unit | None) -> UnitComparison:
    unit = old or new
    if unit is None:
        raise ValueError("a pair without a unit")
    text = "the document asks for it no more" if new is None else "the archived document did not ask for it"
    return UnitComparison(
        stage=unit.stage, name=unit.name, verdict="differs", text=text,
        old=None if old is None else old.id, new=None if new is None else new.id,
    )  # fmt: skip


def _closeness(files: tuple[FileComparison, ...]) -> str:
    most = max((file for file in files if file.kind == "numbers"), key=lambda file: file.deviation.excess, default=None)
    if most is None or not most.deviation.changed:
        return "every number is the archived one; other bytes tell of versions and times"
    found = most.deviation
    return (
        f"largest difference {found.largest:.2g}, {found.excess:.2g} of what is allowed, in {most.path} {found.place}"
    )


def _farness(files: tuple[FileComparison, ...]) -> str:
    far = [file for file in files if not file.close]
    first = max(far, key=lambda file: file.deviation.excess, default=None)
    if first is None:
        return "other bytes"
    deviation = first.deviation
    if deviation.other:
        return f"{first.path}: {deviation.other[0]}"
    if first.kind == "numbers":
        most = f"largest difference {deviation.largest:.2g}"
        return f"{first.path}: {deviation.beyond} of {deviation.compared} numbers, {most}"
    return f"{first.path}: {'other bytes' if first.kind == 'bytes' else first.kind}"


def _most_different(rows: tuple[ResultRow, ...]) -> str:
    judged = [row for row in rows if row.tolerance and row.difference]
    most = max(judged, key=lambda row: abs(row.difference or 0.0) / (row.tolerance or 1.0), default=None)
    if most is None or most.difference is None or most.tolerance is None:
        return "every result is the archived one"
    share = abs(most.difference) / most.tolerance
    return f"{most.quantity} {most.difference:+.2g}, {share:.2g} of what is allowed ({most.rule})"
