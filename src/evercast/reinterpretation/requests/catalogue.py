"""The catalogue: folders that the user named once, and the preserved analyses below them.

It is ``catalogue.json`` in the user's configuration folder. Entries are looked at anew each time: nothing is copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, InvalidInput
from evercast.events.sources import SearchPath
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.model import WrappedAnalysis, analysis_digest
from evercast.reinterpretation.wrapped.read import read_wrapped
from evercast.spec.documents_kind import kind_of_file

__all__ = ["Catalogue", "Entry", "catalogue_file", "entry_named", "find_analysis", "read_catalogue"]

_SCHEMA: Final = "catalogue/1.0.0"
_DIGEST: Final = re.compile(r"[0-9a-f]{8,64}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_FILES: Final = ("wrapped.yaml", "analysis.yaml")
_MOST: Final = 10_000

Kind = Literal["wrapped likelihood", "analysis document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A preserved analysis in the catalogue.

    Args:
        path: of its document.
        kind: what it is.
        name: short name; the folder's where the document cannot be read.
        title: what it searched for.
        digest: its identity; None where the document cannot be read.
        experiment: who published it.
        signatures: final states, in words.
        inputs: what a request may bring.
        disclosure: what it shows of itself.
        replayed: status of its last replay.
        problem: why it cannot be read; None where it can.
    """

    path: Path
    kind: Kind
    name: str
    title: str = ""
    digest: str | None = None
    experiment: str = ""
    signatures: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    disclosure: str = ""
    replayed: str = "no replay recorded"
    problem: str | None = None

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether every word stands somewhere in what the entry says of itself."""
        text = " ".join((self.name, self.title, self.experiment, *self.signatures, *self.inputs)).lower()
        return all(word.lower() in text for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The folders of a user.

    Args:
        file: where it is kept.
        folders: named with ``evercast catalogue add``.
    """

    file: Path
    folders: tuple[Path, ...] = field(default=())

    def with_folder(self, folder: Path) -> Catalogue:
        """Return the catalogue with one folder more, written down.

        Raises:
            InvalidInput: ``catalogue.empty``: no analysis is below it.
            EnvironmentUnfit: the disk refuses.
        """
        place = folder.absolute()
        if not place.exists():
            raise InvalidInput(f"{folder} does not exist", code="catalogue.missing")
        if not list(_documents(place)):
            hint = "evercast wrap makes a preserved analysis of a published likelihood"
            message = f"there is no preserved analysis below it (a file {' or '.join(_FILES)})"
            raise InvalidInput(message, code="catalogue.empty", where=str(folder), hint=hint)
        return self._written((*(known for known in self.folders if known != place), place))

    def without(self, name: str) -> Catalogue:
        """Return the catalogue without a folder, which is left as it is.

        Args:
            name: of the folder, or of an analysis below it.

        Raises:
            InvalidInput: ``catalogue.unknown``.
        """
        place = Path(name).absolute()
        gone = [place] if place in self.folders else []
        if not gone:
            of_name = [entry.path for entry in self.entries() if entry.name == name]
            gone = [folder for folder in self.folders if any(folder in (path, *path.parents) for path in of_name)]
        if not gone:
            known = ", ".join(str(folder) for folder in self.folders) or "none"
            raise InvalidInput(f"the catalogue has no {name!r}", code="catalogue.unknown", hint=f"folders: {known}")
        return self._written(tuple(folder for folder in self.folders if folder not in gone))

    def _written(self, folders: tuple[Path, ...]) -> Catalogue:
        make_folder(self.file.parent)
        atomic_write_json(self.file, {"schema": _SCHEMA, "folders": [str(folder) for folder in folders]})
        return Catalogue(file=self.file, folders=folders)

    def entries(self) -> tuple[Entry, ...]:
        """Return every analysis below the folders, those that cannot be read with the reason."""
        documents = dict.fromkeys(path for folder in self.folders for path in _documents(folder))
        return tuple(_entry(path) for path in documents)


def catalogue_file(environ: Mapping[str, str]) -> Path:
    """Return where the catalogue of a user is kept.

    ``EVERCAST_CONFIG`` names the folder; else it is ``evercast`` in ``XDG_CONFIG_HOME`` or in ``~/.config``.

    Raises:
        EnvironmentUnfit: ``environment.home``.
    """
    if environ.get("EVERCAST_CONFIG"):
        return Path(environ["EVERCAST_CONFIG"]) / "catalogue.json"
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "evercast" / "catalogue.json"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".config" / "evercast" / "catalogue.json"
    raise EnvironmentUnfit("there is no HOME for a catalogue", code="environment.home", hint="set EVERCAST_CONFIG")


def read_catalogue(file: Path) -> Catalogue:
    """Return the catalogue in a file; an empty one where there is none.

    Raises:
        InvalidInput: ``catalogue.damaged``.
    """
    if not file.exists():
        return Catalogue(file=file)
    try:
        body = read_json(file)
    except IntegrityError as err:
        raise InvalidInput(err.message, code="catalogue.damaged", hint="remove it and add the folders again") from err
    folders = body.get("folders") if isinstance(body, dict) and body.get("schema") == _SCHEMA else None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        hint = "remove it and add the folders again"
        raise InvalidInput("the file is no catalogue", code="catalogue.damaged", where=str(file), hint=hint)
    return Catalogue(file=file, folders=tuple(Path(folder) for folder in folders))


def find_analysis(name: str, catalogue: Catalogue, search_path: SearchPath) -> RecordData:
    """Return the wrapped analysis that a user names, with its data.

    Args:
        name: a document, its folder, a name of the catalogue, or at least 8 digits of its digest.
        catalogue: where names and digests are looked up.
        search_path: where its files are looked for.

    Raises:
        InvalidInput: ``catalogue.unknown``; ``catalogue.ambiguous``: several are meant, they are listed.
        InvalidDocument: the document is not valid.
    """
    if not _NAME.fullmatch(name) and not _DIGEST.fullmatch(name) and Path(name).exists():
        return _opened(_document_in(Path(name)), search_path)
    listed = catalogue.entries()
    entries = [entry for entry in listed if entry.kind == "wrapped likelihood"]
    named = entry_named(name, entries)
    if named is not None:
        return _opened(named.path, search_path)
    if Path(name).is_dir() or Path(name).is_file():
        return _opened(_document_in(Path(name)), search_path)
    known = ", ".join(entry.name for entry in entries) or "none"
    if any(entry.name == name for entry in listed):
        message = (
            f"{name!a} is in the catalogue as an analysis document, which this version does not answer requests with"
        )
        hint = f"wrapped likelihoods in the catalogue: {known}; evercast run and evercast replay compute a document"
        raise InvalidInput(message, code="catalogue.unknown", hint=hint)
    hint = f"in the catalogue: {known}; evercast catalogue add FOLDER puts more there"
    raise InvalidInput(f"there is no preserved analysis {name!a}", code="catalogue.unknown", hint=hint)


def entry_named(name: str, entries: Sequence[Entry]) -> Entry | None:
    """Return the entry of a name, or of at least 8 digits of a digest; None where there is none.

    Raises:
        InvalidInput: ``catalogue.ambiguous``: several analyses are meant; they are listed.
    """
    found = [entry for entry in entries if entry.name == name]
    if not found and _DIGEST.fullmatch(name):
        found = [entry for entry in entries if (entry.digest or "").startswith(name)]
    distinct = {entry.digest for entry in found}
    if len(distinct) > 1:
        listed = ", ".join(f"{entry.name} {(entry.digest or 'unreadable')[:12]} ({entry.path})" for entry in found)
        hint = "say it with more digits of its digest, or by its path"
        message = f"{name!r} is {len(distinct)} analyses: {listed}"
        raise InvalidInput(message, code="catalogue.ambiguous", hint=hint)
    return found[0] if found else None


def _document_in(path: Path) -> Path:
    if path.is_file():
        return path
    if (path / _FILES[0]).is_file():
        return path / _FILES[0]
    message = f"there is no {_FILES[0]} in it"
    raise InvalidInput(message, code="catalogue.empty", where=str(path), hint="evercast wrap makes one")


def _opened(path: Path, search_path: SearchPath) -> RecordData:
    return RecordData(analysis=read_wrapped(path), folder=path.parent, search_path=search_path)


def _documents(folder: Path) -> Sequence[Path]:
    """Return the documents in a folder and in those directly below it, links not followed."""
    if folder.is_file():
        return [folder]
    places = [folder, *sorted(place for place in folder.glob("*") if place.is_dir() and not place.is_symlink())]
    found = [place / name for place in places[:_MOST] for name in _FILES if (place / name).is_file()]
    return [path for path in found if kind_of_file(path) in {"wrapped-analysis", "analysis"}]


def _entry(path: Path) -> Entry:
    kind: Kind = "wrapped likelihood" if kind_of_file(path) == "wrapped-analysis" else "analysis document"
    try:
        if kind == "wrapped likelihood":
            return _wrapped_entry(path, read_wrapped(path))
        return _analysis_entry(path)
    except EvercastError as err:
        return Entry(path=path, kind=kind, name=path.parent.name, problem=str(err))


def _wrapped_entry(path: Path, analysis: WrappedAnalysis) -> Entry:
    counts = [f"{len(regions.patches)} signal points ({name})" for name, regions in analysis.likelihoods.items()]
    return Entry(
        path=path, kind="wrapped likelihood", name=analysis.name, title=analysis.title,
        digest=analysis_digest(analysis), experiment=analysis.metadata.experiment,
        signatures=analysis.metadata.signatures, disclosure=f"full binned likelihood; {'; '.join(counts)}",
        inputs=("signal points of the record", "JSON patches", "expected events in the bins"),
    )  # fmt: skip


def _analysis_entry(path: Path) -> Entry:
    import hashlib  # noqa: PLC0415 - with this kind only

    from evercast.artifacts.files import canonical_json  # noqa: PLC0415
    from evercast.spec import analysis_to_json, load_analysis  # noqa: PLC0415

    analysis = load_analysis(path, check_files=False)
    return Entry(
        path=path, kind="analysis document", name=analysis.name, title=analysis.title,
        digest=hashlib.sha256(canonical_json(analysis_to_json(analysis))).hexdigest(),
        experiment=analysis.metadata.experiment, disclosure="document only; run it to make its likelihood",
        inputs=("none yet: requests to neural likelihoods are not answered by this version",),
    )  # fmt: skip
