"""One of the two runs that are compared: a run folder, or what an archive holds of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from evercast.artifacts.archive import leads_out
from evercast.artifacts.files import read_json
from evercast.errors import IntegrityError
from evercast.plan import Plan, Unit, plan_from_json
from evercast.runtime.folders import RECEIPT
from evercast.runtime.plans import FrozenPlan, read_plan
from evercast.runtime.receipts import Receipt, finished_receipt
from evercast.spec import analysis_from_json
from evercast.spec.model import Analysis

__all__ = ["Side", "side_of_archive", "side_of_run"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """A run with its finished units.

    Args:
        plan: what was run.
        body: the canonical form of the document.
        document: the document as it was written, for its lines.
        units: folder of ``STAGE/UNIT``.
        machine: what it ran on, as far as it was recorded.
        defaults: of the packages that decide what a limit means, as far as they were recorded.
        code: source file of evercast -> sha256, as far as they were recorded.
    """

    plan: Plan
    body: Mapping[str, object]
    document: Path
    units: Path
    machine: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def analysis(self) -> Analysis:
        """The document.

        Raises:
            InvalidInput: its canonical form has another structure.
        """
        return analysis_from_json(self.body)

    @cached_property
    def by_name(self) -> Mapping[tuple[str, str], Unit]:
        """(stage, name) -> unit: names stay where keys change."""
        return {(unit.stage, unit.name): unit for unit in self.plan.units}

    def folder(self, unit: Unit) -> Path:
        """Return the folder of a unit."""
        return self.units / unit.stage / unit.id

    def receipt(self, unit: Unit) -> Receipt | None:
        """Return the receipt of a unit; None where it is not finished.

        Raises:
            IntegrityError: ``unit.receipt-damaged``: unreadable, that of another unit, or with a file outside.
        """
        place = self.folder(unit) / RECEIPT
        receipt = finished_receipt(unit, receipt_file=place)
        outside = [name for name in (receipt.files if receipt else ()) if leads_out(name)]
        if outside:
            raise IntegrityError(
                f"the receipt names a file outside of its unit: {outside[0][:100]!r}", code="unit.receipt-damaged",
                where=str(place), hint="no evercast writes this; do not use it",
            )  # fmt: skip
        return receipt


def side_of_run(
    plan: Path | FrozenPlan, *, machine: Mapping[str, str], defaults: Mapping[str, str], code: Mapping[str, str]
) -> Side:
    """Return a run folder as a side.

    Args:
        plan: the frozen ``plan.json``, or the plan itself.
        machine: what it ran on.
        defaults: of its packages.
        code: source file of evercast -> sha256.

    Raises:
        IntegrityError: the frozen plan is missing or damaged.
    """
    frozen = read_plan(plan) if isinstance(plan, Path) else plan
    folder = frozen.file.parent
    return Side(
        plan=frozen.plan, body=_object(folder / "analysis.json"), document=folder / "analysis.yaml",
        units=frozen.folder.work, machine=machine, defaults=defaults, code=code,
    )  # fmt: skip


def side_of_archive(
    data: Path, *, document: Path, machine: Mapping[str, str], defaults: Mapping[str, str], code: Mapping[str, str]
) -> Side:
    """Return what an archive holds as a side.

    Args:
        data: the payload folder of the archive.
        document: the document in it, as it was written.
        machine: what its run was made on, as far as the archive says.
        defaults: of the packages of its run.
        code: source file of evercast -> sha256, of its run.

    Raises:
        IntegrityError: plan or document are missing or damaged.
    """
    plan = plan_from_json(read_json(data / "plan.json"))
    strange = [unit.id for unit in plan.units if leads_out(unit.id) or "/" in unit.id]
    if strange:
        raise IntegrityError(
            f"the plan has a unit {strange[0][:100]!r}", code="plan.damaged", where=str(data),
            hint="no evercast writes this; do not use it",
        )  # fmt: skip
    return Side(
        plan=plan, body=_object(data / "analysis.json"), document=document,
        units=data / "units", machine=machine, defaults=defaults, code=code,
    )  # fmt: skip


def _object(path: Path) -> Mapping[str, object]:
    body = read_json(path)
    if not isinstance(body, Mapping):
        raise IntegrityError("the canonical document is no object", code="artifact.structure", where=str(path))
    return body
