"""``evercast validate``: every problem of a document at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from evercast.errors import InvalidDocument
from evercast.spec.model import Analysis

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

    The exit code is 0 for a valid document, 3 for an invalid one, 5 where a path in it escapes or it passes a limit.
    """
    from evercast.runtime.plans import named_images  # noqa: PLC0415 - the schema library is loaded only when it is used
    from evercast.spec import load_analysis  # noqa: PLC0415 - likewise

    try:
        analysis = load_analysis(document, check_files=not no_files)
        if not no_files:
            named_images(analysis, folder=document.parent)
    except InvalidDocument as err:
        click.echo(_problems_json(document, err) if as_json else _problems_text(document, err))
        context.exit(err.exit_code)
    if as_json:
        click.echo(json.dumps({"document": str(document), "valid": True, "schema": analysis.schema, "problems": []}))
    else:
        click.echo(_summary(document, analysis))


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
