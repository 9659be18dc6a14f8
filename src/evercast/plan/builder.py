"""Collects units: gives each its key and id, and keeps the order in which they can be done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evercast.errors import EvercastError
from evercast.plan.files import local_digest
from evercast.plan.keys import input_key, key_form, unit_id, unit_key
from evercast.plan.model import FILE_PREFIX, NetworkCount, Unit, UnitResources
from evercast.plan.recipes import Recipe, StageName
from evercast.spec.model import Analysis

__all__ = ["Builder", "slug"]

_LONGEST_NAME = 80


def slug(text: str) -> str:
    """Return `text` with everything that does not belong in a file name replaced by ``_``, at most 24 characters.

    Example:
        >>> slug("m = 1.5 TeV")
        'm___1.5_TeV'
    """
    return re.sub(r"[^A-Za-z0-9._]", "_", text)[:24]


@dataclass(slots=True, kw_only=True)
class Builder:
    """The units of a plan while it is made.

    Args:
        folder: the folder of the document.
        images: name of an image in the document -> sha256 of the image that it stands for.
        units: id -> unit, in the order in which they were added; a unit is added after those it needs.
        files: file beside the document -> sha256.
        made: (stage, thing) -> unit ids, filled by the functions that add units, so that each thing is made once.
    """

    analysis: Analysis
    folder: Path
    pseudo: bool
    images: Mapping[str, str] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    networks: list[NetworkCount] = field(default_factory=list)
    made: dict[tuple[StageName, str], tuple[str, ...]] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _names: set[tuple[StageName, str]] = field(default_factory=set)

    def add(
        self, stage: StageName, name: str, recipe: Recipe, *,
        inputs: Mapping[str, str], resources: UnitResources, networks: int = 0,
        content: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Add a unit, described as in `Unit`, and return its id; the units in `inputs` must have been added before.

        Where less than the recipe decides the output, `content` is that; it enters the key in the place of the recipe.
        """
        contributions = {key: input_key(value, keys=self._keys, files=self.files) for key, value in inputs.items()}
        key = unit_key(stage=stage, recipe=content or key_form(recipe), inputs=contributions)
        unique = self._unique(stage, name[:_LONGEST_NAME])
        identity = unit_id(unique, key)
        self.units[identity] = Unit(
            id=identity, stage=stage, name=unique, key=key, recipe=recipe, inputs=dict(inputs), resources=resources,
            networks=networks,
        )  # fmt: skip
        self._keys[identity] = key
        return identity

    def file(self, path: str, *, declared: str | None = None) -> str:
        """Return the reference of a file beside the document; its content enters the plan.

        Raises:
            InvalidInput: ``plan.file-missing``.
        """
        if path not in self.files:
            self.files[path] = local_digest(path, folder=self.folder, declared=declared)
        return FILE_PREFIX + path

    def one(self, stage: StageName, thing: str) -> str:
        """Return the id of the only unit that makes `thing`.

        Raises:
            EvercastError: it was not made, which the checks of the document exclude.
        """
        units = self.made.get((stage, thing), ())
        if len(units) != 1:
            raise EvercastError(f"{len(units)} units of stage {stage} make {thing}; expected 1", code="plan.incomplete")
        return units[0]

    def _unique(self, stage: StageName, name: str) -> str:
        candidate, count = name, 1
        while (stage, candidate) in self._names:
            count += 1
            candidate = f"{name}-{count}"
        self._names.add((stage, candidate))
        return candidate
