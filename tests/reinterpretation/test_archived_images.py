"""Images that an archive holds are the store of a replay, under the names that the run used."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.artifacts.archive import Version
from evercast.artifacts.archive_record import ArchiveRecord, CodeRecord, ImageEntry
from evercast.artifacts.bag import write_bag
from evercast.artifacts.files import sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.images import place_images
from evercast.runtime.image_store import ImageStore
from evercast.runtime.images import resolve_image
from evercast.runtime.sif import machine_architecture
from evercast.runtime.sif_writer import write_sif


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """A version of an archive that holds one image and names another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made, root = tmp_path / "made.sif", tmp_path / "v1"
    content = tmp_path / "content"
    content.write_text("a file system")
    write_sif(
        made, file_system=content, definition="Bootstrap: scratch\n", labels={}, architecture=machine_architecture(),
        epoch=0,
    )  # fmt: skip
    digest = sha256_file(made)
    place = f"data/images/sha256-{digest}.sif"
    (root / "data" / "images").mkdir(parents=True)
    made.rename(root / place)
    images = (
        ImageEntry(name="evercast", sha256=digest, file=place),
        ImageEntry(name="elsewhere", sha256="0" * 64, file=None),
    )
    record = ArchiveRecord(
        name="a", version=1, previous=None, plan="p", pseudo_data=False, document="data/document/a.yaml",
        code=CodeRecord(version="0", file="data/code"), images=images,
    )  # fmt: skip
    return Version(bag=write_bag(root, info={"External-Identifier": "a"}), record=record)


def test_images_of_an_archive_are_found_by_name_and_digest(version: Version, tmp_path: Path) -> None:
    store = ImageStore(place_images(version, tmp_path / "images"))
    found = resolve_image("evercast", None, store=store)
    assert found.sha256 == version.record.images[0].sha256
    assert found.file == store.file(found.sha256)
    assert place_images(version, tmp_path / "images") == store.root  # once more changes nothing
    with pytest.raises(InvalidInput, match="no image is named 'elsewhere'"):
        resolve_image("elsewhere", None, store=store)


def test_an_image_that_changed_since_it_was_verified_is_refused(version: Version, tmp_path: Path) -> None:
    image = version.record.images[0]
    assert image.file is not None
    with (version.folder / image.file).open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(IntegrityError, match="another content than when it was verified"):
        place_images(version, tmp_path / "images")
    assert not list((tmp_path / "images").rglob("*.sif"))
