"""Strict BagIt bags: one version of an archive, written and read with the standard library alone.

A bag is a folder with ``bagit.txt``, ``bag-info.txt``, ``manifest-sha256.txt``, ``tagmanifest-sha256.txt``, the
payload in ``data/`` and, outside the manifests, ``signatures/``. It is what BagIt 1.0 (RFC 8493) says and stricter:
sha256 only, no ``fetch.txt``, no file that no manifest lists, regular files only, names of few characters.
``sha256sum -c manifest-sha256.txt`` checks it by hand. Its id is the sha256 of ``manifest-sha256.txt``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.bag_files import BagFiles, FolderFiles
from evercast.artifacts.bag_walk import BagLimits
from evercast.artifacts.files import atomic_write_bytes
from evercast.errors import IntegrityError, InvalidInput

__all__ = [
    "BAGIT", "INFO", "MANIFEST", "SIGNATURES", "TAGS", "TAG_MANIFEST", "Bag", "BagLimits", "CheckedBag", "check_bag",
    "open_bag", "write_bag",
]  # fmt: skip

BAGIT: Final = "bagit.txt"
INFO: Final = "bag-info.txt"
MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
SIGNATURES: Final = "signatures"
TAGS: Final = (BAGIT, INFO, MANIFEST, TAG_MANIFEST)
"""The files of a bag beside its payload and the signatures."""

_DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
_LABEL: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,63}): ([^\x00-\x1f]{0,1000})")
_SIGNATURE_FILE: Final = re.compile(r"signatures/(id\.txt|[a-z0-9][a-z0-9._-]{0,90}\.sig)")
_TEXT_LIMIT: Final = 32 << 20
_SIGNATURE_LIMIT: Final = 64 << 10
_NAMED: Final = 5
"""How many files a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBag:
    """What a bag holds, after its structure was checked.

    Args:
        id: sha256 of ``manifest-sha256.txt``, 64 hexadecimal digits.
        info: label -> value of ``bag-info.txt``.
        files: path of a payload file, ``data/...`` -> its sha256 as the manifest says.
        sizes: path of a payload file -> bytes.
        verified: whether every digest was recomputed.
    """

    id: str
    info: Mapping[str, str]
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag(CheckedBag):
    """A bag in a folder.

    Args:
        root: the folder.
    """

    root: Path

    def path(self, name: str) -> Path:
        """Return where a payload file, or a folder that holds some, lies.

        Raises:
            IntegrityError: ``bag.not-listed``: the manifest knows no such name.
        """
        if name not in self.files and not any(file.startswith(f"{name}/") for file in self.files):
            raise IntegrityError(f"the bag has no {name}", code="bag.not-listed", where=str(self.root))
        return self.root / name

    def under(self, folder: str) -> tuple[str, ...]:
        """Return the payload files below a folder, e.g. ``data/units/fit``, in order."""
        return tuple(name for name in self.files if name.startswith(f"{folder}/"))

    def signatures(self) -> tuple[Path, ...]:
        """Return the signature files, which no manifest covers, in order."""
        folder = self.root / SIGNATURES
        return tuple(sorted(path for path in folder.glob("*.sig"))) if folder.is_dir() else ()


def open_bag(
    path: Path, *, digests: bool = True, expected_id: str | None = None, limits: BagLimits | None = None
) -> Bag:
    """Return the bag in a folder after its structure and, unless told otherwise, every digest was checked.

    Args:
        path: the folder.
        digests: read every file and compare its sha256.
        expected_id: the id that it must have, known from elsewhere.
        limits: how large a bag may be.

    Raises:
        IntegrityError: as `check_bag`, and as `walk_files` where a bag may not have such a file.
        InvalidInput: as `check_bag`.
    """
    bag = check_bag(FolderFiles(path, limits=limits), digests=digests, expected_id=expected_id)
    return Bag(root=path, id=bag.id, info=bag.info, files=bag.files, sizes=bag.sizes, verified=bag.verified)


def check_bag(files: BagFiles, *, digests: bool = True, expected_id: str | None = None) -> CheckedBag:
    """Return what a bag holds after its structure and, unless told otherwise, every digest was checked.

    Args:
        files: of the bag.
        digests: read every file and compare its sha256.
        expected_id: the id that it must have, known from elsewhere.

    Raises:
        IntegrityError: ``bag.*``: something is missing, changed, too much, or no bag of ours would have it.
        InvalidInput: ``bag.version``: a version of BagIt that this reader does not know.
    """
    _check_top(files)
    listed = _read_manifest(files, MANIFEST)
    identity = files.digest(MANIFEST)
    if expected_id is not None and identity != expected_id:
        raise _wrong(files, "bag.id", f"its id is {identity}; expected {expected_id}")
    tags = _read_manifest(files, TAG_MANIFEST)
    _compare_names(files, set(tags), {BAGIT, INFO, MANIFEST}, TAG_MANIFEST)
    payload = {name: size for name, size in files.sizes.items() if name.startswith("data/")}
    _compare_names(files, set(listed), set(payload), MANIFEST)
    _compare_digests(files, tags)
    info = _read_info(files)
    _check_oxum(files, info, payload)
    if digests:
        _compare_digests(files, listed)
    return CheckedBag(id=identity, info=info, files=listed, sizes=payload, verified=digests)


def write_bag(root: Path, *, info: Mapping[str, str], known: Mapping[str, str] | None = None) -> Bag:
    """Make a bag of a folder whose ``data/`` holds the payload, and return it.

    Args:
        root: the folder; still without the files of a bag.
        info: label -> value for ``bag-info.txt``; the size of the payload is added.
        known: sha256 of payload files that were computed when they were copied.

    Raises:
        IntegrityError: ``bag.*``: a name or a kind of file that a bag may not have.
        EnvironmentUnfit: the disk refuses.
    """
    files = FolderFiles(root)
    payload = {name: size for name, size in files.sizes.items() if name.startswith("data/")}
    if not payload:
        raise _wrong(files, "bag.empty", "there is nothing in data/")
    given = known or {}
    digests = {name: given.get(name) or files.digest(name) for name in sorted(payload)}
    lines = {**info, "Payload-Oxum": _oxum(payload)}
    for label, value in lines.items():
        if _LABEL.fullmatch(f"{label}: {value}") is None:
            raise _wrong(files, "bag.info", f"{label!r} cannot be written into {INFO}")
    atomic_write_bytes(root / MANIFEST, _manifest_text(digests))
    atomic_write_bytes(root / BAGIT, _DECLARATION)
    atomic_write_bytes(root / INFO, "".join(f"{label}: {value}\n" for label, value in lines.items()).encode())
    tags = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in sorted((BAGIT, INFO, MANIFEST))}
    atomic_write_bytes(root / TAG_MANIFEST, _manifest_text(tags))
    return open_bag(root, digests=False)


def _check_top(files: BagFiles) -> None:
    """Refuse what lacks the files of a bag, and what no manifest covers."""
    if "fetch.txt" in files.sizes:
        raise _wrong(files, "bag.fetch", "fetch.txt leaves content elsewhere; an archive holds all it lists")
    for name in TAGS:
        if name not in files.sizes:
            raise _wrong(files, "bag.not-a-bag", f"it has no {name}", hint="is this the folder of a version?")
        if files.sizes[name] > _TEXT_LIMIT:
            size = files.sizes[name]
            raise _wrong(files, "bag.too-large", f"{name} has {size} bytes; allowed are {_TEXT_LIMIT}")
    content = files.read(BAGIT)
    if content != _DECLARATION:
        said = content[:60].decode(errors="replace").splitlines()[:1]
        raise InvalidInput(
            f"{BAGIT} says {said[0] if said else 'nothing'!r}; this reader knows BagIt-Version 1.0 in UTF-8",
            code="bag.version",
            where=files.where(BAGIT),
            hint="a newer evercast may read it; the files can be checked with sha256sum -c manifest-sha256.txt",
        )
    for name, size in files.sizes.items():
        if name.startswith("data/") or name in TAGS:
            continue
        if _SIGNATURE_FILE.fullmatch(name) is None or size > _SIGNATURE_LIMIT:
            raise _wrong(files, "bag.extra-file", f"{name} is in no manifest", hint="remove what was put there")


def _read_manifest(files: BagFiles, name: str) -> dict[str, str]:
    """Return path -> sha256 of a manifest, whose lines must be sorted and each well-formed."""
    try:
        text = files.read(name).decode("ascii")
    except UnicodeDecodeError as err:
        raise _wrong(files, "bag.manifest", f"{name} holds characters that no name in a bag has") from err
    if not text.endswith("\n"):
        raise _wrong(files, "bag.manifest", f"{name} is empty or its last line was cut")
    if text.count("\n") > len(files.sizes):
        raise _wrong(files, "bag.missing-file", f"{name} lists more files than there are")
    entries: dict[str, str] = {}
    last = ""
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise _wrong(files, "bag.manifest", f"{name}, line {number} is not `sha256  path`: {line[:100]!r}")
        digest, path = match.groups()
        if path <= last:
            what = f"{name}, line {number}: {path[:100]!r} stands twice or out of order"
            raise _wrong(files, "bag.manifest", what)
        entries[path] = digest
        last = path
    return entries


def _read_info(files: BagFiles) -> dict[str, str]:
    info: dict[str, str] = {}
    for number, line in enumerate(files.read(INFO).decode(errors="replace").splitlines(), start=1):
        match = _LABEL.fullmatch(line)
        if match is None or match.group(1) in info:
            what = f"{INFO}, line {number} is not `Label: value`, or its label stands twice"
            raise _wrong(files, "bag.info", what)
        info[match.group(1)] = match.group(2)
    return info


def _check_oxum(files: BagFiles, info: Mapping[str, str], payload: Mapping[str, int]) -> None:
    if (said := info.get("Payload-Oxum")) != _oxum(payload):
        raise _wrong(files, "bag.oxum", f"the payload has {_oxum(payload)} (bytes.files); {INFO} says {said}")


def _oxum(payload: Mapping[str, int]) -> str:
    return f"{sum(payload.values())}.{len(payload)}"


def _compare_names(files: BagFiles, listed: set[str], there: set[str], manifest: str) -> None:
    if missing := sorted(listed - there):
        raise _wrong(files, "bag.missing-file", f"{manifest} lists what is not there: {_named(missing)}")
    if extra := sorted(there - listed):
        raise _wrong(files, "bag.extra-file", f"{manifest} does not list {_named(extra)}")


def _compare_digests(files: BagFiles, digests: Mapping[str, str]) -> None:
    if wrong := list(_changed(files, digests)):
        raise _wrong(
            files, "bag.digest", f"the sha256 is not that of the manifest: {_named(wrong)}",
            hint="copy it again from where it was intact",
        )  # fmt: skip


def _changed(files: BagFiles, digests: Mapping[str, str]) -> Iterator[str]:
    for name, expected in digests.items():
        if (found := files.digest(name)) != expected:
            yield f"{name} (found {found[:12]}, expected {expected[:12]})"


def _manifest_text(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _wrong(files: BagFiles, code: str, message: str, *, hint: str | None = None) -> IntegrityError:
    return IntegrityError(message, code=code, where=files.where(), hint=hint)
