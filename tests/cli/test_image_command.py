"""``evercast image``: keys are looked at before anything else, names lead on, a list sees what has the wrong size."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from evercast.artifacts.files import sha256_file
from evercast.cli import main
from evercast.runtime.image_store import ImageStore
from evercast.runtime.images import ImageRecord, record_image
from evercast.runtime.sif import machine_architecture
from evercast.runtime.sif_writer import write_sif

PRIVATE_ED25519 = "302e020100300506032b657004220420"
PUBLIC_ED25519 = "302a300506032b6570032100"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """A store with one unsigned image named tools; the working folder is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("EVERCAST_IMAGES", str(tmp_path / "store"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (packed := tmp_path / "squashfs").write_text("content")
    file = tmp_path / "made.sif"
    write_sif(
        file, file_system=packed, definition="Bootstrap: scratch\n", labels={}, architecture=machine_architecture(),
        epoch=0,
    )  # fmt: skip
    found = ImageStore(tmp_path / "store")
    found.add(file)
    record = ImageRecord(sha256=sha256_file(file), size_bytes=file.stat().st_size, architecture=machine_architecture())
    record_image(found.names, "tools", record)
    return found


def pem(path: Path, kind: str, start: str) -> Path:
    """A file with a key of 32 bytes."""
    body = base64.b64encode(bytes.fromhex(start) + bytes(range(32))).decode()
    path.write_text(f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
    return path


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(capsys.readouterr().out)["error"]
    return found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("nothing", "no key in PEM form"),
        (("PUBLIC KEY", PUBLIC_ED25519), "a public key"),
        (("ENCRYPTED PRIVATE KEY", PRIVATE_ED25519), "encrypted private key"),
        (("PRIVATE KEY", "302e020100300506032b656e04220420"), "a private key of another kind"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_before_anything_is_built(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | tuple[str, str] | None,
    found: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Without any program in PATH a build could not even begin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    key = tmp_path / "key.pem"
    if isinstance(content, tuple):
        pem(key, *content)
    elif content is not None:
        key.write_text(content)
    assert main(["image", "build", "evercast", "--sign", str(key), "--json"]) == 3
    body = error(capsys)
    assert (body["code"], body["where"]) == ("image.key", str(key))
    assert found in body["message"]


def test_with_a_good_key_the_build_goes_on_to_the_programs_it_needs(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    key = pem(tmp_path / "key.pem", "PRIVATE KEY", PRIVATE_ED25519)
    assert main(["image", "build", "evercast", "--sign", str(key), "--json"]) == 6
    assert error(capsys)["code"] == "container.no-runtime"


def test_an_unsigned_image_fails_where_a_key_is_given(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = pem(tmp_path / "key.pub", "PUBLIC KEY", PUBLIC_ED25519)
    assert main(["image", "verify", "tools", "--key", str(key), "--json"]) == 5
    assert error(capsys)["code"] == "image.unsigned"
    assert main(["image", "verify", "tools"]) == 0
    assert "nobody signed it" in capsys.readouterr().out


def test_the_key_is_looked_at_although_nobody_signed(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "verify", "tools", "--key", str(tmp_path / "absent.pub"), "--json"]) == 3
    assert error(capsys)["code"] == "image.key"


def test_a_list_names_an_image_of_the_wrong_size(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "list"]) == 0
    told = capsys.readouterr()
    assert " yes " in told.out
    assert told.err == ""
    (file,) = store.root.glob("sha256-*.sif")
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    assert main(["image", "list"]) == 0
    told = capsys.readouterr()
    assert " damaged " in told.out
    assert f"{size - 100} bytes, expected {size}" in told.err
    assert "evercast image verify tools" in told.err
    assert main(["image", "list", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["images"] if row["name"] == "tools")
    assert (row["found_bytes"], row["size_bytes"]) == (size - 100, size)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nonsense", "evercast image list shows the names"),
        ("tool", "did you mean 'tools'"),
        ("evercast-gpu", "evercast image build evercast-gpu"),
    ],
)
def test_a_name_that_nobody_knows_leads_on(
    store: ImageStore, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert main(["image", "verify", name, "--json"]) == 3
    body = error(capsys)
    assert body["code"] == "image.unknown-name"
    assert hint in body["hint"]


def test_a_file_that_looks_like_a_name_is_told_how_to_be_named(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other").write_text("x")
    assert main(["image", "verify", "other", "--json"]) == 3
    assert "./other" in error(capsys)["hint"]
