"""Why two runs are not the same: what of a unit differs first along the graph of units, and what had no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from evercast.plan import FILE_PREFIX, IMAGE_PREFIX, Unit
from evercast.plan.recipes import StageName
from evercast.reinterpretation.documents import LeafChange, changed_leaves
from evercast.reinterpretation.sides import Side
from evercast.reinterpretation.units import UnitComparison
from evercast.runtime.receipts import Receipt
from evercast.spec.codec import to_json

__all__ = ["Cause", "CauseKind", "Origin", "Reasons", "grouped", "origins_of", "run_causes"]

CauseKind = Literal["document", "seed", "input", "image", "code", "version", "default", "device", "machine", "unknown"]

_CODE: Final = "evercast"
_NOT_IN_STAGES: Final = frozenset({"publication", "runtime"})
_NOT_COMPUTING: Final = frozenset({"snakemake"})
"""Packages of a receipt that compute nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that differs between two runs.

    Args:
        kind: what sort of thing: a value of the document, a seed in it, a file, an image, the version of evercast, that
            of another package, a default of a package, what computed, the machine; ``unknown``: nothing recorded.
        name: path in the document, file, package, ...
        old, new: what it was and what it is.
        line: of the new document.
    """

    kind: CauseKind
    name: str
    old: str
    new: str
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "unknown":
            return self.name
        place = self.name if self.line is None else f"{self.name} (line {self.line})"
        return f"{self.kind} {place}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A unit where a difference begins.

    It reads only what is the same; or what it reads is changed already, and something of its own differs as well.

    Args:
        causes: what of it differs, the most likely first; of a unit that reads what is changed, what differs nowhere
            before it.
    """

    stage: StageName
    name: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why two runs are not the same.

    Args:
        origins: where differences begin, in the order of the graph.
        without_effect: what differs between the runs and changed no file.
    """

    origins: tuple[Origin, ...]
    without_effect: tuple[Cause, ...]


def origins_of(units: tuple[UnitComparison, ...], *, old: Side, new: Side, document: tuple[LeafChange, ...]) -> Reasons:
    """Return where the differences of two runs begin, and what of the differences had no effect.

    Args:
        units: the verdicts, in the order of the graph.
        old: the archived run.
        new: the replay.
        document: leaves of the documents that differ.
    """
    known = {(unit.stage, unit.name): unit for unit in units}
    origins: list[Origin] = []
    named: set[tuple[str, str]] = set()
    for unit in units:
        if not _is_changed(unit):
            continue
        before, after = (side.by_name.get((unit.stage, unit.name)) for side in (old, new))
        follows = any(_changed(item, known, old) for item in (before.needs() if before else ()))
        said = frozenset(origin.stage for origin in origins) if follows else frozenset[str]()
        causes = tuple(_causes(before, after, old=old, new=new, document=document, said=said))
        if follows:
            causes = tuple(cause for cause in causes if (cause.kind, cause.name) not in named)
            if not causes:
                continue
        if causes or before is not None:
            stage: StageName = (before or after).stage  # type: ignore[union-attr]
            unknown = Cause(kind="unknown", name="nothing that was recorded differs", old="", new="")
            origins.append(Origin(stage=stage, name=unit.name, causes=causes or (unknown,)))
            named |= {(cause.kind, cause.name) for cause in causes}
    code = any(kind == "code" for kind, _ in named)
    idle = (
        cause
        for cause in run_causes(old, new, document)
        if (cause.kind, cause.name) not in named and not (code and cause.kind == "code")
    )
    return Reasons(origins=tuple(origins), without_effect=tuple(idle))


def run_causes(old: Side, new: Side, document: tuple[LeafChange, ...]) -> tuple[Cause, ...]:
    """Return everything that differs between two runs, each thing once, whether or not it had an effect."""
    found = [_document_cause(change) for change in document]
    for unit in old.plan.units:
        other = new.by_name.get((unit.stage, unit.name))
        if other is None:
            continue
        before, after = old.receipt(unit), new.receipt(other)
        if before is not None and after is not None:
            found += _of_receipts(before, after)
    found += _of_code("", old, new)
    found += _of_mappings("default", old.defaults, new.defaults)
    found += _of_mappings("machine", old.machine, new.machine)
    unique = {(cause.kind, cause.name, cause.old, cause.new): cause for cause in found}
    return tuple(unique.values())


def _changed(identity: str, known: Mapping[tuple[str, str], UnitComparison], old: Side) -> bool:
    unit = old.plan.by_id().get(identity)
    said = known.get((unit.stage, unit.name)) if unit is not None else None
    return said is not None and _is_changed(said)


def _is_changed(unit: UnitComparison) -> bool:
    """Return whether a unit gave something else, also where that is judged by the results alone."""
    return unit.verdict != "same-bits" and (unit.verdict != "not-compared" or unit.anew)


def _causes(
    before: Unit | None, after: Unit | None, *,
    old: Side, new: Side, document: tuple[LeafChange, ...], said: frozenset[str],
) -> Iterator[Cause]:  # fmt: skip
    """Yield what of a unit differs: what it was asked for, what it read from outside, what computed it.

    Source files that the stages in `said` may run as well are left out.
    """
    if before is None or after is None:
        yield from (_document_cause(change) for change in document)
        return
    yield from _of_recipes(before, after, document)
    yield from _of_files(before, after, old, new)
    first, second = old.receipt(before), new.receipt(after)
    if first is None or second is None:
        return
    made = tuple(_of_receipts(first, second))
    yield from made
    if any(cause.kind == "version" and cause.name == "pyhf" for cause in made):
        yield from _of_mappings("default", old.defaults, new.defaults)
    yield from _of_code(before.stage, old, new, said)
    yield from _of_mappings("machine", old.machine, new.machine)


def grouped(origins: tuple[Origin, ...]) -> tuple[tuple[tuple[Origin, ...], tuple[Cause, ...]], ...]:
    """Return the origins with the same causes together, with those causes, in the order of the graph."""
    found: dict[tuple[Cause, ...], list[Origin]] = {}
    for origin in origins:
        found.setdefault(origin.causes, []).append(origin)
    return tuple((tuple(same), causes) for causes, same in found.items())


def _of_code(stage: str, old: Side, new: Side, said: frozenset[str] = frozenset()) -> Iterator[Cause]:
    """Yield the source files of evercast that are not the archived ones and that a stage may run, as one cause.

    Args:
        stage: whose own files come first, and whose alone of the stages; empty: every file that computes.
        old: the archived run.
        new: the other one.
        said: stages whose source files were named already.
    """
    if not old.code or not new.code:
        return
    names = [name for name in {**old.code, **new.code} if old.code.get(name) != new.code.get(name)]
    if stage:
        names = [name for name in names if _may_run(stage, name) and not any(_may_run(each, name) for each in said)]
        names.sort(key=lambda name: f"stages/{stage}" not in name)
    if not names:
        return
    digests = (side.code.get(names[0]) for side in (old, new))
    before, after = ("no such file" if digest is None else f"sha256 {digest[:12]}" for digest in digests)
    more = f" and {len(names) - 1} more source files" if len(names) > 1 else ""
    yield Cause(kind="code", name=f"{names[0]}{more}", old=before, new=after)


def _may_run(stage: str, file: str) -> bool:
    """Return whether a source file can have a part in what a stage computes."""
    room, _, rest = file.removeprefix("src/evercast/").partition("/")
    if room == "stages":
        return rest.removesuffix(".py").partition("/")[0] in (stage, "__init__")
    return room not in _NOT_IN_STAGES or (room == "publication" and stage in ("diagnostics", "report"))


def _of_recipes(before: Unit, after: Unit, document: tuple[LeafChange, ...]) -> Iterator[Cause]:
    """Yield what the recipe says otherwise, by its place in the document where that can be told."""
    for change in changed_leaves(to_json(before.recipe), to_json(after.recipe)):
        if change.path.startswith("$.analysis.tolerances"):
            continue
        tail = change.path.rpartition(".")[2]
        same = [item for item in document if (item.old, item.new) == (change.old, change.new)]
        place = next((item for item in same if item.path.rpartition(".")[2] == tail), same[0] if same else None)
        yield _document_cause(place or change)


def _document_cause(change: LeafChange) -> Cause:
    kind: CauseKind = "seed" if change.path.rpartition(".")[2] == "seed" else "document"
    return Cause(kind=kind, name=change.path, old=_shown(change.old), new=_shown(change.new), line=change.line)


def _of_files(before: Unit, after: Unit, old: Side, new: Side) -> Iterator[Cause]:
    """Yield the files beside the document, and the images, that a unit reads and that have another content."""
    for name, reference in before.inputs.items():
        other = after.inputs.get(name, "")
        if reference.startswith(FILE_PREFIX) and other.startswith(FILE_PREFIX):
            paths = reference.removeprefix(FILE_PREFIX), other.removeprefix(FILE_PREFIX)
            digests = old.plan.files.get(paths[0], "unknown"), new.plan.files.get(paths[1], "unknown")
            if digests[0] != digests[1]:
                yield Cause(kind="input", name=paths[0], old=f"sha256 {digests[0]}", new=f"sha256 {digests[1]}")
        elif reference.startswith(IMAGE_PREFIX) and other != reference:
            yield Cause(kind="image", name=name, old=reference.removeprefix(IMAGE_PREFIX), new=other or "none")


def _of_receipts(old: Receipt, new: Receipt) -> Iterator[Cause]:
    images = [
        "none" if item.container is None else f"{item.container.image} sha256 {item.container.sha256}"
        for item in (old, new)
    ]
    if images[0] != images[1]:
        yield Cause(kind="image", name="of the computation", old=images[0], new=images[1])
    for name in [name for name in {**old.versions, **new.versions} if name not in _NOT_COMPUTING]:
        before, after = old.versions.get(name, "not installed"), new.versions.get(name, "not installed")
        if before != after:
            yield Cause(kind="code" if name == _CODE else "version", name=name, old=before, new=after)
    yield from _of_mappings("device", old.device, new.device)


def _of_mappings(kind: CauseKind, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Cause]:
    """Yield the entries that differ; nothing where one side has no record."""
    if not old or not new:
        return
    for name in {**old, **new}:
        before, after = old.get(name, "not recorded"), new.get(name, "not recorded")
        if before != after:
            yield Cause(kind=kind, name=name, old=before, new=after)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.120}"
