"""Opens a neural bundle of a stranger: structure, names, versions and digests are checked before anything is used.

A bundle is one flat folder of regular files. ``manifest.json`` names every other file with its sha256; beside it may
stand only ``manifest-sha256.txt``, the digests of all files with that of the manifest, and its signature.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evercast.artifacts.files import read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.schemas import load_schema, registry

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MANIFEST_FILE",
    "SIGNATURE_FILE",
    "SUMS_FILE",
    "Bundle",
    "open_bundle",
    "require_schema",
    "schema_problems",
    "sums_text",
]

MANIFEST_FILE: Final = "manifest.json"
SUMS_FILE: Final = "manifest-sha256.txt"
SIGNATURE_FILE: Final = "manifest-sha256.txt.sig"
BUNDLE_SCHEMA: Final = "neural-likelihood/1.0.0"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
_MAX_FILES: Final = 20_000
_MAX_JSON: Final = 512 << 20
_MAX_MANIFEST: Final = 16 << 20
_LARGEST: Final = sys.float_info.max
_SHOWN: Final = 5
_AGAIN: Final = "get the bundle again from where it was published"
_CACHE: Final = (
    "remove it; Python writes it where a reader is imported from the bundle: copy the reader to your own folder"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle whose structure and digests were checked.

    Args:
        folder: where it lies.
        manifest: the content of ``manifest.json``, as its schema says.
        files: name -> sha256 of every file but the manifest and what signs it.
        size_bytes: of these files together.
        id: sha256 of ``manifest-sha256.txt``, which stands for all of it; None for a core bundle in a run folder.
        signed: whether a signature stands beside it, unchecked.
    """

    folder: Path
    manifest: Mapping[str, Any]
    files: Mapping[str, str]
    size_bytes: int
    id: str | None
    signed: bool

    @property
    def published(self) -> bool:
        """Whether it is a published bundle, or the core that a run writes."""
        return "publication" in self.manifest


def open_bundle(folder: Path) -> Bundle:
    """Return the bundle in a folder after all that stands in it was compared with its manifest.

    Nothing in it is executed or imported, no link is followed.

    Raises:
        IntegrityError: ``bundle.missing`` (no folder, no manifest), ``bundle.kind`` (a link, folder, fifo or device),
            ``bundle.name`` (a name that is not safe), ``bundle.extra``, ``bundle.absent``, ``bundle.digest``,
            ``bundle.sums``, ``bundle.too-large``, ``artifact.not-json``.
        InvalidInput: ``format.unknown-version``, ``bundle.manifest`` (it is not as its schema says),
            ``validity.missing``.
    """
    found = _files(folder)
    if MANIFEST_FILE not in found:
        raise _refused("bundle.missing", f"there is no {MANIFEST_FILE}", folder, "give the folder of a neural bundle")
    manifest = _manifest(folder, found[MANIFEST_FILE])
    declared: Mapping[str, Mapping[str, Any]] = manifest["files"]
    _compare_names(folder, declared, found)
    for name, entry in declared.items():
        _compare(folder / name, found[name], entry)
    published = "publication" in manifest
    if published and SUMS_FILE not in found:
        raise _refused("bundle.absent", f"{SUMS_FILE} is missing", folder)
    if SUMS_FILE in found:
        _compare_sums(folder, {name: entry["sha256"] for name, entry in declared.items()})
    require_validity(folder, manifest)
    return Bundle(
        folder=folder,
        manifest=manifest,
        files={name: entry["sha256"] for name, entry in declared.items()},
        size_bytes=sum(found[name] for name in declared),
        id=sha256_file(folder / SUMS_FILE) if SUMS_FILE in found else None,
        signed=SIGNATURE_FILE in found,
    )


def _files(folder: Path) -> dict[str, int]:
    """Return name -> size of all that stands in the folder; nothing is opened, no link followed."""
    if folder.is_symlink() or not folder.is_dir():
        raise _refused("bundle.missing", "there is no such folder, or it is a link", folder)
    found: dict[str, int] = {}
    folded: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            state = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(state.st_mode):
                raise _refused(
                    "bundle.kind", f"{entry.name!r} is {_kind(state.st_mode)}; expected regular files", folder,
                    _CACHE if entry.name == "__pycache__" else _AGAIN,
                )  # fmt: skip
            if _NAME.fullmatch(entry.name) is None:
                raise _refused(
                    "bundle.name", f"the name {entry.name[:100]!r} is not allowed: letters, digits and . _ + - are",
                    folder,
                )  # fmt: skip
            other = folded.setdefault(entry.name.lower(), entry.name)
            if other != entry.name:
                raise _refused("bundle.name", f"{other} and {entry.name} differ in case alone", folder)
            found[entry.name] = state.st_size
            if len(found) > _MAX_FILES:
                raise _refused("bundle.too-large", f"it holds more than {_MAX_FILES} files", folder)
    return found


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _manifest(folder: Path, size: int) -> Mapping[str, Any]:
    path = folder / MANIFEST_FILE
    if size > _MAX_MANIFEST:
        raise _refused(
            "bundle.too-large", f"{MANIFEST_FILE} has {size} bytes; expected at most {_MAX_MANIFEST}", folder
        )
    body = read_json(path)
    require_schema(body, BUNDLE_SCHEMA, where=path)
    problems = schema_problems("neural-likelihood", body)
    if problems or not isinstance(body, dict):
        raise InvalidInput(
            f"the manifest is not as its schema says: {'; '.join(problems[:_SHOWN])}",
            code="bundle.manifest",
            where=str(path),
            hint="the rules stand in docs/reference/neural-likelihood.md and in: evercast schema neural-likelihood",
        )
    return body


def schema_problems(kind: str, body: object) -> list[str]:
    """Return what is wrong with a JSON value by its schema, each with its path; nothing is fetched."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - heavy

    too_large = _too_large(body)
    if too_large is not None:
        return [f"the number {too_large} is too large"]
    validator = Draft202012Validator(load_schema(kind), registry=registry())
    return [f"{error.json_path[:200]}: {error.message[:200]}" for error in validator.iter_errors(body)]


def _too_large(body: object) -> str | None:
    """Return how a number in a JSON value begins that no float holds: 1e400, which JSON allows, or 400 digits."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int | float) and not abs(value) <= _LARGEST:
            return str(value)[:20]
    return None


def require_schema(body: object, expected: str, *, where: Path) -> None:
    """Refuse a JSON value that is of another format, or of a version that this program cannot read.

    Args:
        body: the value, with its format under ``schema``.
        expected: such as ``neural-likelihood/1.0.0``.
        where: the file.

    Raises:
        InvalidInput: ``format.unknown-version``.
    """
    found = body.get("schema") if isinstance(body, Mapping) else None
    if found == expected:
        return
    kind = expected.split("/", 1)[0]
    newer = isinstance(found, str) and found.startswith(f"{kind}/")
    raise InvalidInput(
        f"{where.name} is of format {str(found)[:80]!r}; this version of evercast reads {expected}",
        code="format.unknown-version",
        where=str(where),
        hint="it needs a version of evercast that reads it" if newer else f"expected a file of format {kind}",
    )


def _compare_names(folder: Path, declared: Iterable[str], found: Mapping[str, int]) -> None:
    beside = {MANIFEST_FILE, SUMS_FILE, SIGNATURE_FILE}
    wanted = set(declared)
    for name in sorted(wanted):
        if _NAME.fullmatch(name) is None or name in beside:
            raise _refused("bundle.name", f"the manifest names the file {name[:100]!r}, which is not allowed", folder)
    for code, names, what in (
        ("bundle.absent", wanted - found.keys(), "missing"),
        ("bundle.extra", found.keys() - wanted - beside, "not in the manifest"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN]) + (
                f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            )
            raise _refused(code, f"{what}: {shown}", folder)


def _compare(path: Path, size: int, entry: Mapping[str, Any]) -> None:
    if size != entry["size_bytes"]:
        said = f"{path.name} has {size} bytes; the manifest says {entry['size_bytes']}"
        raise _refused("bundle.digest", said, path)
    if path.suffix == ".json" and size > _MAX_JSON:
        raise _refused("bundle.too-large", f"{path.name} has {size} bytes; expected at most {_MAX_JSON}", path)
    digest = sha256_file(path)
    if digest != entry["sha256"]:
        raise _refused("bundle.digest", f"{path.name} has sha256 {digest}; the manifest says {entry['sha256']}", path)


def sums_text(digests: Mapping[str, str]) -> bytes:
    """Return the content of ``manifest-sha256.txt``: sorted by name, as ``sha256sum -c`` reads it."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def _compare_sums(folder: Path, digests: Mapping[str, str]) -> None:
    expected = sums_text({**digests, MANIFEST_FILE: sha256_file(folder / MANIFEST_FILE)})
    path = folder / SUMS_FILE
    if path.stat().st_size == len(expected) and path.read_bytes() == expected:
        return
    raise _refused(
        "bundle.sums", f"{SUMS_FILE} is not the list of the files that the manifest names, and of itself", path
    )


def require_validity(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a published bundle that does not say where it may be used; a core bundle in a run folder need not.

    Raises:
        InvalidInput: ``validity.missing``.
    """
    files = manifest.get("files")
    entry = files.get("validity.json") if isinstance(files, Mapping) else None
    there = isinstance(entry, Mapping) and (folder / "validity.json").is_file() and entry.get("size_bytes") != 0
    if "publication" in manifest and not there:
        raise InvalidInput(
            "the bundle has no validity.json, or an empty one: nothing says which events it holds for",
            code="validity.missing",
            where=str(folder),
            hint=_AGAIN,
        )


def _refused(code: str, message: str, where: Path, hint: str = _AGAIN) -> IntegrityError:
    return IntegrityError(message, code=code, where=str(where), hint=hint)
