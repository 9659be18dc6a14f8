"""What the machine of today would change in a replay, said before anything is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from evercast import __version__
from evercast.artifacts.archive_record import InputEntry
from evercast.errors import EnvironmentUnfit, EvercastError
from evercast.events.sources import available, search_path_from_environment
from evercast.plan.recipes import FetchRecipe, StageName
from evercast.reinterpretation.archived import ArchivedRun, running_code
from evercast.runtime.apptainer import find_runtime
from evercast.runtime.image_store import default_store
from evercast.runtime.machine import machine_facts, statistics_defaults
from evercast.spec import load_analysis

__all__ = ["Finding", "check_environment"]

Effect = Literal["same", "may-change", "blocks"]

_USED_BY: Final[dict[str, tuple[StageName, ...]]] = {
    "awkward": ("selection",), "uproot": ("selection", "serialization"), "vector": ("selection",),
    "pyhepmc": ("selection",), "pylhe": ("selection",), "pythia8mc": ("generation",),
    "equinox": ("training", "evaluation", "fit"), "optax": ("training",),
    "jax": ("training", "evaluation", "serialization", "fit", "toys", "study", "training_statistics"),
    "jaxlib": ("training", "evaluation", "serialization", "fit", "toys", "study", "training_statistics"),
    "iminuit": ("fit", "toys", "training_statistics"), "scipy": ("fit", "toys", "study", "diagnostics"),
    "pyhf": ("serialization",), "safetensors": ("training", "serialization"),
    "zarr": ("selection", "evaluation", "toys"), "snakemake": (),
}  # fmt: skip
"""Stages that use a package; others are used everywhere."""

_MACHINE: Final = {
    "instructions": "sums come in another order: numbers differ by rounding, networks trained anew by about 1e-6",
    "architecture": "sums come in another order, and images of the archive may not run",
    "processor": "the same bits where the instruction sets are the same",
    "system": "containers need Linux",
    "python": "the same bits where the packages are the same",
    "byte_order": "files are little-endian and are read as such",
}
_SPARE: Final = 1.2
"""Room that a replay needs, in sizes of what is archived: the same again, and what is kept while units are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing of the machine against the archive.

    Args:
        kind: document, package, default, machine, code, image, container, input, disk, memory.
        old: of the archive; new: of today.
        effect: the same; another one, so that numbers may change; or a replay cannot run.
        text: what it may change, or what to do.
    """

    kind: str
    name: str
    old: str
    new: str
    effect: Effect
    text: str = ""


def check_environment(archived: ArchivedRun, *, output: Path) -> tuple[Finding, ...]:
    """Return everything that was looked at, what is the same among it; nothing is run.

    Args:
        archived: the opened archive.
        output: where a replay would be made; for the room on its disk.
    """
    return (
        *_document(archived),
        *_packages(archived),
        *_mapping("default", archived.side.defaults, statistics_defaults(), "limits and p-values mean something else"),
        *_machine(archived),
        *_code(archived),
        *_images(archived),
        *_inputs(archived),
        *_room(archived, output),
    )


def _document(archived: ArchivedRun) -> Iterator[Finding]:
    old = str(archived.side.body.get("schema"))
    try:
        analysis = load_analysis(archived.side.document, check_files=False)
    except EvercastError as err:
        text = f"this evercast does not read it: {err.message}"
        yield Finding(kind="document", name="schema", old=old, new="–", effect="blocks", text=text)
        return
    yield Finding(kind="document", name="schema", old=old, new=analysis.schema, effect="same")


def _packages(archived: ArchivedRun) -> Iterator[Finding]:
    stages = archived.side.plan.stages()
    for name, old in archived.versions.items():
        new = _installed(name)
        used = [stage for stage in _USED_BY.get(name, stages) if stage in stages]
        if new == old:
            yield Finding(kind="package", name=name, old=old, new=new, effect="same")
        elif new is None:
            yield Finding(
                kind="package", name=name, old=old, new="not installed", effect="blocks" if used else "may-change",
                text=f"needed by {', '.join(used)}" if used else "no stage of this analysis uses it",
            )  # fmt: skip
        else:
            text = f"used by {', '.join(used)}" if used else "no stage of this analysis uses it"
            yield Finding(
                kind="package", name=name, old=old, new=new, effect="may-change" if used else "same", text=text
            )


def _installed(name: str) -> str | None:
    """Return the version of a package of this machine; None where there is none."""
    if name == "evercast":
        return __version__
    if name == "python":
        return machine_facts()["python"].rpartition(" ")[2]
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine(archived: ArchivedRun) -> Iterator[Finding]:
    today = machine_facts()
    for name, old in archived.side.machine.items():
        new = today.get(name, "–")
        yield Finding(
            kind="machine", name=name, old=old, new=new, effect="same" if new == old else "may-change",
            text="" if new == old else _MACHINE.get(name, ""),
        )  # fmt: skip


def _mapping(kind: str, old: object, new: dict[str, str], text: str) -> Iterator[Finding]:
    before = dict(old) if isinstance(old, dict) else {}
    for name in before:
        same = new.get(name) == before[name]
        yield Finding(
            kind=kind, name=name, old=before[name], new=new.get(name, "–"), effect="same" if same else "may-change",
            text="" if same else text,
        )  # fmt: skip


def _code(archived: ArchivedRun) -> Iterator[Finding]:
    before, after = archived.side.code, running_code()
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    record = archived.version.record.code
    yield Finding(
        kind="code", name="evercast", old=f"{record.version} ({(record.revision or 'no commit')[:12]})",
        new=f"{__version__}, {len(changed)} of {len(after)} source files differ" if changed else __version__,
        effect="may-change" if changed else "same",
        text=f"the archived source is {record.file}" if changed else "",
    )  # fmt: skip


def _images(archived: ArchivedRun) -> Iterator[Finding]:
    """Yield whether every image is at hand, and the program to run it."""
    images = archived.version.record.images
    for image in images:
        place = (
            "in the archive" if image.file else "in the store" if default_store().file(image.sha256).is_file() else ""
        )
        registry = not place and "@sha256:" in image.name
        yield Finding(
            kind="image", name=image.name, old=f"sha256 {image.sha256[:12]}",
            new=place or ("to be brought from its registry" if registry else "missing"),
            effect="same" if place else "blocks",
            text="" if place else "put the file into the store of images, or compute with --no-containers",
        )  # fmt: skip
    if not images:
        return
    try:
        version = find_runtime().version
    except EnvironmentUnfit as err:
        hint = err.hint or ""
        yield Finding(kind="container", name="apptainer", old="used", new=err.message, effect="blocks", text=hint)
        return
    used = {
        receipt.container.apptainer
        for unit in archived.side.plan.units
        if (receipt := archived.side.receipt(unit)) is not None and receipt.container is not None
    }
    yield Finding(kind="container", name="apptainer", old=", ".join(sorted(used)), new=version, effect="same")


def _inputs(archived: ArchivedRun) -> Iterator[Finding]:
    """Yield the input files that the archive does not hold, and where they are."""
    place = search_path_from_environment(os.environ)
    recipes = (unit.recipe for unit in archived.side.plan.units)
    sources = {recipe.source.sha256: recipe.source for recipe in recipes if isinstance(recipe, FetchRecipe)}
    for entry in archived.version.record.inputs:
        if entry.file is not None:
            continue
        source = sources.get(entry.sha256)
        there = source is not None and available(source, place)
        yield Finding(
            kind="input", name=entry.name, old=f"sha256 {entry.sha256[:12]}, {entry.size} bytes",
            new="on this machine" if there else "missing", effect="same" if there else "blocks",
            text="" if there else _where(entry),
        )  # fmt: skip


def _where(entry: InputEntry) -> str:
    if entry.url is None:
        return "a file beside the document, too large for the archive: ask who made the archive"
    return f"bring {entry.url} and name its folder in EVERCAST_DATA"


def _room(archived: ArchivedRun, output: Path) -> Iterator[Finding]:
    """Yield disk and memory: what a replay needs and what there is."""
    sizes = archived.version.bag.sizes
    parts = ("data/units/", "data/inputs/", "data/document/", "data/results/")
    needed = int(_SPARE * sum(size for name, size in sizes.items() if name.startswith(parts)))
    there = next(folder for folder in (output.absolute(), *output.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    yield Finding(
        kind="disk", name=str(there), old=f"{needed / 1e6:.0f} MB needed", new=f"{free / 1e6:.0f} MB free",
        effect="same" if free > needed else "blocks", text="" if free > needed else "name another folder with --output",
    )  # fmt: skip
    asked = max((unit.resources.memory_mb for unit in archived.side.plan.units), default=0)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    yield Finding(
        kind="memory", name="largest unit", old=f"{asked} MB asked for", new=f"{total:.0f} MB",
        effect="same" if total > asked else "blocks",
        text="" if total > asked else "use a profile of a larger machine",
    )  # fmt: skip
