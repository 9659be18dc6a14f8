"""Makes anew what is not as its receipt says: put aside, never removed; what was made from it follows if it must."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from evercast.artifacts.files import disk_errors, flush_to_disk
from evercast.errors import IntegrityError
from evercast.plan import Plan, Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.provenance import versions
from evercast.runtime.receipts import FileDigest, finished_receipt, read_receipt
from evercast.runtime.settings import RunSettings
from evercast.runtime.verify import Finding, verify_units

__all__ = [
    "Damage", "Repair", "find_damaged", "following", "refuse_damaged_receipts", "set_aside_damaged",
    "set_aside_outdated",
]  # fmt: skip

Damage = tuple[Unit, tuple[Finding, ...]]
"""A unit that is finished, and all that is not as it must be with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was put aside to be made anew.

    Args:
        units: the damaged ones.
        before: unit -> digests that its receipt gave; a unit whose receipt cannot be read is not named.
    """

    units: tuple[Unit, ...]
    before: Mapping[str, Mapping[str, FileDigest]]


def refuse_damaged_receipts(frozen: FrozenPlan) -> None:
    """Refuse to run a plan of which a finished unit has a receipt that says nothing: all of them are needed.

    Raises:
        IntegrityError: ``unit.receipt-damaged``, naming the first.
    """
    for unit in frozen.plan.units:
        finished_receipt(unit, receipt_file=frozen.folder.receipt(unit))


def find_damaged(frozen: FrozenPlan, *, last: RunSettings) -> tuple[Damage, ...]:
    """Verify everything that is finished and return what is not as it must be, in the order of the plan.

    Args:
        frozen: the plan.
        last: settings of the run that made the units; their images count, and the versions of this process.
    """
    settings = replace(last, versions=versions())
    checked = verify_units(frozen.plan, folder=frozen.folder, settings=settings)
    return tuple((unit, wrong) for unit, wrong in checked if wrong)


def set_aside_damaged(frozen: FrozenPlan, *, last: RunSettings) -> Repair:
    """Verify everything that is finished and put aside what is not as it must be.

    To be called by the holder of the run.

    Args:
        frozen: the plan.
        last: as for `find_damaged`.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    bad = {unit.id: unit for unit, _ in find_damaged(frozen, last=last)}
    before = {}
    for unit in bad.values():
        try:
            before[unit.id] = read_receipt(frozen.folder.receipt(unit)).files
        except IntegrityError:
            continue
    _set_aside(frozen, bad.values())
    return Repair(units=tuple(bad.values()), before=before)


def set_aside_outdated(frozen: FrozenPlan, repair: Repair) -> tuple[Unit, ...]:
    """Put aside what was made from units whose new content differs from the old, and return it.

    To be called by the holder of the run when the damaged units have been made anew.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    changed = {unit.id for unit in repair.units if _content(frozen, unit) != repair.before.get(unit.id)}
    follow = following(frozen.plan, changed)
    _set_aside(frozen, follow)
    return follow


def following(plan: Plan, changed: Collection[str]) -> tuple[Unit, ...]:
    """Return all units that need one of those with these ids, directly or not."""
    follow: dict[str, Unit] = {}
    for unit in plan.units:  # in the order of the plan what is needed stands before what needs it
        if any(need in changed or need in follow for need in unit.needs()):
            follow[unit.id] = unit
    return tuple(follow.values())


def _content(frozen: FrozenPlan, unit: Unit) -> Mapping[str, FileDigest] | None:
    try:
        return read_receipt(frozen.folder.receipt(unit)).files
    except IntegrityError:
        return None


def _set_aside(frozen: FrozenPlan, units: Iterable[Unit]) -> None:
    for unit in units:
        place = frozen.folder.unit(unit)
        if not place.exists():
            continue
        aside = frozen.folder.damaged / f"{unit.id}-{secrets.token_hex(4)}"
        with disk_errors(aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            place.rename(aside)
            flush_to_disk(place.parent)
