"""A name stands for one content; the file is used if it has that content, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.artifacts.files import sha256_file
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidDocument, InvalidInput
from evercast.runtime.image_store import ImageStore, default_store, known_sha256
from evercast.runtime.images import ImageLabels, ImageRecord, read_names, record_image, resolve_image
from evercast.runtime.sif import machine_architecture
from evercast.runtime.sif_writer import write_sif


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def image(folder: Path, *, text: str = "one", architecture: str | None = None) -> Path:
    """An image file whose file system is some text."""
    folder.mkdir(parents=True, exist_ok=True)
    (packed := folder / f"{text}.squashfs").write_text(text)
    write_sif(
        folder / f"{text}.sif", file_system=packed, definition="Bootstrap: scratch\n", labels={},
        architecture=architecture or machine_architecture(), epoch=0,
    )  # fmt: skip
    return folder / f"{text}.sif"


def record(file: Path, **more: str) -> ImageRecord:
    sha256 = more.pop("sha256", sha256_file(file))
    return ImageRecord(sha256=sha256, size_bytes=file.stat().st_size, architecture=machine_architecture())


def test_names_that_are_written_at_once_are_all_there(store: ImageStore) -> None:
    words = (
        "import sys; from pathlib import Path; from evercast.runtime.images import ImageRecord, record_image\n"
        "one = ImageRecord(sha256='0' * 64, size_bytes=1, architecture='x86_64')\n"
        "for n in range(15): record_image(Path(sys.argv[1]), f'{sys.argv[2]}{n}', one)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", words, str(store.names), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert set(read_names(store.names)) == {f"{name}{number}" for name in "abc" for number in range(15)}
    assert [path.name for path in store.root.iterdir()] == ["images.yaml"], "no lock stays"


def test_a_name_leads_to_its_file(store: ImageStore, tmp_path: Path) -> None:
    file = image(tmp_path / "made")
    sha256 = store.add(file)
    record_image(store.names, "tools", record(file))
    found = resolve_image("tools", None, store=store)
    assert (found.file, found.sha256, found.argument) == (store.file(sha256), sha256, str(store.file(sha256)))
    assert sorted(path.name for path in store.root.iterdir()) == ["images.yaml", f"sha256-{sha256}.sif"]


def test_the_document_decides_before_the_store(store: ImageStore, tmp_path: Path) -> None:
    one, two = image(tmp_path / "made"), image(tmp_path / "made", text="two")
    for file in (one, two):
        store.add(file)
    record_image(store.names, "tools", record(one))
    document = tmp_path / "analysis"
    document.mkdir()
    assert resolve_image("tools", document, store=store).sha256 == sha256_file(one)
    record_image(document / "images.yaml", "tools", record(two))
    assert resolve_image("tools", document, store=store).sha256 == sha256_file(two)


def test_an_unknown_name_lists_those_there_are(store: ImageStore, tmp_path: Path) -> None:
    record_image(store.names, "tools", record(image(tmp_path)))
    with pytest.raises(InvalidInput, match=r"no image is named 'tool'; there are: .*tools") as caught:
        resolve_image("tool", None, store=store)
    assert caught.value.code == "image.unknown-name"


def test_a_missing_image_is_a_matter_of_the_machine(store: ImageStore, tmp_path: Path) -> None:
    record_image(store.names, "tools", record(image(tmp_path)))
    with pytest.raises(EnvironmentUnfit) as caught:
        resolve_image("tools", None, store=store)
    assert caught.value.code == "image.missing"
    assert "evercast image build tools" in str(caught.value)


def test_another_content_under_the_locked_digest_is_refused(store: ImageStore, tmp_path: Path) -> None:
    one, two = image(tmp_path), image(tmp_path, text="two")
    sha256 = store.add(one)
    record_image(store.names, "tools", record(one))
    resolve_image("tools", None, store=store)
    store.file(sha256).write_bytes(two.read_bytes())
    with pytest.raises(IntegrityError, match=sha256_file(two)) as caught:
        resolve_image("tools", None, store=store)
    assert caught.value.code == "image.digest"


def test_a_change_that_keeps_size_and_time_is_found(store: ImageStore, tmp_path: Path) -> None:
    file = image(tmp_path)
    sha256 = store.add(file)
    record_image(store.names, "tools", record(file))
    resolve_image("tools", None, store=store)
    stored = store.file(sha256)
    times, content = stored.stat(), bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    os.utime(stored, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (stored.stat().st_size, stored.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    with pytest.raises(IntegrityError):
        resolve_image("tools", None, store=store)


def test_a_known_file_is_not_read_again(tmp_path: Path) -> None:
    file = image(tmp_path)
    records = tmp_path / "records"
    sha256 = known_sha256(file, records=records)
    (written,) = records.iterdir()
    written.write_text(written.read_text().replace(sha256, 64 * "0"))
    assert known_sha256(file, records=records) == 64 * "0"
    file.touch()
    assert known_sha256(file, records=records) == sha256


def test_records_that_cannot_be_written_cost_the_reading_only(tmp_path: Path) -> None:
    file = image(tmp_path)
    (tmp_path / "records").touch()
    assert known_sha256(file, records=tmp_path / "records") == sha256_file(file)


def test_an_image_for_other_processors_is_refused(store: ImageStore, tmp_path: Path) -> None:
    file = image(tmp_path, architecture="ppc64le")
    with pytest.raises(EnvironmentUnfit, match="for ppc64le processors") as caught:
        resolve_image(file.name, tmp_path, store=store)
    assert caught.value.code == "image.architecture"


def test_a_file_beside_the_document_is_compared_with_its_locked_digest(store: ImageStore, tmp_path: Path) -> None:
    file = image(tmp_path)
    assert resolve_image("one.sif", tmp_path, store=store).sha256 == sha256_file(file)
    with pytest.raises(IntegrityError):
        resolve_image("one.sif", tmp_path, store=store, sha256=64 * "0")
    with pytest.raises(EnvironmentUnfit):
        resolve_image("other.sif", tmp_path, store=store)


def test_a_registry_reference_needs_its_digest(store: ImageStore) -> None:
    digest = 64 * "a"
    found = resolve_image(f"group/tools@sha256:{digest}", None, store=store)
    assert (found.file, found.sha256, found.argument) == (None, digest, f"docker://group/tools@sha256:{digest}")
    for text in ("docker://group/tools:latest", "tools:1", "docker://tools@sha256:123"):
        with pytest.raises(InvalidInput) as caught:
            resolve_image(text, None, store=store)
        assert caught.value.code == "image.no-digest"


def test_a_new_record_leaves_the_other_names(store: ImageStore, tmp_path: Path) -> None:
    one = record(image(tmp_path))
    labelled = ImageRecord(
        sha256=64 * "b", size_bytes=5, architecture="arm64", recipe="x.def", signed_by="SHA256:" + 43 * "a",
        labels=ImageLabels(version="1.0", requirements=64 * "c", revision=40 * "d"),
    )  # fmt: skip
    record_image(store.names, "one", one)
    record_image(store.names, "two", labelled)
    assert read_names(store.names) == {"one": one, "two": labelled}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema: images/1.0.0\nimages: {tools: {sha256: abc, size_bytes: 1, architecture: amd64}}\n", "sha256"),
        ("schema: images/1.0.0\nimages: {Tools/..: {}}\n", "Tools"),
        ("schema: images/2.0.0\nimages: {}\n", "images/1.0.0"),
        ("schema: images/1.0.0\nimages: {}\nimage: {}\n", "unknown key"),
    ],
    ids=["digest", "name", "version", "key"],
)
def test_a_wrong_file_of_names_is_refused_with_its_place(store: ImageStore, text: str, words: str) -> None:
    store.root.mkdir()
    store.names.write_text(text)
    with pytest.raises(InvalidDocument, match=words) as caught:
        resolve_image("tools", None, store=store)
    assert str(store.names) in str(caught.value)


def test_the_store_is_where_the_environment_says(tmp_path: Path) -> None:
    assert default_store({"EVERCAST_IMAGES": str(tmp_path)}).root == tmp_path
    assert default_store({"XDG_DATA_HOME": "/data", "HOME": "/home/x"}).root == Path("/data/evercast/images")
    assert default_store({"HOME": "/home/x"}).root == Path("/home/x/.local/share/evercast/images")
