"""The finished units of a run, as the report sees them: their folders and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evercast.publication.report.view import JsonView, read_view

__all__ = ["Unit", "collect_units", "of_stage"]

STAGE_ORDER = (
    "fetch", "generation", "command", "selection", "training", "evaluation", "serialization", "fit", "toys", "study",
    "training_statistics", "diagnostics", "report",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of work.

    Args:
        stage: name of its stage.
        name: name within the stage.
        path: its folder, or the file it made.
        key: digest of its recipe and inputs; None without a receipt.
        inputs: name -> key of the unit that made the input.
        receipt: the whole receipt, a view of None where there is none.
    """

    stage: str
    name: str
    path: Path
    key: str | None
    inputs: Mapping[str, str]
    receipt: JsonView

    @property
    def folder(self) -> Path:
        """The folder of the unit, also where `path` is the file in it."""
        return self.path if self.path.is_dir() else self.path.parent


def collect_units(inputs: Mapping[str, Path]) -> tuple[Unit, ...]:
    """Return the units behind the inputs of the report, stage by stage in the order of the pipeline.

    Args:
        inputs: ``STAGE/NAME`` -> folder or file.

    Raises:
        IntegrityError: a receipt is not JSON.
    """
    units = [_unit(name, path) for name, path in inputs.items()]
    known = {stage: index for index, stage in enumerate(STAGE_ORDER)}
    return tuple(sorted(units, key=lambda unit: (known.get(unit.stage, len(known)), unit.stage)))


def of_stage(units: tuple[Unit, ...], stage: str) -> tuple[Unit, ...]:
    """Return the units of one stage."""
    return tuple(unit for unit in units if unit.stage == stage)


def _unit(name: str, path: Path) -> Unit:
    stage, _, short = name.partition("/")
    folder = path if path.is_dir() else path.parent
    file = folder / "receipt.json"
    receipt = read_view(file) if file.is_file() else JsonView()
    inputs = {key: found for key, value in receipt.items("inputs") if (found := _key_of(value))}
    return Unit(stage=stage, name=short or stage, path=path, key=receipt.text("key"), inputs=inputs, receipt=receipt)


def _key_of(value: JsonView) -> str | None:
    """Return the key in ``KEY`` or ``KEY:file``; a file beside the document has a digest that is no unit's key."""
    text = value.text() or value.text("key")
    return None if text is None else text.partition(":")[0]
