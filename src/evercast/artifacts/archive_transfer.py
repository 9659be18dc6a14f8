"""Archives brought from one place to another: folders, tar files, registries. What is there is never changed.

Every version is checked before anything is written, and again byte by byte while it is written; it gets its final name
when it is complete. Contents that the target has already are not written again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.archive import StoredVersion, Version, check_versions, find_versions, open_archive
from evercast.artifacts.archive_content import check_receipts
from evercast.artifacts.archive_registry import registry_versions, send_versions
from evercast.artifacts.bag import SIGNATURES, TAGS, open_bag
from evercast.artifacts.bag_files import BagFiles
from evercast.artifacts.bag_store import link_known, write_once
from evercast.artifacts.files import atomic_write_bytes, disk_errors, flush_to_disk, make_folder
from evercast.artifacts.registry import Registry, docker_credentials, parse_reference
from evercast.artifacts.tar_files import is_tar
from evercast.artifacts.tar_write import write_tar
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput

__all__ = ["Transfer", "is_registry", "transfer_archive", "writing_alone"]

_SCHEME: Final = "oci://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What was brought over.

    Args:
        versions: numbers of all versions of the source.
        new: numbers of those that the target lacked.
        stored_bytes: bytes that were written or sent.
        total_bytes: bytes of all files of all versions, each counted as often as it has a name.
    """

    versions: tuple[int, ...]
    new: tuple[int, ...]
    stored_bytes: int
    total_bytes: int


def is_registry(text: str) -> bool:
    """Return whether a place is a repository in a registry."""
    return text.startswith(_SCHEME)


def transfer_archive(
    source: str, target: str, *, home: Path | None = None, observe: Callable[[str], None] | None = None
) -> Transfer:
    """Bring every version of an archive that a place lacks to that place.

    Args:
        source: a folder, a tar file, or ``oci://HOST/NAME``.
        target: likewise; a name that ends with ``.tar`` is a tar file.
        home: where the credentials for registries are looked for.
        observe: is told each version before it is brought.

    Raises:
        IntegrityError: the source is damaged or hostile: ``bag.*``, ``tar.*``, ``archive.*``, ``registry.*``,
            ``content.receipt``.
        InvalidInput: ``archive.exists``: the target has another version of the same number; ``archive.version``.
        UsageError: ``registry.reference``.
        EnvironmentUnfit: the disk or the registry refuses; a version is there whole or not at all.
    """
    say = observe or (lambda _: None)
    with _opened(source, home) as found:
        versions = check_versions(found, where=source, digests=not is_registry(source))
        for version in versions:
            check_receipts(version)
        if is_registry(target):
            with _repository(target, home) as registry:
                say(f"sending {len(versions)} versions")
                known = set(registry.tags())
                _, stored = send_versions(versions, registry)
                new = [version for version in versions if f"v{version.record.version}" not in known]
        elif target.endswith(".tar"):
            new, stored = _into_tar(versions, Path(target))
        else:
            new, stored = _into_folder(versions, Path(target), say)
    return Transfer(
        versions=tuple(version.record.version for version in versions),
        new=tuple(version.record.version for version in new), stored_bytes=stored,
        total_bytes=sum(sum(version.content.sizes.values()) for version in versions),
    )  # fmt: skip


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Hold the lock of an archive's folder, and remove what a killed attempt left.

    Raises:
        EnvironmentUnfit: ``archive.locked``.
    """
    with disk_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise EnvironmentUnfit(
                "another process writes into this archive", code="archive.locked", where=str(folder)
            ) from err
        for left in folder.glob(".v*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)


@contextmanager
def _opened(source: str, home: Path | None) -> Iterator[Mapping[str, BagFiles]]:
    """Give the versions of a source, unchecked."""
    if not is_registry(source):
        yield find_versions(Path(source))
        return
    with _repository(source, home) as registry:
        yield registry_versions(registry)


@contextmanager
def _repository(text: str, home: Path | None) -> Iterator[Registry]:
    reference = parse_reference(text)
    credentials = None if home is None else docker_credentials(home, reference.host)
    registry = Registry(reference, credentials=credentials)
    try:
        yield registry
    finally:
        registry.close()


def _into_tar(versions: Sequence[StoredVersion], target: Path) -> tuple[list[StoredVersion], int]:
    """Write a tar file anew where it lacks a version; one that holds more or others stays as it is."""
    there: dict[str, StoredVersion] = {}
    if target.exists():
        if not is_tar(target):
            raise _exists(str(target), "it is there already and no tar file")
        found = check_versions(find_versions(target), where=str(target), digests=False)
        there = {version.name: version for version in found}
    names = {_folder_name(version): version for version in versions}
    if other := sorted(name for name, old in there.items() if name not in names or names[name].bag.id != old.bag.id):
        raise _exists(str(target), f"it holds another {other[0] or 'version'} already")
    new = [version for name, version in names.items() if name not in there]
    if not new and all(_signed(names[name]) == _signed(old) for name, old in there.items()):
        return [], 0
    make_folder(target.parent)
    return new, write_tar(target, [(_folder_name(version), version) for version in versions])


def _signed(version: StoredVersion) -> dict[str, str]:
    """Return path -> sha256 of the signatures of a version."""
    content = version.content
    return {name: content.digest(name) for name in content.sizes if name.startswith(f"{SIGNATURES}/")}


def _folder_name(version: StoredVersion) -> str:
    return version.name and f"v{version.record.version}"


def _into_folder(
    versions: Sequence[StoredVersion], target: Path, say: Callable[[str], None]
) -> tuple[list[StoredVersion], int]:
    alone = len(versions) == 1 and not versions[0].name
    if alone:
        make_folder(target.parent)
        folder, there = target.parent, open_archive(target, digests=False).versions if target.exists() else ()
    else:
        make_folder(target)
        folder, there = target, open_archive(target, digests=False, may_be_empty=True).versions
    with writing_alone(folder):
        return _into_own(versions, target, folder, there, say)


def _into_own(
    versions: Sequence[StoredVersion], target: Path, folder: Path, there: Sequence[Version], say: Callable[[str], None]
) -> tuple[list[StoredVersion], int]:
    alone = folder != target
    known = {digest: version.folder / name for version in there for name, digest in version.bag.files.items()}
    present = {version.record.version: version for version in there}
    for version in versions:
        found = present.get(version.record.version)
        if (found is not None and found.bag.id != version.bag.id) or (alone and present and found is None):
            raise _exists(str(target), f"it holds another version {version.record.version} already")
    new, stored = [], 0
    for version in versions:
        place = target if alone else folder / f"v{version.record.version}"
        if version.record.version in present:
            _add_signatures(version, place)
            continue
        say(f"version {version.record.version}")
        stored += _store(version, place, known)
        known |= {digest: place / name for name, digest in version.bag.files.items()}
        new.append(version)
    return new, stored


def _store(version: StoredVersion, place: Path, known: Mapping[str, Path]) -> int:
    """Write a version under a temporary name, check it and give it its name; return the bytes written."""
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(6)}.tmp")
    own, stored = dict(known), 0
    try:
        with disk_errors(place):
            temporary.mkdir()
            for name, digest in version.bag.files.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not link_known(path, digest, own):
                    size = version.content.sizes[name]
                    with version.content.open(name) as stream:
                        stored += write_once(path, stream, digest=digest, size=size)
                    own[digest] = path
            for name in TAGS:
                (temporary / name).write_bytes(version.content.read(name))
            _add_signatures(version, temporary)
            if open_bag(temporary, digests=False).id != version.bag.id:
                raise IntegrityError("its id changed on the way", code="bag.id", where=version.content.where())
            for path in (*temporary.rglob("*"), temporary):
                flush_to_disk(path)
            temporary.rename(place)
            flush_to_disk(place.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return stored


def _add_signatures(version: StoredVersion, place: Path) -> None:
    """Bring signatures that are not there yet.

    Raises:
        InvalidInput: ``archive.exists``: another signature has the same name.
    """
    for name in sorted(version.content.sizes):
        if not name.startswith(f"{SIGNATURES}/"):
            continue
        content, path = version.content.read(name), place / name
        if path.is_file() and path.read_bytes() != content:
            raise _exists(str(path), "another signature of this name is there already")
        if not path.exists():
            make_folder(path.parent)
            atomic_write_bytes(path, content)


def _exists(where: str, reason: str) -> InvalidInput:
    return InvalidInput(
        reason, code="archive.exists", where=where, hint="what is there is never changed: give another place"
    )
