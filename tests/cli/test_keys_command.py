"""Keys that are trusted and withdrawn, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.artifacts.key_ring import KeyRing
from evercast.artifacts.signatures import PublicKey
from evercast.cli import main

WHO = "analysis@experiment.example"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicKey:
    """A key of somebody else that is trusted; of its file nothing is left."""
    monkeypatch.setenv("EVERCAST_KEYS", str(tmp_path / "mine"))
    key = KeyRing(tmp_path / "theirs").new("experiment")
    KeyRing(tmp_path / "mine").trust(key, who=WHO, until="20361231")
    return key


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    body: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
    return body["trusted"]


@pytest.mark.parametrize("by", ["name", "fingerprint"])
def test_a_trusted_key_is_revoked_without_its_file(
    by: str, trusted: PublicKey, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [entry["revoked"] for entry in listed(capsys)] == [False]
    assert main(["keys", "trust", WHO if by == "name" else trusted.fingerprint, "--revoke"]) == 0
    assert f"revoked: {trusted.fingerprint}" in capsys.readouterr().out
    assert [entry["revoked"] for entry in listed(capsys)] == [True]
    assert main(["keys", "list"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("revoked  ")
    assert WHO in line
    assert "trusted" not in line
    assert "until" not in line


def test_a_revoked_key_of_ones_own_says_so(trusted: PublicKey, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "own"]) == 0
    assert main(["keys", "trust", "own", "--revoke"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    own, theirs = capsys.readouterr().out.splitlines()
    assert own.startswith("own ")
    assert own.endswith("revoked")
    assert theirs.startswith("trusted")


def test_of_two_keys_of_one_name_neither_is_guessed(
    trusted: PublicKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = KeyRing(tmp_path / "theirs").new("second")
    KeyRing(tmp_path / "mine").trust(second, who=WHO)
    assert main(["keys", "trust", WHO, "--revoke"]) == 3
    said = capsys.readouterr().err
    assert "key.ambiguous" in said
    assert trusted.fingerprint in said
    assert second.fingerprint in said
    assert [entry["revoked"] for entry in listed(capsys)] == [False, False]


def test_a_name_that_nobody_has_is_refused(trusted: PublicKey, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "trust", "nobody", "--revoke"]) == 3
    assert [entry["revoked"] for entry in listed(capsys)] == [False]
