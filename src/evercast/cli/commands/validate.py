"""``evercast validate``: every problem of a document at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.errors import InvalidDocument
from evercast.spec.model import Analysis

if TYPE_CHECKING:
    from evercast.spec.reader import Document

__all__ = ["command"]


@click.command(
    name="validate",
    short_help="Check a document and report every problem in it.",
    epilog="Example: evercast validate specs/h4l/analysis.yaml",
)
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--no-files", is_flag=True, help="Do not look at the files that the document names.")
@click.pass_context
def command(context: click.Context, document: Path, *, as_json: bool, no_files: bool) -> None:
    """Check DOCUMENT and print every problem with its line, its place, what was found and what is allowed.

    Files beside it that are event tables (CSV, Parquet, ROOT) must have the columns that weights and selection name.
    The exit code is 0 for a valid document, 3 for an invalid one, 5 where a path in it escapes or it passes a limit.
    """
    from evercast.runtime.plans import named_images  # noqa: PLC0415 - the schema library is loaded only when it is used
    from evercast.spec.reader import read_document  # noqa: PLC0415 - likewise
    from evercast.spec.schema import check_document  # noqa: PLC0415 - likewise

    try:
        source = read_document(document)
        analysis = check_document(source, folder=None if no_files else document.parent)
        if not no_files:
            named_images(analysis, folder=document.parent)
            _check_columns(analysis, source, folder=document.parent)
    except InvalidDocument as err:
        click.echo(_problems_json(document, err) if as_json else _problems_text(document, err))
        context.exit(err.exit_code)
    if as_json:
        click.echo(json.dumps({"document": str(document), "valid": True, "schema": analysis.schema, "problems": []}))
    else:
        click.echo(_summary(document, analysis))


def _check_columns(analysis: Analysis, source: Document, *, folder: Path) -> None:
    """Refuse a document whose expressions name columns that a file beside it does not have.

    Raises:
        InvalidDocument: with every such column.
    """
    if not any(file.path is not None for sample in analysis.samples.values() for file in sample.files):
        return
    from evercast.events.headers import check_headers  # noqa: PLC0415 - readers of event files are heavy
    from evercast.spec.report import Report, invalid_document  # noqa: PLC0415 - likewise

    report = Report(source)
    check_headers(analysis, folder=folder, report=report)
    if report.problems:
        raise invalid_document(report.problems)


def _problems_text(document: Path, err: InvalidDocument) -> str:
    count = len(err.problems)
    return f"{err}\n{document}: not valid, {count} {'problem' if count == 1 else 'problems'}"


def _problems_json(document: Path, err: InvalidDocument) -> str:
    problems = [asdict(problem) for problem in err.problems]
    body = {"document": str(document), "valid": False, "exit_code": err.exit_code, "problems": problems}
    return json.dumps(body, indent=1, ensure_ascii=True)


def _summary(document: Path, analysis: Analysis) -> str:
    counts = {
        "sample": len(analysis.samples),
        "observable": len(analysis.selection.observables),
        "process": len(analysis.processes),
        "ensemble": len(analysis.ensembles),
        "likelihood": len(analysis.likelihoods),
    }
    plurals = {"process": "processes"}
    parts = [f"{count} {name if count == 1 else plurals.get(name, name + 's')}" for name, count in counts.items()]
    return f"{document}: valid {analysis.schema}, {', '.join(parts)}"
