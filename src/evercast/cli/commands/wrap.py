"""``evercast wrap``: a published likelihood becomes a preserved analysis."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evercast.cli.wrap_added import Added, added_options
from evercast.errors import InvalidDocument, InvalidInput, UsageError

if TYPE_CHECKING:
    from evercast.reinterpretation.wrapped.model import Axis, DataFile, WrappedAnalysis

__all__ = ["command"]

_FILE = "wrapped.yaml"
_OPTIONS = {
    "$.name": "--name", "$.title": "--title", "$.metadata.experiment": "--experiment", "$.metadata.beams": "--beams",
    "$.metadata.sqrt_s_tev": "--sqrt-s", "$.metadata.luminosity_fb": "--luminosity", "$.metadata.doi": "--doi",
    "$.metadata.license": "--license", "$.metadata.paper": "--paper", "$.metadata.citation": "--citation",
    "$.metadata.signatures": "--signature", "$.axes": "--axis",
}  # fmt: skip
"""Place in the document -> option that says it."""


@click.command(epilog="Example: evercast wrap likelihoods.tar.gz --name my-search --points 'DS_{m_stau}_{m_lsp}'")
@click.argument("record")
@click.option("--name", required=True, help="Short name of the analysis: small letters, digits, '-' and '_'.")
@click.option("--title", help="What was searched for. [default: the name]")
@click.option("--experiment", required=True, help="Who published it, e.g. ATLAS.")
@click.option("--sqrt-s", "sqrt_s_tev", type=float, required=True, help="Centre-of-mass energy, TeV.")
@click.option("--luminosity", "luminosity_fb", type=float, required=True, help="Integrated luminosity, 1/fb.")
@click.option("--beams", default="pp", show_default=True, help="What collides.")
@click.option("--license", "licence", default="CC0-1.0", show_default=True, help="Licence of the record.")
@click.option("--doi", help="DOI of the record, e.g. 10.17182/hepdata.92006.")
@click.option("--paper", help="The publication, e.g. arXiv:1911.06660.")
@click.option("--citation", help="How to cite the record.")
@click.option("--signature", "signatures", multiple=True, help="A final state, in words; may be repeated.")
@click.option("--patchset", "others", type=click.Path(path_type=Path), multiple=True,
              help="A patchset, a patch file or a folder of patches of RECORD; may be repeated.")  # fmt: skip
@click.option("--points", metavar="PATTERN", help="How names of points tell their values: 'DS_{m_stau}_{m_lsp}'.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=UNIT[:TITLE]", help="Unit and title of a value.")
@added_options
@click.option("--sha256", help="Digest of RECORD where that is an https address.")
@click.option("--size", "size_bytes", type=click.IntRange(1), help="Its size in bytes, likewise.")
@click.option("--url", help="Where RECORD, one local file, can be downloaded.")
@click.option("--keep-files", is_flag=True, help="Copy the files of the record beside the document.")
@click.option("--output", type=click.Path(path_type=Path), help="New folder. [default: NAME]")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    record: str,
    name: str,
    title: str | None,
    experiment: str,
    sqrt_s_tev: float,
    luminosity_fb: float,
    beams: str,
    licence: str,
    doi: str | None,
    paper: str | None,
    citation: str | None,
    signatures: tuple[str, ...],
    others: tuple[Path, ...],
    points: str | None,
    axes: tuple[str, ...],
    sha256: str | None,
    size_bytes: int | None,
    url: str | None,
    keep_files: bool,
    output: Path | None,
    as_json: bool,
    **added: Any,
) -> None:
    """Make a preserved analysis of a published likelihood.

    RECORD is a tar archive, a folder, or a workspace (with --patchset), as a file or as an https address with --sha256
    and --size. Every patch is applied once; the document names all data by digest. Files without --url are looked for
    on the search path (EVERCAST_DATA), or kept beside the document with --keep-files.

    What the record does not say comes from tables: cross-sections of its points (--cross-sections) and numbers of the
    publication (--published).
    """
    from evercast.artifacts.files import atomic_write_bytes, make_folder
    from evercast.reinterpretation.wrapped.model import Metadata, analysis_digest
    from evercast.reinterpretation.wrapped.record import read_record
    from evercast.reinterpretation.wrapped.wrap import PointNames, WrapRequest, wrap_record

    folder = output or Path(name)
    metadata = Metadata(
        experiment=experiment, beams=beams, sqrt_s_tev=sqrt_s_tev, luminosity_fb=luminosity_fb, license=licence,
        doi=doi, paper=paper, citation=citation, signatures=signatures,
    )  # fmt: skip
    path, address = _local(record, sha256=sha256, size_bytes=size_bytes, url=url)
    if address is not None and (others or path.is_dir()):
        raise UsageError("an address belongs to one file: RECORD must be that file, without --patchset")
    request = WrapRequest(
        name=name, title=title or name, metadata=metadata, url=address,
        points=None if points is None else PointNames.parse(points), axes=tuple(_axis(text) for text in axes),
    )  # fmt: skip
    found = read_record(path, others=others)
    analysis = wrap_record(found, request)
    more = Added(**added)
    analysis, selected = more.to(analysis)
    document = folder / _FILE
    if keep_files:
        analysis = replace(analysis, files={key: _beside(key, file) for key, file in analysis.files.items()})
    content = _checked(document, analysis, selected, written=more.selection)
    make_folder(folder)
    for name_of_file, text in selected.items():
        _write_once(folder / name_of_file, text)
    if keep_files:
        make_folder(folder / "files")
        for key in analysis.files:
            atomic_write_bytes(folder / "files" / key, found.paths[key].read_bytes())
    if not document.exists():
        atomic_write_bytes(document, content)
    counts = {key: len(regions.patches) for key, regions in analysis.likelihoods.items()}
    digest = analysis_digest(analysis)
    if as_json:
        body = {"document": str(document), "name": name, "digest": digest, "patches": counts}
        click.echo(json.dumps(body, indent=1))
        return
    listed = ", ".join(f"{key} ({count} patches)" for key, count in counts.items())
    click.echo(f"{document}: {name}, {listed}\nsha256 {digest}\nnext: evercast catalogue add {folder}")


def _write_once(path: Path, content: bytes) -> None:
    """Write a file; another one that is there is left alone.

    Raises:
        InvalidInput: ``wrap.exists``.
    """
    from evercast.artifacts.files import atomic_write_bytes

    if path.exists() and path.read_bytes() != content:
        hint = "give another --output, or remove it"
        raise InvalidInput("another file is there already", code="wrap.exists", where=str(path), hint=hint)
    atomic_write_bytes(path, content)


def _local(record: str, *, sha256: str | None, size_bytes: int | None, url: str | None) -> tuple[Path, str | None]:
    """Return where the record lies, and its address."""
    from evercast.events.sources import fetch_source, search_path_from_environment
    from evercast.spec.model import Source

    if not record.startswith(("https://", "http://")):
        if sha256 is not None or size_bytes is not None:
            raise UsageError("--sha256 and --size go with an address")
        return Path(record), url
    if sha256 is None or size_bytes is None:
        raise UsageError("an address needs --sha256 and --size: what is preserved is known by its content")
    name = record.rsplit("/", 1)[-1].partition("?")[0]
    source = Source(
        url=record, sha256=sha256, size_bytes=size_bytes, license="",
        filename=name if name.endswith((".tar", ".tgz", ".gz", ".json")) else "likelihoods.tar.gz",
    )  # fmt: skip
    fetched = fetch_source(source, search_path_from_environment(os.environ))
    return _named(fetched, source.filename or name), record


def _named(path: Path, name: str) -> Path:
    """Return a file under a name that tells what it is: in the cache it has that of its digest."""
    if path.name == name:
        return path
    link = path.parent.parent / "names" / path.name / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        os.link(path, link)
    return link


def _axis(text: str) -> Axis:
    from evercast.reinterpretation.wrapped.model import Axis

    name, found, rest = text.partition("=")
    unit, _, title = rest.partition(":")
    if not found or not name or not unit:
        raise UsageError(f"--axis must be NAME=UNIT or NAME=UNIT:TITLE, found {text!r}")
    return Axis(name=name, unit=unit, title=title or None)


def _beside(key: str, file: DataFile) -> DataFile:
    return replace(file, path=f"files/{key}")


def _checked(document: Path, analysis: WrappedAnalysis, beside: Mapping[str, bytes], *, written: Path | None) -> bytes:
    """Return the content of the document after it was read as one; nothing is written where it will lie.

    Raises:
        InvalidInput: ``wrap.exists``: another document is there, which is never overwritten; ``wrap.option``: what an
            option says is not allowed.
        InvalidDocument: the record and the options make no valid document.
    """
    from evercast.reinterpretation.wrapped.read import read_wrapped
    from evercast.reinterpretation.wrapped.text import document_text

    content = document_text(analysis).encode()
    if document.exists() and document.read_bytes() != content:
        hint = "give another --output, or remove it"
        raise InvalidInput("another document is there already", code="wrap.exists", where=str(document), hint=hint)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / _FILE
        trial.write_bytes(content)
        for name, text in beside.items():
            (Path(folder) / name).write_bytes(text)
        try:
            found = read_wrapped(trial)
            if found.selection is not None:
                _read_selection(found, Path(folder), written=written)
        except InvalidDocument as err:
            raise _of_option(err) from err
    return content


def _read_selection(analysis: WrappedAnalysis, folder: Path, *, written: Path | None) -> None:
    """Read the preserved selection as a request does; problems name the file that the user gave.

    Raises:
        InvalidDocument: it is not valid.
        InvalidInput: a region or an observable is not in it.
    """
    from evercast.events.sources import search_path_from_environment
    from evercast.reinterpretation.requests.preserved import preserved_selection
    from evercast.reinterpretation.wrapped.data import RecordData
    from evercast.spec.report import invalid_document

    search_path = search_path_from_environment(os.environ)
    try:
        preserved_selection(RecordData(analysis=analysis, folder=folder, search_path=search_path))
    except InvalidDocument as err:
        raise invalid_document([replace(problem, file=str(written)) for problem in err.problems]) from err


def _of_option(err: InvalidDocument) -> InvalidInput:
    """Return the error with the option that said what is wrong; as it is where no option did."""
    first = err.problems[0]
    option = _OPTIONS.get(".".join(re.split(r"[.\[]", first.path)[: 3 if first.path.startswith("$.metadata.") else 2]))
    if option is None:
        return err
    said = [first.message, first.found and f"found {first.found}", first.expected and f"expected {first.expected}"]
    return InvalidInput(f"{option}: {'; '.join(filter(None, said))}", code="wrap.option", hint=first.hint)
