"""The headers of event files beside a document, held against the columns that its expressions name.

A misspelt column would end the selection of its sample, perhaps hours after the start of a run and on another machine.
What stages, generators and public sources give is not there yet when a document is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import EvercastError
from evercast.events.formats import detect_format, open_events
from evercast.events.selector import Selector
from evercast.spec.expressions import names as names_of
from evercast.spec.expressions import parse
from evercast.spec.model import Analysis, EventFile, Sample, Selection
from evercast.spec.report import Path as Place
from evercast.spec.report import Report, nearest

__all__ = ["check_headers"]

_FORMATS: Final = frozenset({"csv", "parquet", "root"})
"""Formats whose names stand in a header; those of generated events are the same in every file, and are read whole."""
_MOST_FILES: Final = 50
"""Files of one sample that are looked at: a header takes some ten milliseconds."""
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class _Missing:
    """A name that files of a sample lack."""

    name: str
    sample: str
    known: tuple[str, ...]
    files: list[str]


def check_headers(analysis: Analysis, *, folder: Path, report: Report) -> int:
    """Report each column that an expression names and a file beside the document lacks; return the files looked at.

    Args:
        analysis: a document without other problems.
        folder: of the document.
        report: gets ``sample.column``, or what is wrong with the header of a file.
    """
    looked_at = 0
    missing: dict[str, _Missing] = {}
    for name, sample in analysis.samples.items():
        wanted = Selector(analysis.selection, weight=sample.weight, smear=False).inputs()
        for position, entry in list(_local(sample, folder))[:_MOST_FILES]:
            place: Place = ("samples", name, "files", position, "path")
            try:
                stated = _names_in(entry, folder)
            except EvercastError as err:
                report.add(place, err.code, f"the header of the file cannot be read: {err.message}", hint=err.hint)
                continue
            if stated is None:
                continue
            looked_at += 1
            _check_collections(entry, stated, ("samples", name, "files", position, "collections"), report)
            columns = (*entry.collections, *stated)
            for column in wanted:
                if column not in columns:
                    known = missing.setdefault(f"{name}/{column}", _Missing(column, name, columns, []))
                    known.files.append(str(entry.path))
    for column in dict.fromkeys(item.name for item in missing.values()):
        _tell([item for item in missing.values() if item.name == column], analysis, report)
    return looked_at


def _local(sample: Sample, folder: Path) -> Iterator[tuple[int, EventFile]]:
    for position, entry in enumerate(sample.files):
        if entry.path is not None and (folder / entry.path).is_file():
            yield position, entry


def _names_in(entry: EventFile, folder: Path) -> tuple[str, ...] | None:
    """Return the columns of a file; None of a format that is not looked into.

    Raises:
        InvalidInput: what is wrong with the file.
    """
    path = folder / str(entry.path)
    if detect_format(path) not in _FORMATS:
        return None
    return open_events(path, format=entry.format, tree=entry.tree, verified=True).columns


def _check_collections(entry: EventFile, stated: tuple[str, ...], place: Place, report: Report) -> None:
    """Report the columns that collections are made of and the file lacks."""
    for collection, properties in entry.collections.items():
        for key, items in properties.items():
            for position, column in enumerate(items):
                if column not in stated:
                    guess = nearest(column, stated)
                    report.add(
                        (*place, collection, key, position),
                        "sample.column",
                        f"the file {entry.path} has no column '{column}'",
                        expected=f"one of its columns: {_listed(stated)}",
                        hint=f"did you mean '{guess}'?" if guess else None,
                    )


def _tell(missing: list[_Missing], analysis: Analysis, report: Report) -> None:
    """Report one name, at the first expression that uses it, with all files that lack it."""
    first = missing[0]
    files = [file for item in missing for file in item.files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    guess = nearest(first.name, first.known)
    report.add(
        _user(first, analysis),
        "sample.column",
        f"the file {files[0]}{more} of sample {first.sample} has no column '{first.name}'",
        expected=f"one of its columns: {_listed(first.known)}",
        hint=f"did you mean '{guess}'?" if guess else None,
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")


def _user(missing: _Missing, analysis: Analysis) -> Place:
    """Return where the document uses a name first: the weight of the sample, or the selection."""
    weight = analysis.samples[missing.sample].weight
    if weight is not None and missing.name in names_of(parse(weight)):
        return ("samples", missing.sample, "weight")
    for place, text in _expressions(analysis.selection).items():
        if missing.name in names_of(parse(text)):
            return place
    for group, entries, key in (
        ("objects", analysis.selection.objects, "collection"),
        ("candidates", analysis.selection.candidates, "pairs_of"),
    ):
        for name, entry in entries.items():
            if getattr(entry, key) == missing.name:
                return ("selection", group, name, key)
    return ("samples", missing.sample, "files")


def _expressions(selection: Selection) -> Mapping[Place, str]:
    found: dict[Place, str] = {
        ("selection", "preselection", name): text for name, text in selection.preselection.items()
    }
    found |= {
        ("selection", "observables", name, "expression"): one.expression for name, one in selection.observables.items()
    }
    return found | {("selection", "regions", name, "cut"): one.cut for name, one in selection.regions.items()}
