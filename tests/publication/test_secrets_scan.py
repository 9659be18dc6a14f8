"""Nothing that tells of people's machines or lets others in is published."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from evercast.errors import IntegrityError
from evercast.publication import secrets_scan
from evercast.publication.secrets_scan import refuse_secrets

SECRETS = {
    "a private key": "-----BEGIN PRIVATE " + "KEY-----",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "x1y2z" * 4,
    "an access key of a cloud": "AKIA" + "ABCD" * 4,
    "a signed web token": ".".join(["eyJ" + "a" * 20, "eyJ" + "b" * 20, "c" * 30]),
    "a password in an address": "https://someone:hunter22" + "@example.org/x",
    "a user's folder": "/home/" + "someone/analysis",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_refused_with_its_place_and_not_repeated(tmp_path: Path, kind: str) -> None:
    (tmp_path / "notes.md").write_text(f"first line\n\nsee {SECRETS[kind]} there\n")
    with pytest.raises(IntegrityError, match=r"notes\.md holds .* in line 3") as caught:
        refuse_secrets(tmp_path)
    assert kind in str(caught.value)
    assert SECRETS[kind] not in str(caught.value)
    assert (caught.value.code, caught.value.exit_code) == ("publication.secret", 5)


def test_a_key_is_found_in_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\0\1\2" + SECRETS["a private key"].encode())
    with pytest.raises(IntegrityError, match="a private key"):
        refuse_secrets(tmp_path)


def test_a_secret_between_two_blocks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_scan, "_BLOCK", 64)
    (tmp_path / "notes.txt").write_text("x\n" * 25 + SECRETS["a GitHub token"] + "\n" * 50)
    with pytest.raises(IntegrityError, match="in line 26"):
        refuse_secrets(tmp_path)


def test_the_name_of_this_machine_and_secret_variables_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "workstation17.example.org")
    monkeypatch.setenv("UPLOAD_TOKEN", "correct-horse-battery")
    for text in ("made on workstation17 today", "sent with correct-horse-battery"):
        (tmp_path / "log.txt").write_text(text)
        with pytest.raises(IntegrityError, match=r"the name of this machine|the variable UPLOAD_TOKEN"):
            refuse_secrets(tmp_path)


def test_what_only_looks_alike_is_published(tmp_path: Path) -> None:
    innocent = "https://example.org/home/page, data/home/x, sha256:" + "a" * 64 + ", someone@example.org, /usr/lib"
    (tmp_path / "notes.md").write_text(innocent)
    refuse_secrets(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["/eos/home-s/someone/x", "/lustre/users/x", "/scratch/someone", "/data/atlas/jdoe7/run", "node lxplus7 did it"],
)
def test_folders_of_clusters_their_users_and_short_names_of_machines_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "lxplus7")
    monkeypatch.setattr("getpass.getuser", lambda: "jdoe7")
    (tmp_path / "log.txt").write_text(f"made in {text}\n")
    with pytest.raises(IntegrityError, match=r"folder|name of this machine"):
        refuse_secrets(tmp_path)


def test_folders_that_a_cluster_shares_are_no_secret(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("binds: [/gpfs/group/data, /lustre/atlas/ntuples, /cvmfs/cms.cern.ch]\n")
    refuse_secrets(tmp_path)


def test_a_user_may_be_named_where_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "jdoe7")
    (tmp_path / "notes.md").write_text("by jdoe7 (jdoe7@example.org, https://example.org/jdoe7), data/jdoe7\n")
    refuse_secrets(tmp_path)
