"""Entries of archives and bundles: what their records say, read without their other files.

The few files that are read are compared with the digests of the manifest; whether all others are what they must be is
told by ``evercast catalogue check``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.archive import FORMAT
from evercast.artifacts.archive_record import RECORD, ArchiveRecord
from evercast.artifacts.bag import INFO, MANIFEST, SIGNATURES
from evercast.artifacts.bag_files import BagFiles
from evercast.artifacts.bundle_open import MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE
from evercast.artifacts.files import parse_json
from evercast.artifacts.tar_files import TarFiles, TarMember, read_tar
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.catalogue.model import Entry
from evercast.spec.codec import from_json

__all__ = ["archive_entries", "bundle_entry"]

_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")
_FOLDER: Final = re.compile(r"v[1-9][0-9]{0,5}")
_SLUG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_ANALYSIS: Final = "data/analysis.json"
_MOST_BYTES: Final = 32 << 20
_NEURAL: Final = (
    "events of a new process", "events of the model at other values of its parameters", "a new parametrisation",
)  # fmt: skip


def archive_entries(path: Path) -> list[Entry]:
    """Return an entry for each version of an archive, the newest first; one with the problem where it is none.

    Args:
        path: folder of an archive or of one version, or a tar file.
    """
    try:
        found = _in_tar(path) if path.is_file() else _in_folder(path)
        if not found:
            raise IntegrityError("it holds no version of an archive", code="archive.not-an-archive", where=str(path))
    except EvercastError as err:
        return [_unreadable(path, err)]
    return [_version(path, name, part, newest=number == 0) for number, (name, part) in enumerate(found)]


def _unreadable(path: Path, err: EvercastError) -> Entry:
    name = path.parent.name if path.name in {"archive", "publication"} else path.stem
    return Entry(path=path, kind="archive", name=name, problem=str(err), exit_code=err.exit_code)


class _FolderPart(BagFiles):
    """The files of a bag in a folder that are asked for; the folder is not walked."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, str(root)
        self.sizes: dict[str, int] = {}

    def open(self, name: str) -> Any:
        """Return the content of a file; a link is not followed."""
        try:
            handle = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(handle)
        except OSError as err:
            message = f"it cannot be read: {(err.strerror or str(err)).lower()}"
            raise IntegrityError(message, code="bag.unreadable", where=self.where(name)) from err
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise IntegrityError("it is no regular file", code="bag.unreadable", where=self.where(name))
        self.sizes[name] = status.st_size
        return os.fdopen(handle, "rb")

    @property
    def signatures(self) -> int:
        """How many signature files there are."""
        folder = self.root / SIGNATURES
        return sum(path.suffix == ".sig" for path in folder.iterdir()) if folder.is_dir() else 0


@dataclass(frozen=True, slots=True)
class _TarPart:
    files: TarFiles

    @property
    def signatures(self) -> int:
        """How many signature files there are."""
        return sum(name.startswith(f"{SIGNATURES}/") and name.endswith(".sig") for name in self.files.sizes)


def _in_folder(path: Path) -> Sequence[tuple[str, _FolderPart | _TarPart]]:
    if (path / MANIFEST).is_file():
        return [("", _FolderPart(path))]
    names = sorted((one.name for one in path.iterdir() if _FOLDER.fullmatch(one.name)), key=_number, reverse=True)
    return [(name, _FolderPart(path / name)) for name in names]


def _in_tar(path: Path) -> Sequence[tuple[str, _FolderPart | _TarPart]]:
    members = read_tar(path)
    if MANIFEST in members:
        return [("", _TarPart(TarFiles(path, "", members)))]
    inside: dict[str, dict[str, TarMember]] = {}
    for name, member in members.items():
        top, _, rest = name.partition("/")
        if _FOLDER.fullmatch(top):
            inside.setdefault(top, {})[rest] = member
    names = sorted(inside, key=_number, reverse=True)
    return [(name, _TarPart(TarFiles(path, name, inside[name]))) for name in names]


def _number(name: str) -> int:
    return int(name[1:])


def _version(path: Path, folder: str, part: _FolderPart | _TarPart, *, newest: bool) -> Entry:
    """Return the entry of one version."""
    files: BagFiles = part.files if isinstance(part, _TarPart) else part
    try:
        manifest = _read(files, MANIFEST)
        listed = {name: digest for digest, name in _LINE.findall(manifest.decode("ascii", "replace"))}
        record = _record(_checked(files, RECORD, listed), files)
        analysis = JsonView(parse_json(_checked(files, _ANALYSIS, listed), where=files.where(_ANALYSIS)))
        info = _read(files, INFO).decode(errors="replace")
    except EvercastError as err:
        failed = _unreadable(path, err)
        return Entry(
            path=failed.path, kind="archive", name=failed.name, newest=newest, problem=failed.problem,
            exit_code=err.exit_code, version=_number(folder) if folder else None,
        )  # fmt: skip
    place = path if path.is_file() or newest or not folder else path / folder
    return _entry(
        place, record, analysis, digest=hashlib.sha256(manifest).hexdigest(), info=info, newest=newest,
        signatures=part.signatures, size=_size(info),
    )  # fmt: skip


def _read(files: BagFiles, name: str) -> bytes:
    try:
        with files.open(name) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except KeyError as err:
        raise IntegrityError(f"it has no {name}", code="bag.not-a-bag", where=files.where()) from err
    if len(content) > _MOST_BYTES:
        raise IntegrityError(f"{name} has more than {_MOST_BYTES} bytes", code="bag.too-large", where=files.where())
    return content


def _checked(files: BagFiles, name: str, listed: Mapping[str, str]) -> bytes:
    if name not in listed:
        raise IntegrityError(f"its manifest lists no {name}", code="archive.record", where=files.where())
    content = _read(files, name)
    found = hashlib.sha256(content).hexdigest()
    if found != listed[name]:
        message = f"the sha256 of {name} is not that of the manifest: found {found[:12]}, expected {listed[name][:12]}"
        raise IntegrityError(message, code="bag.digest", where=files.where())
    return content


def _record(content: bytes, files: BagFiles) -> ArchiveRecord:
    where = files.where(RECORD)
    body = parse_json(content, where=where)
    said = body.get("schema") if isinstance(body, Mapping) else None
    if said != FORMAT:
        message = f"this archive is of format {str(said)[:60]!a}; this evercast reads {FORMAT}"
        raise InvalidInput(message, code="archive.version", where=where)
    try:
        record = from_json(ArchiveRecord, body)
    except InvalidInput as err:
        raise IntegrityError(err.message, code="archive.record", where=where) from err
    _check_names(record.name, where=where)
    return record


def _check_names(*names: str, where: str) -> None:
    """Refuse names that no document may have: they would stand in commands that are shown."""
    for name in names:
        if _SLUG.fullmatch(name) is None:
            raise IntegrityError(f"{name[:60]!a} is no name of an analysis", code="archive.record", where=where)


def _size(info: str) -> str:
    match = re.search(r"^Payload-Oxum: ([0-9]+)\.([0-9]+)$", info, re.MULTILINE)
    return f"{int(match[2])} files, {int(match[1]) / 1e6:.1f} MB" if match else "unknown"


def _entry(
    place: Path, record: ArchiveRecord, analysis: JsonView, *, digest: str, info: str, newest: bool, signatures: int,
    size: str,
) -> Entry:  # fmt: skip
    metadata = analysis.at("metadata")
    date = re.search(r"^Bagging-Date: ([0-9-]{10})$", info, re.MULTILINE)
    neural = any(
        channel.text("kind") == "unbinned"
        for _, likelihood in analysis.at("likelihoods").items()
        for _, channel in likelihood.at("channels").items()
    )
    shown = analysis.at("publish", "neural_likelihood").text("disclosure") if neural else None
    likelihoods = ", ".join(name for name, _ in analysis.at("likelihoods").items())
    disclosure = f"neural likelihood ({shown or 'not published'})" if neural else "binned likelihood"
    facts = (
        ("likelihoods", likelihoods),
        ("parameters of interest", ", ".join(_interesting(analysis))),
        ("description", metadata.text("description") or ""),
        ("packed", f"{date[1] if date else 'at an unknown date'} by evercast {record.code.version}; {size}"),
        ("signatures", f"{signatures} (evercast verify says whose)" if signatures else "none"),
        *((("observed events", "simulated"),) if record.pseudo_data else ()),
    )
    return Entry(
        path=place, kind="archive", name=record.name, title=analysis.text("title") or record.name, digest=digest,
        experiment=metadata.text("experiment") or "", signatures=tuple(_final_states(analysis)),
        inputs=_NEURAL if neural else ("events of a new process", "a new parametrisation"),
        disclosure=f"{disclosure}; documents, code, units and results of the run", version=record.version,
        newest=newest, facts=tuple((what, text) for what, text in facts if text),
        commands=_asked(place, record, digest),
    )  # fmt: skip


def _asked(place: Path, record: ArchiveRecord, digest: str) -> tuple[tuple[str, str], ...]:
    shown = shlex.quote(str(place))
    unpack = (("unpack it", f"evercast archive pull {shown} FOLDER"),) if place.is_file() else ()
    replay = f"evercast replay {'FOLDER' if unpack else shown}"
    asked = "--analysis " + ("FOLDER" if unpack else f"{record.name}@{digest[:8]}")
    return (
        *unpack,
        ("ask it: is my signal excluded?", f"evercast request new MY-REQUEST {asked}"),
        ("run it again and compare", replay),
        ("compare every digest", f"evercast verify {shown}"),
    )


def _interesting(analysis: JsonView) -> list[str]:
    return [name for name, one in analysis.at("parameters").items() if one.at("poi").value is True]


def _final_states(analysis: JsonView) -> list[str]:
    """Return the titles of the processes: an analysis document has no other words for its final states."""
    titles = [one.text("title") or name for name, one in analysis.at("processes").items()]
    return list(dict.fromkeys(titles))[:20]


def bundle_entry(folder: Path) -> Entry:
    """Return the entry of a neural bundle; its manifest is compared with what its id stands for."""
    try:
        return _bundle(folder)
    except EvercastError as err:
        name = folder.name
        return Entry(path=folder, kind="neural bundle", name=name, problem=str(err), exit_code=err.exit_code)


def _bundle(folder: Path) -> Entry:
    files = _FolderPart(folder)
    content = _read(files, MANIFEST_FILE)
    body = parse_json(content, where=str(folder / MANIFEST_FILE))
    manifest = JsonView(body)
    schema = manifest.text("schema") or ""
    if schema != "neural-likelihood/1.0.0":
        message = f"the manifest is of format {schema[:60]!a}; this evercast reads neural-likelihood/1.0.0"
        raise InvalidInput(message, code="format.unknown-version", where=str(folder))
    digest = None
    if (folder / SUMS_FILE).is_file():
        sums = _read(files, SUMS_FILE)
        digest = hashlib.sha256(sums).hexdigest()
        if f"{hashlib.sha256(content).hexdigest()}  {MANIFEST_FILE}\n" not in sums.decode("ascii", "replace"):
            message = f"{SUMS_FILE} names another {MANIFEST_FILE}"
            raise IntegrityError(message, code="bundle.sums", where=str(folder))
    metadata = manifest.at("metadata")
    processes = [one.text("title") or name for name, one in manifest.at("processes").items()]
    observables = ", ".join(name for name, _ in JsonView(_by_name(manifest)).items())
    facts = (
        ("observables", observables),
        ("run", manifest.text("run_id") or ""),
        ("signatures", "signed (evercast verify says by whom)" if (folder / SIGNATURE_FILE).is_file() else "none"),
    )
    shown = shlex.quote(str(folder))
    commands = (
        ("fit it, set limits", f"evercast limit {shown}"),
        ("evaluate its networks at events of your own", f"evercast evaluate {shown} EVENTS"),
        ("what it holds", f"evercast inspect {shown}"),
        ("recompute its numbers", f"evercast verify {shown}"),
    )
    analysis, name = manifest.text("analysis") or "", manifest.text("name") or ""
    _check_names(analysis, name, where=str(folder))
    return Entry(
        path=folder, kind="neural bundle", name=f"{analysis}-{name}", title=manifest.text("title") or name,
        digest=digest, experiment=metadata.text("experiment") or "", signatures=tuple(dict.fromkeys(processes)),
        inputs=("observables of events", "a new parametrisation"),
        disclosure=f"neural likelihood ({manifest.text('disclosure') or 'unknown'})",
        facts=tuple((what, text) for what, text in facts if text), commands=commands,
        replayed="that of its archive",
    )  # fmt: skip


def _by_name(manifest: JsonView) -> dict[str, object]:
    return {one.text("name") or "?": one.value for one in manifest.entries("observables")}
