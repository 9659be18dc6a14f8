"""The images of this machine: files named by the sha256 of their content."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evercast.artifacts.files import atomic_write_json, disk_errors, flush_to_disk, make_folder, read_json, sha256_file
from evercast.errors import EvercastError

__all__ = ["ImageStore", "cache_folder", "default_store", "known_sha256"]


@dataclass(frozen=True, slots=True)
class ImageStore:
    """A folder of images, ``sha256-DIGEST.sif`` each, and the file ``images.yaml`` that names some of them.

    Args:
        root: the folder; need not exist as long as nothing is added.
    """

    root: Path

    @property
    def names(self) -> Path:
        """The file that says which digest a name stands for."""
        return self.root / "images.yaml"

    def file(self, sha256: str) -> Path:
        """Return where the image of a digest is, or would be."""
        return self.root / f"sha256-{sha256}.sif"

    def add(self, file: Path) -> str:
        """Copy an image into the store, whole or not at all, and return its sha256; every user may read it there.

        Raises:
            EnvironmentUnfit: ``disk.full`` or ``disk.read-only``.
        """
        make_folder(self.root)
        with disk_errors(self.root):
            copy = self.root / f".{file.name}-{secrets.token_hex(6)}"
            try:
                shutil.copyfile(file, copy)
                sha256 = sha256_file(copy)
                copy.chmod(0o644)
                flush_to_disk(copy)
                copy.replace(self.file(sha256))
                flush_to_disk(self.root)
            finally:
                copy.unlink(missing_ok=True)
        return sha256


def default_store(environment: Mapping[str, str] | None = None) -> ImageStore:
    """Return the store of this user: ``$EVERCAST_IMAGES``, else ``$XDG_DATA_HOME/evercast/images``.

    Args:
        environment: where the variables are looked up; those of the process where None.
    """
    variables = os.environ if environment is None else environment
    if named := variables.get("EVERCAST_IMAGES"):
        return ImageStore(Path(named).absolute())
    data = variables.get("XDG_DATA_HOME") or str(Path(variables.get("HOME") or "/var/lib") / ".local" / "share")
    return ImageStore(Path(data).absolute() / "evercast" / "images")


def known_sha256(file: Path, *, records: Path | None = None) -> str:
    """Return the sha256 of an image, read anew only where the file is not the one that was read before.

    The record is keyed by device, inode, size and both times to the nanosecond. The change time is set by the kernel
    at each write and cannot be put back, so a changed file is read again.

    Args:
        file: the image.
        records: folder of the records; ``$XDG_CACHE_HOME/evercast/images`` where None. One that cannot be written
            costs the reading only.

    Raises:
        IntegrityError: ``artifact.missing``.
    """
    folder = records if records is not None else cache_folder() / "images"
    try:
        before = file.stat()
    except OSError:
        return sha256_file(file)
    key = [before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns]
    record = folder / f"{before.st_dev:x}-{before.st_ino:x}.json"
    with suppress(OSError, EvercastError):
        body = read_json(record)
        if isinstance(body, dict) and body.get("key") == key and isinstance(body.get("sha256"), str):
            return str(body["sha256"])
    sha256 = sha256_file(file)
    after = file.stat()
    if key == [after.st_dev, after.st_ino, after.st_size, after.st_mtime_ns, after.st_ctime_ns]:
        with suppress(OSError, EvercastError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write_json(record, {"file": str(file), "key": key, "sha256": sha256})
    return sha256


def cache_folder() -> Path:
    """Return where this user keeps what can be made again: ``$XDG_CACHE_HOME/evercast``."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path(os.environ.get("HOME") or "/nonexistent") / ".cache") / "evercast"
