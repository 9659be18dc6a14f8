"""An archived run opened for a replay: verified, with its document, inputs, units, environment and code."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evercast.artifacts.archive import Version, check_version, placed_version
from evercast.artifacts.archive_verify import SignedBy, verified_version
from evercast.artifacts.bag import MANIFEST
from evercast.artifacts.bag_files import FolderFiles
from evercast.artifacts.files import read_json
from evercast.artifacts.key_ring import KeyRing
from evercast.artifacts.signatures import read_public_key
from evercast.errors import IntegrityError, UsageError
from evercast.reinterpretation.sides import Side, side_of_archive
from evercast.runtime.source_code import source_files

__all__ = ["ArchivedRun", "open_archived", "running_code"]

_ENVIRONMENT: Final = "data/environment.json"
_VERSION: Final = re.compile(r"v([1-9][0-9]{0,5})")
_COMPUTES: Final = re.compile(r"src/evercast/(?!cli/|interop/|reinterpretation/|schemas/)[A-Za-z0-9_/]+\.py")
"""Source files that can change what a stage computes."""
_MOST_CODE: Final = 200 << 20
_MOST_FILES: Final = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchivedRun:
    """A verified version of an archive.

    Args:
        versions: package -> version of the run.
        signatures: by whom it is signed; empty where nobody signed.
        demanded: whether one of them is of the key that was demanded.
    """

    version: Version
    side: Side
    versions: Mapping[str, str]
    signatures: tuple[SignedBy, ...] = ()
    demanded: bool = False

    @property
    def signed_by(self) -> str:
        """Who signed it, in words."""
        return ", ".join(map(str, self.signatures)) or "nobody"

    @property
    def trusted(self) -> bool:
        """Whether one who is trusted, or was demanded, signed it."""
        return self.demanded or any(each.state == "trusted" for each in self.signatures)

    @property
    def folder(self) -> Path:
        """Folder of the bag."""
        return self.version.folder


def open_archived(path: Path, *, keys: KeyRing | None = None, key: Path | None = None) -> ArchivedRun:
    """Return the run in an archive, of several versions the newest, after every digest and signature was checked.

    Args:
        path: folder of an archive, or of one version.
        keys: whose keys are known; None knows nobody's.
        key: file of the public key that must have signed it; None demands nobody's signature.

    Raises:
        IntegrityError: ``bag.*``, ``archive.*`` or ``content.*``: it is no archive, or something in it is not what it
            must be; ``signature.*``: nobody who was demanded signed it, or somebody who must not.
        InvalidInput: ``archive.version``: of a format that this evercast does not know.
        UsageError: ``replay.file``: a tar file.
    """
    if path.is_file():
        raise UsageError(
            f"{path} is a file; an archive is opened from its folder",
            code="replay.file",
            hint=f"unpack it: evercast archive pull {path} FOLDER",
        )
    folder = _newest(path)
    demanded = None if key is None else read_public_key(key)
    stored = check_version("", FolderFiles(folder), digests=True)
    verified = verified_version(stored, keys, datetime.now(UTC).strftime("%Y%m%d"), demanded)
    version = placed_version(folder, stored)
    data = version.folder / "data"
    environment = read_json(version.folder / _ENVIRONMENT) if _ENVIRONMENT in version.bag.files else {}
    recorded = environment if isinstance(environment, Mapping) else {}
    side = side_of_archive(
        data, document=version.folder / version.record.document, machine=_texts(recorded.get("machine")),
        defaults=_texts(recorded.get("defaults")), code=_archived_code(version),
    )  # fmt: skip
    for unit in side.plan.units:
        side.receipt(unit)  # one that leads out is refused now, not when its unit is copied
    return ArchivedRun(
        version=version, side=side, versions=version.record.versions, signatures=verified.signatures,
        demanded=demanded is not None,
    )  # fmt: skip


def running_code() -> dict[str, str]:
    """Return source file -> sha256 of the evercast that is running, for the files that compute.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in source_files().items()
        if _COMPUTES.fullmatch(name)
    }


def _newest(path: Path) -> Path:
    if (path / MANIFEST).is_file() or not path.is_dir():
        return path
    numbers = [int(match[1]) for entry in path.iterdir() if (match := _VERSION.fullmatch(entry.name))]
    return path / f"v{max(numbers)}" if numbers else path


def _texts(body: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in body.items()} if isinstance(body, Mapping) else {}


def _archived_code(version: Version) -> dict[str, str]:
    """Return source file -> sha256 of what an archive holds of evercast; nothing is written or run.

    Raises:
        IntegrityError: ``archive.code``: it cannot be read, or is too large.
    """
    place = version.folder / version.record.code.file
    found: dict[str, str] = {}
    total = 0
    try:
        with tarfile.open(place, mode="r:gz") as packed:
            for count, member in enumerate(packed):
                total += member.size
                if total > _MOST_CODE or count > _MOST_FILES:
                    raise IntegrityError(
                        "the source in the archive is too large", code="archive.code", where=str(place)
                    )
                name = member.name.partition("/")[2]
                stream = packed.extractfile(member) if member.isreg() and _COMPUTES.fullmatch(name) else None
                if stream is not None:
                    found[name] = hashlib.sha256(stream.read()).hexdigest()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as err:
        raise IntegrityError(
            f"the source in the archive cannot be read: {err}", code="archive.code", where=str(place)
        ) from err
    return found
