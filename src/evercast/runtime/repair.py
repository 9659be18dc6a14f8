"""Makes anew what is not as its receipt says: put aside, never removed; what was made from it follows if it must."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from evercast.artifacts.files import disk_errors, flush_to_disk
from evercast.errors import IntegrityError
from evercast.plan import Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.provenance import versions
from evercast.runtime.receipts import FileDigest, read_receipt
from evercast.runtime.settings import RunSettings
from evercast.runtime.verify import verify_units

__all__ = ["Repair", "set_aside_damaged", "set_aside_outdated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was put aside to be made anew.

    Args:
        units: the damaged ones.
        before: unit -> digests that its receipt gave; a unit whose receipt cannot be read is not named.
    """

    units: tuple[Unit, ...]
    before: Mapping[str, Mapping[str, FileDigest]]


def set_aside_damaged(frozen: FrozenPlan, *, last: RunSettings) -> Repair:
    """Verify everything that is finished and put aside what is not as it must be.

    To be called by the holder of the run.

    Args:
        frozen: the plan.
        last: settings of the run that made the units; their images count, and the versions of this process.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    settings = replace(last, versions=versions())
    checked = verify_units(frozen.plan, folder=frozen.folder, settings=settings)
    bad = {unit.id: unit for unit, wrong in checked if wrong}
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
    follow: dict[str, Unit] = {}
    for unit in frozen.plan.units:  # in the order of the plan what is needed stands before what needs it
        if any(need in changed or need in follow for need in unit.needs()):
            follow[unit.id] = unit
    _set_aside(frozen, follow.values())
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
