"""Whether a finished unit was made from what there is now: told by content, never by time stamps.

The key of a unit says what it is made from in principle: recipes, seeds, digests of files. The receipt says besides
what the units consisted of that it was really made from. Where one of those was lost and made again with other bits, on
another machine perhaps, what was made from the lost one is made again too; where the bits are the same, nothing is.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evercast.artifacts.files import disk_errors, flush_to_disk
from evercast.plan import Unit
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import is_finished

__all__ = ["Contents", "is_up_to_date", "made_from", "put_outdated_aside"]


class Contents:
    """Digests of what units consist of, by their receipts; each is read once.

    Args:
        folder: of the run.
        stages: id -> stage of all units that are asked for.
    """

    def __init__(self, *, folder: RunFolder, stages: Mapping[str, str]) -> None:
        self._folder, self._stages = folder, stages
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._digests: dict[str, str | None] = {}

    def digest(self, unit: str) -> str | None:
        """Return the digest of all files of a unit and their names; None where it is not finished."""
        if unit not in self._digests:
            files = self._body(unit).get("files")
            self._digests[unit] = _digest(files) if isinstance(files, Mapping) else None
        return self._digests[unit]

    def is_current(self, unit: str) -> bool:
        """Return whether every unit that a finished one was made from is still the same, or is not there to be asked.

        A receipt that cannot be read is not judged here: whoever needs its unit says what is wrong with it.
        """
        taken = self._body(unit).get("made_from")
        if not isinstance(taken, Mapping):
            return True
        return all(self.digest(needed) in (None, digest) for needed, digest in taken.items())

    def _body(self, unit: str) -> Mapping[str, Any]:
        if unit not in self._bodies:
            stage = self._stages.get(unit)
            self._bodies[unit] = {} if stage is None else _read(self._folder.work / stage / unit / RECEIPT)
        return self._bodies[unit]


def _read(file: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, Mapping) else {}


def _digest(files: Mapping[str, Any]) -> str | None:
    try:
        lines = sorted(f"{name}\0{file['sha256']}" for name, file in files.items())
    except (KeyError, TypeError):
        return None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _contents(frozen: FrozenPlan) -> Contents:
    return Contents(folder=frozen.folder, stages={unit.id: unit.stage for unit in frozen.plan.units})


def made_from(frozen: FrozenPlan, unit: Unit) -> dict[str, str]:
    """Return id -> digest of the content of each unit that this one needs, all of which are finished."""
    contents = _contents(frozen)
    found = {needed: contents.digest(needed) for needed in unit.needs()}
    return {needed: digest for needed, digest in found.items() if digest is not None}


def is_up_to_date(frozen: FrozenPlan, unit: Unit) -> bool:
    """Return whether a unit is finished, and from what there is now."""
    return is_finished(unit, receipt_file=frozen.folder.receipt(unit)) and _contents(frozen).is_current(unit.id)


def put_outdated_aside(frozen: FrozenPlan, unit: Unit) -> bool:
    """Put a finished unit aside that was made from another content than there is now; return whether it was.

    To be called by the holder of the unit.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    place = frozen.folder.unit(unit)
    if not is_finished(unit, receipt_file=frozen.folder.receipt(unit)) or is_up_to_date(frozen, unit):
        return False
    aside = frozen.folder.damaged / f"{unit.id}-{secrets.token_hex(4)}"
    with disk_errors(aside):
        aside.parent.mkdir(parents=True, exist_ok=True)
        place.rename(aside)
        flush_to_disk(place.parent)
    return True
