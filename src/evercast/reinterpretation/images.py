"""The images of an archive as a store of images, for a replay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from evercast.artifacts.archive import Version
from evercast.artifacts.files import disk_errors, make_folder, sha256_file
from evercast.errors import IntegrityError
from evercast.runtime.image_store import ImageStore
from evercast.runtime.images import ImageRecord, is_image_name, record_image
from evercast.runtime.sif import read_sif

__all__ = ["place_images"]


def place_images(version: Version, folder: Path) -> Path:
    """Make a folder the store of the images that an archive holds, under the names that its run used; return it.

    An image is another name of the file in the archive, where the file system can; images are only ever read.

    Raises:
        IntegrityError: ``replay.changed``: a file has another content than when the archive was verified.
        EnvironmentUnfit: the disk refuses, or a file is no image.
    """
    store = ImageStore(folder)
    make_folder(folder)
    for image in version.record.images:
        if image.file is None:
            continue
        source, target = version.folder / image.file, store.file(image.sha256)
        if not target.exists():
            with disk_errors(target):
                try:
                    os.link(source, target)
                except OSError:  # another file system, or one without links
                    shutil.copyfile(source, target)
        if (found := sha256_file(target)) != image.sha256:
            target.unlink()
            raise IntegrityError(
                f"it has another content than when it was verified: sha256 {found}, expected {image.sha256}",
                code="replay.changed", where=str(source), hint="nothing may write into an archive; verify it again",
            )  # fmt: skip
        if is_image_name(image.name):
            size, architecture = target.stat().st_size, read_sif(target).architecture
            record = ImageRecord(sha256=image.sha256, size_bytes=size, architecture=architecture)
            record_image(store.names, image.name, record)
    return folder
