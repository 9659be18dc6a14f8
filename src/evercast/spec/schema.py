"""From a document to the checked analysis, or to all of its problems at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from evercast.errors import InvalidInput, Problem
from evercast.spec.checks import Context, run_checks
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis
from evercast.spec.reader import Document, read_document
from evercast.spec.repair import pruned, rename_key
from evercast.spec.report import Report, invalid_document, shown
from evercast.spec.structure import Violation, violations

__all__ = ["SCHEMA", "analysis_from_json", "analysis_to_json", "check_document", "load_analysis"]

SCHEMA = "analysis/1.0.0"


def load_analysis(path: FilePath, *, check_files: bool = True) -> Analysis:
    """Return the checked analysis in a document.

    Args:
        path: the YAML (or JSON) document.
        check_files: also look at the files it names: that they exist, and that declared digests match.

    Raises:
        InvalidDocument: with every problem of syntax, of the schema and of the cross-checks.
    """
    return check_document(read_document(path), folder=path.parent if check_files else None)


def check_document(document: Document, *, folder: FilePath | None = None) -> Analysis:
    """Return the checked analysis of a document that was read.

    Args:
        document: the document.
        folder: where its relative paths start; None leaves files unchecked.

    Raises:
        InvalidDocument: with every problem of the schema and of the cross-checks.
    """
    version = _version_problem(document)
    if version is not None:
        raise invalid_document([*document.problems, version])
    structure = Report(document, document.bad_paths)
    found = _corrected(document, structure)
    for violation in found:
        _add(structure, violation)
    body = pruned(document.value, "analysis", [item.path for item in found if item.breaks])
    problems = [*document.problems, *structure.problems]
    analysis = None
    if body is not None:
        analysis = from_json(Analysis, _with_all_processes(body))
        broken = frozenset({*document.bad_paths, *map(_place, found)})
        checks = Report(document, broken)
        run_checks(Context(analysis=analysis, body=document.value, folder=folder, broken=broken), checks)
        problems.extend(checks.problems)
    if problems or analysis is None:
        raise invalid_document(problems)
    return analysis


def _with_all_processes(body: dict[str, Any]) -> dict[str, Any]:
    """Return the document with each ``processes: all`` of a systematic written out: every process, in its order."""
    names = list(body["processes"])
    systematics = {
        name: {**entry, "processes": names} if isinstance(entry.get("processes"), str) else entry
        for name, entry in body.get("systematics", {}).items()
    }
    return {**body, "systematics": systematics}


def _corrected(document: Document, report: Report) -> list[Violation]:
    """Report misspelt keys and take each for what was meant, so that what is below them is checked too.

    Returns:
        The violations of the schema that remain.
    """
    while True:
        found = violations(document, "analysis")
        absent = [item for item in found if item.meant is not None and item.meant not in _mapping(document, item)]
        if not absent:
            return found
        for violation in absent:
            _add(report, violation)
        for violation in absent:
            rename_key(document.root, violation.path, str(violation.meant))


def _mapping(document: Document, violation: Violation) -> dict[str, Any]:
    """Return the mapping that the key of a violation stands in."""
    value: Any = document.value
    for step in violation.path[:-1]:
        value = value[step]
    mapping: dict[str, Any] = value
    return mapping


def _place(violation: Violation) -> tuple[str | int, ...]:
    return violation.path if violation.missing is None else (*violation.path, violation.missing)


def _add(report: Report, violation: Violation) -> None:
    report.add(
        violation.path,
        violation.code,
        violation.message,
        found=violation.found,
        expected=violation.expected,
        hint=violation.hint,
        key=violation.at_key,
    )


def _version_problem(document: Document) -> Problem | None:
    """Return the problem of a document that is of another kind or version; then nothing else can be said of it."""
    found = document.value.get("schema")
    if found is None or found == SCHEMA or not isinstance(found, str):
        return None
    match = re.fullmatch(r"analysis/([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})", found)
    if match is None:
        return None
    newer = tuple(map(int, match.groups())) > (1, 0, 0)
    message = f"the document is of a{' newer' if newer else 'n older'} version than this evercast reads"
    return Problem(
        code="spec.version",
        message=message,
        path="$.schema",
        file=document.file,
        line=document.line(("schema",)),
        found=shown(found),
        expected=SCHEMA,
        hint="install a newer evercast" if newer else "there is no released version before 1.0.0",
    )


def analysis_to_json(analysis: Analysis) -> dict[str, Any]:
    """Return the canonical form: every key that has a value, in the order of the model; it is valid by the schema."""
    body: dict[str, Any] = _without_none(to_json(analysis))
    return body


def analysis_from_json(body: Mapping[str, Any]) -> Analysis:
    """Return the analysis of its canonical form, without the cross-checks.

    Raises:
        InvalidInput: it is not one (code ``json.structure``).
    """
    if body.get("schema") != SCHEMA:
        found = shown(body.get("schema"))
        raise InvalidInput(f"the analysis has another schema: found {found}, expected {SCHEMA}", code="json.structure")
    return from_json(Analysis, body)


def _without_none(value: Any) -> Any:
    """Leave out keys that are None, but for the one key whose null differs from its default."""
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None or key == "patience"}
    if isinstance(value, list):
        return [_without_none(part) for part in value]
    return value
