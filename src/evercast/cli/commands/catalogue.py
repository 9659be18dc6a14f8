"""``evercast catalogue``: the preserved analyses that a user knows."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.cli.catalogue_shown import described, print_entries
from evercast.cli.requests_shown import JSON

if TYPE_CHECKING:
    from evercast.reinterpretation.catalogue.model import Entry
    from evercast.reinterpretation.catalogue.stored import Catalogue

__all__ = ["command"]


@click.group(name="catalogue", short_help="The preserved analyses that you know.")
def command() -> None:
    """The catalogue lists places with preserved analyses; it is kept in your configuration folder.

    A place is a folder, an index, or one document or archive. Analyses are published likelihoods, archives of runs,
    neural bundles, and documents.
    """


def _catalogue() -> Catalogue:
    from evercast.events.sources import search_path_from_environment
    from evercast.reinterpretation.catalogue.stored import catalogue_file, read_catalogue

    return read_catalogue(catalogue_file(os.environ), cache=search_path_from_environment(os.environ).cache)


@command.command("ls", epilog="Example: evercast catalogue ls")
@JSON
def list_all(*, as_json: bool) -> None:
    """List all analyses."""
    print_entries(_catalogue().entries(), as_json=as_json)


@command.command(epilog="Example: evercast catalogue search tau")
@click.argument("words", nargs=-1, required=True)
@JSON
def search(*, words: tuple[str, ...], as_json: bool) -> None:
    """List the analyses that say all WORDS of themselves: name, title, experiment, kind, final states."""
    print_entries([entry for entry in _catalogue().entries() if entry.matches(words)], as_json=as_json)


@command.command(epilog="Example: evercast catalogue add specs")
@click.argument("folder", type=click.Path(path_type=Path))
@JSON
def add(*, folder: Path, as_json: bool) -> None:
    """Add FOLDER with the analyses in it and two levels below; or an index, a document, the tar file of an archive.

    The folder of a run stands for its publication. Links are not followed, nothing is downloaded.
    """
    catalogue, place = _catalogue().with_folder(folder), folder.absolute()
    print_entries([entry for entry in catalogue.entries() if _is_in(entry, place)], as_json=as_json)


def _is_in(entry: Entry, place: Path) -> bool:
    path = entry.index or entry.path
    return place in (path, *path.parents)


@command.command(epilog="Example: evercast catalogue rm specs")
@click.argument("name")
@JSON
def rm(*, name: str, as_json: bool) -> None:
    """Forget a folder or an index, or that of the analysis NAME; the files stay."""
    catalogue = _catalogue().without(name)
    folders = [str(folder) for folder in catalogue.folders]
    click.echo(json.dumps({"folders": folders}, indent=1) if as_json else f"{len(folders)} folders are left")


def _named(name: str, catalogue: Catalogue) -> Entry:
    """Return the entry of a name of the catalogue, or of a path.

    Raises:
        InvalidInput: there is none, or several.
    """
    from evercast.reinterpretation.catalogue.entries import entries_of_place
    from evercast.reinterpretation.catalogue.naming import entry_named, is_name, unknown_name
    from evercast.reinterpretation.catalogue.places import find_places

    entries = catalogue.entries()
    found = entry_named(name, entries) if is_name(name) else None
    if found is None and Path(name).exists():
        place = Path(name).absolute()
        known = [entry for entry in entries if place in (entry.path, entry.path.parent) and entry.newest]
        known = known or [entry for one in find_places(place)[:1] for entry in entries_of_place(one)]
        found = known[0] if known else None
    if found is None:
        raise unknown_name(name, entries)
    return found


@command.command(epilog="Example: evercast catalogue describe atlas-susy-2018-04")
@click.argument("name")
@JSON
def describe(*, name: str, as_json: bool) -> None:
    """Show what the analysis NAME is, what may be asked of it and with which command, and its digests.

    NAME may carry digits of a digest (NAME@1234abcd) or the number of a version (NAME@v2), or be a path.
    """
    described(_named(name, _catalogue()), as_json=as_json)


@command.command(epilog="Example: evercast catalogue check")
@click.argument("names", nargs=-1)
@JSON
@click.pass_context
def check(context: click.Context, *, names: tuple[str, ...], as_json: bool) -> None:
    """Compare every digest of the analyses NAMES (all of them): files, backgrounds, patches, archives, bundles.

    Exit code 5 where something is damaged, else that of the first problem; 0 where there is none. What an index lists
    at an address is not looked at.
    """
    from evercast.artifacts.key_ring import KeyRing, key_folder
    from evercast.errors import EvercastError, IntegrityError
    from evercast.events.sources import search_path_from_environment
    from evercast.reinterpretation.catalogue.checks import problems_of_entry

    catalogue, search_path = _catalogue(), search_path_from_environment(os.environ)
    keys = KeyRing(key_folder(os.environ))
    rows: list[dict[str, object]] = []
    codes: list[int] = []
    all_of_them = [entry for entry in catalogue.entries() if entry.newest and entry.url is None]
    for target in names or all_of_them:
        try:
            entry = _named(target, catalogue) if isinstance(target, str) else target
            name, problems = entry.name, problems_of_entry(entry, search_path=search_path, keys=keys)
        except EvercastError as err:
            name, problems = str(target), [err]
        codes += [problem.exit_code for problem in problems]
        rows.append({"name": name, "problems": [problem.to_json() for problem in problems]})
        if not as_json:
            click.echo(f"{name}: {problems[0] if problems else 'everything is as it must be'}")
            if len(problems) > 1:
                click.echo(f"  and {len(problems) - 1} more problems")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    context.exit(IntegrityError.exit_code if IntegrityError.exit_code in codes else next(iter(codes), 0))


@command.command(epilog="Example: evercast catalogue index --output catalogue-index.yaml")
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="New file, above all that it lists.")
@click.option("--title", help="What is listed, for people.")
@JSON
def index(*, names: tuple[str, ...], output: Path, title: str | None, as_json: bool) -> None:
    """Write an index of the analyses NAMES (all of them) with their digests, for others to add to their catalogue.

    Paths are relative to the index; replace one by `url` (and `sha256`, `size_bytes`) for what is kept elsewhere.
    """
    from evercast.artifacts.files import atomic_write_bytes
    from evercast.errors import InvalidInput
    from evercast.reinterpretation.catalogue.index import index_text

    catalogue = _catalogue()
    entries = [_named(name, catalogue) for name in names] or [one for one in catalogue.entries() if not one.problem]
    text = index_text([one for one in entries if one.digest], folder=output.absolute().parent, title=title)
    if output.exists() and output.read_text(errors="replace") != text:
        raise InvalidInput("another file is there already", code="catalogue.exists", where=str(output))
    atomic_write_bytes(output, text.encode())
    click.echo(json.dumps({"index": str(output), "entries": len(entries)}, indent=1) if as_json else str(output))


@command.command(epilog="Example: evercast catalogue get h4l@85dbeabc preserved/h4l")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@JSON
def get(*, name: str, folder: Path, as_json: bool) -> None:
    """Bring the archive NAME, which an index lists at an address, to FOLDER, and add that; every digest is compared."""
    from evercast.reinterpretation.catalogue.bring import bring_archive

    catalogue = _catalogue()
    entry = _named(name, catalogue)
    bring_archive(entry, folder, environ=os.environ)
    added = catalogue.with_folder(folder)
    print_entries([one for one in added.entries() if _is_in(one, folder.absolute())], as_json=as_json)
