"""Names: unique also when case is ignored, and no two meanings of one name in an expression."""

from __future__ import annotations

from typing import Any

from evercast.spec.checks.context import Context
from evercast.spec.report import Path, Report, shown_name

__all__ = ["check_names", "event_collections", "input_collections"]

_HISTORY = frozenset({"heavy_flavour", "prompt"})
_RESERVED = frozenset({"and", "or", "not"})


def check_names(context: Context, report: Report) -> None:
    """Check that names are unique without regard to case and free of double meaning."""
    _check_case(context.body, (), report)
    _check_event_names(context, report)
    _check_parameter_names(context, report)


def _check_case(value: Any, path: Path, report: Report) -> None:
    """Add a problem for keys that differ in case only: files of those names would collide on some disks."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            _check_case(item, (*path, place), report)
    elif isinstance(value, dict):
        seen: dict[str, str] = {}
        for key, item in value.items():
            other = seen.setdefault(key.lower(), key)
            if other != key:
                message = f"the names {shown_name(other)} and {shown_name(key)} differ in case only"
                report.add((*path, key), "spec.case-only", message, hint="rename one of them", key=True)
            _check_case(item, (*path, key), report)


def _check_event_names(context: Context, report: Report) -> None:
    """Check that collections, objects, candidates, columns and observables have names of their own."""
    meanings: dict[str, str] = dict.fromkeys(sorted(input_collections(context)), "a collection of the input")
    for column in context.analysis.selection.columns:
        meanings.setdefault(column, "a column of the input")
    for section in ("objects", "missing_momentum", "candidates", "observables"):
        for name in context.declared("selection", section):
            path: Path = ("selection", section, name)
            kind = f"an entry of {section}"
            names = _pair_names(context, name) if section == "candidates" else (name,)
            if name in _RESERVED:
                report.add(path, "spec.reserved-name", f"{shown_name(name)} is a word of the expressions", key=True)
            for meant in names:
                if meant in meanings and not _is_column(context, section, name):
                    message = f"the name {shown_name(meant)} is already {meanings[meant]}"
                    report.add(path, "spec.name-clash", message, hint="rename one of them", key=True)
                meanings.setdefault(meant, kind)


def _pair_names(context: Context, name: str) -> tuple[str, ...]:
    """Return the three collections of a candidates entry."""
    pairs = context.analysis.selection.candidates.get(name)
    return tuple(f"{name}{end}" for end in (pairs.suffixes if pairs else ("", "_negative", "_positive")))


def _is_column(context: Context, section: str, name: str) -> bool:
    """Return whether an observable is a column under its own name, which is one meaning, not two."""
    observable = context.analysis.selection.observables.get(name) if section == "observables" else None
    is_itself = observable is not None and observable.expression.strip() == name
    return is_itself and name in context.analysis.selection.columns


def input_collections(context: Context) -> frozenset[str]:
    """Return the collections that inputs give: ``particles`` of generators, and those declared with the files.

    What needs the history of events is among them where the selection uses it.
    """
    files = [file for sample in context.analysis.samples.values() for file in sample.files]
    objects = context.analysis.selection.objects.values()
    used = {one.collection for one in objects} | {one.flavour.collection for one in objects if one.flavour is not None}
    return frozenset({"particles"}.union(*(file.collections for file in files))) | (used & _HISTORY)


def event_collections(context: Context) -> frozenset[str]:
    """Return all collections of an event: of the input, objects, missing momenta, and candidates with their items."""
    made = [name for pair in context.declared("selection", "candidates") for name in _pair_names(context, pair)]
    declared = (*context.declared("selection", "objects"), *context.declared("selection", "missing_momentum"))
    return input_collections(context) | {*declared, *made}


def _check_parameter_names(context: Context, report: Report) -> None:
    parameters = context.declared("parameters")
    for name in parameters:
        if name in _RESERVED:
            message = f"{shown_name(name)} is a word of the expressions"
            report.add(("parameters", name), "spec.reserved-name", message, key=True)
    if "all" in context.declared("processes"):
        message = "'all' stands for every process"
        report.add(("processes", "all"), "spec.reserved-name", message, hint="rename it", key=True)
