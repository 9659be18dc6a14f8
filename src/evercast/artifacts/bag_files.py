"""The files of a bag wherever they lie: in a folder, or still in a tar file."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from evercast.artifacts.bag_walk import BagLimits, walk_files
from evercast.errors import IntegrityError

__all__ = ["BagFiles", "FolderFiles"]

_BLOCK: Final = 1 << 20


class BagFiles(ABC):
    """Files below a bag, known by name and size; nothing is read before it is asked for.

    Args:
        place: what messages call it.
        sizes: path relative to the bag -> bytes.
    """

    place: str
    sizes: Mapping[str, int]

    @abstractmethod
    def open(self, name: str) -> BufferedIOBase:
        """Return the content of a file as a stream to be closed.

        Raises:
            IntegrityError: ``bag.unreadable``.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a small file.

        Raises:
            IntegrityError: ``bag.unreadable``: also where it is not as long as it was.
        """
        with self.open(name) as stream:
            content = stream.read(self.sizes[name] + 1)
        if len(content) != self.sizes[name]:
            raise IntegrityError("its size changed while it was read", code="bag.unreadable", where=self.where(name))
        return content

    def digest(self, name: str) -> str:
        """Return the sha256 of a file.

        Raises:
            IntegrityError: ``bag.unreadable``.
        """
        found = hashlib.sha256()
        with self.open(name) as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
        return found.hexdigest()

    def where(self, name: str | None = None) -> str:
        """Return the bag, or a file of it, for a message."""
        return self.place if name is None else f"{self.place}/{name}"


class FolderFiles(BagFiles):
    """The files below a folder, none of which is a link, a device or badly named.

    Args:
        root: the folder.
        limits: how large it may be.
        seen: digests of files with several names, by device and inode; shared by bags that share files, and filled.

    Raises:
        IntegrityError: ``bag.not-a-bag``, or as `walk_files`.
    """

    def __init__(
        self, root: Path, *, limits: BagLimits | None = None, seen: dict[tuple[int, int], str] | None = None
    ) -> None:
        self.root = root
        self._seen = {} if seen is None else seen
        self.place = str(root)
        if root.is_symlink() or not root.is_dir():
            raise IntegrityError("it is no folder", code="bag.not-a-bag", where=self.place)
        self.sizes = dict(walk_files(root, limits or BagLimits()))

    def open(self, name: str) -> BufferedIOBase:
        """Return the content of a file; what became a link meanwhile is not followed."""
        try:
            handle = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as err:
            reason = f"it cannot be read: {err.strerror}"
            raise IntegrityError(reason, code="bag.unreadable", where=self.where(name)) from err
        return os.fdopen(handle, "rb")

    def digest(self, name: str) -> str:
        """Return the sha256 of a file; one with several names is read once."""
        try:
            status = (self.root / name).lstat()
        except OSError as err:
            reason = f"it cannot be read: {err.strerror}"
            raise IntegrityError(reason, code="bag.unreadable", where=self.where(name)) from err
        if status.st_nlink == 1:
            return super().digest(name)
        place = (status.st_dev, status.st_ino)
        if place not in self._seen:
            self._seen[place] = super().digest(name)
        return self._seen[place]
