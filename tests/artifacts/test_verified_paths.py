"""What `evercast verify` is given: nothing, a part of something, the whole of it, or a short id."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from archives import make_archive

from evercast.artifacts.archive import open_archive, open_version
from evercast.artifacts.archive_verify import sign_version
from evercast.artifacts.key_ring import KeyRing
from evercast.cli import main
from evercast.cli.commands.inspect import archive_lines


@pytest.fixture(autouse=True)
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    monkeypatch.setenv("EVERCAST_KEYS", str(tmp_path / "keys"))
    return KeyRing(tmp_path / "keys")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main([*words, "--json"])
    body = json.loads(capsys.readouterr().out)["error"]
    return code, body["code"], f"{body['message']} {body['hint']}"


def verified(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["verify", str(path)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["archive", "ls"], ["replay"]])
def test_a_path_at_which_is_nothing_has_one_answer(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, name, said = refused([*command, str(tmp_path / "nowhere")], capsys)
    assert (code, name) == (3, "verify.missing")
    assert "nowhere does not exist" in said


def test_an_archive_whose_oldest_version_is_lost_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = make_archive(tmp_path / "archive", versions=2)
    shutil.rmtree(archive / "v1")
    for command in ("verify", "inspect"):
        assert refused([command, str(archive)], capsys)[:2] == (5, "archive.chain")


def test_a_short_id_is_said_to_be_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = make_archive(tmp_path / "archive", versions=1)
    known = open_archive(archive).versions[0].bag.id
    code, name, said = refused(["verify", str(archive), "--id", known[:12]], capsys)
    assert (code, name) == (3, "verify.short-id")
    assert "64 digits" in said
    assert main(["verify", str(archive), "--id", known]) == 0


def test_a_trusted_key_is_named_and_nothing_is_asked_of_the_reader(
    tmp_path: Path, ring: KeyRing, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "archive", versions=1)
    key = ring.new("own")
    sign_version(open_version(archive / "v1").bag, key=ring.private("own"))
    assert "for you to know" in verified(archive, capsys)
    ring.trust(key, who="cms@example.org")
    said = verified(archive, capsys)
    assert f"cms@example.org ({key.fingerprint})" in said
    assert "for you to know" not in said


@pytest.mark.parametrize("path", [".", "hepdata", "hepdata/submission", "hepdata/submission.tar.gz", "bundles"])
def test_of_a_whole_publication_the_parts_are_named(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "publication"
    for name in ("bundles/neural/manifest.json", "pyhf/binned/workspace.json", "hepdata/submission/submission.yaml",
                 "hepdata/submission.tar.gz"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\x1f\x8b" if name.endswith("gz") else b"{}")
    make_archive(root / "archive", versions=1)
    code, name, said = refused(["verify", str(root / path)], capsys)
    assert (code, name) == (3, "verify.whole")
    assert f"evercast verify {root}/bundles/neural" in said
    if path != "bundles":
        assert f"evercast verify {root}/archive" in said
        assert f"evercast verify {root}/pyhf/binned/workspace.json" in said


def test_an_archive_is_told_in_few_lines(tmp_path: Path, ring: KeyRing, capsys: pytest.CaptureFixture[str]) -> None:
    archive = make_archive(tmp_path / "archive", versions=2)
    ring.new("own")
    sign_version(open_version(archive / "v1").bag, key=ring.private("own"))
    assert main(["inspect", str(archive), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["versions"]
    assert [one["signatures"] for one in whole] == [1, 0]
    assert main(["inspect", str(archive)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    for one, signed in zip(whole, ("signatures: 1", "nobody signed it"), strict=True):
        assert one["size_bytes"] > 0
        assert any(one["id"] in line and f"{one['files']} files" in line and signed in line for line in lines)
    many = [one | {"record": one["record"] | {"units": 900 * one["record"]["units"]}} for one in 60 * whole]
    assert len(list(archive_lines(many))) <= 40
