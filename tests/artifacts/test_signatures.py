"""Signatures: OpenSSH checks what evercast makes, evercast checks what OpenSSH makes, and neither a forgery."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evercast.artifacts.signatures import check_signature, read_public_key, read_signer, sign_file
from evercast.errors import EvercastError, IntegrityError, InvalidInput


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "manifest-sha256.txt"
    path.write_text("0" * 64 + "  data/x\n")
    return path


@pytest.fixture
def signature(key: Path, text: Path, tmp_path: Path) -> Path:
    sign_file(text, key=key, signature=tmp_path / "manifest.sig")
    return tmp_path / "manifest.sig"


def test_openssh_verifies_a_signature(key: Path, text: Path, signature: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(f"cms {read_signer(signature).line()}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "cms", "-n", "evercast", "-s", signature]
    done = subprocess.run(command, input=text.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b'Good "evercast" signature for cms' in done.stdout
    assert read_signer(signature).fingerprint.encode() in done.stdout
    again = subprocess.run(command, input=b"other", capture_output=True, check=False)
    assert again.returncode != 0


@pytest.mark.parametrize("hash_name", ["sha512", "sha256"])
def test_a_signature_by_openssh_is_verified(hash_name: str, text: Path, tmp_path: Path) -> None:
    own = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", own], check=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", own, "-n", "evercast", "-O", f"hashalg={hash_name}", text]
    subprocess.run(command, check=True, capture_output=True)
    found = check_signature(text, text.with_name(f"{text.name}.sig"))
    assert found.raw == read_public_key(own.with_suffix(".pub")).raw
    listed = subprocess.run(["ssh-keygen", "-lf", own], check=True, capture_output=True, text=True).stdout
    assert found.fingerprint == listed.split()[1]


def test_the_same_key_and_content_give_the_same_signature(key: Path, text: Path, tmp_path: Path) -> None:
    for name in ("a.sig", "b.sig"):
        sign_file(text, key=key, signature=tmp_path / name)
    assert (tmp_path / "a.sig").read_bytes() == (tmp_path / "b.sig").read_bytes()


def test_an_openssh_private_key_signs_too(text: Path, tmp_path: Path) -> None:
    own = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", own], check=True)
    sign_file(text, key=own, signature=tmp_path / "a.sig")
    public = read_public_key(own.with_suffix(".pub"))
    assert check_signature(text, tmp_path / "a.sig").raw == public.raw
    assert public.comment == "me"


def test_the_public_key_is_read_as_pem_too(key: Path, signature: Path, tmp_path: Path) -> None:
    public = tmp_path / "key.pub.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    assert read_public_key(public).fingerprint == read_signer(signature).fingerprint


def test_changed_content_is_refused(text: Path, signature: Path) -> None:
    text.write_text("1" * 64 + "  data/x\n")
    with pytest.raises(IntegrityError) as caught:
        check_signature(text, signature)
    assert caught.value.code == "signature.wrong"
    assert read_signer(signature).fingerprint in str(caught.value)


def _inside(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Change what is inside the armour."""

    def changed(content: bytes) -> bytes:
        lines = content.decode().splitlines()
        blob = change(base64.b64decode("".join(lines[1:-1])))
        return "\n".join([lines[0], base64.b64encode(blob).decode(), lines[-1], ""]).encode()

    return changed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _: b"", "signature.damaged"),
        (lambda content: content[:100], "signature.damaged"),
        (lambda _: b"\x80\x04cos\nsystem\n(S'x'\ntR.", "signature.damaged"),
        (lambda content: content.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"), "signature.damaged"),
        (lambda content: content + b"trailing", "signature.damaged"),
        (_inside(lambda blob: blob.replace(b"evercast", b"gitcommi")), "signature.damaged"),
        (_inside(lambda blob: blob[:-1]), "signature.damaged"),
        (_inside(lambda blob: blob + b"\0"), "signature.damaged"),
        (_inside(lambda blob: b"SSHSIG\0\0\0\2" + blob[10:]), "signature.damaged"),
        (_inside(lambda blob: blob[:10] + b"\xff\xff\xff\xff" + blob[14:]), "signature.damaged"),
        (_inside(lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])), "signature.wrong"),
        (_inside(lambda blob: blob[:40] + bytes([blob[40] ^ 1]) + blob[41:]), "signature.wrong"),
    ],
)
def test_a_damaged_signature_is_refused(
    change: Callable[[bytes], bytes], code: str, text: Path, signature: Path
) -> None:
    content = signature.read_bytes()
    assert change(content) != content
    signature.write_bytes(change(content))
    with pytest.raises(IntegrityError) as caught:
        check_signature(text, signature)
    assert caught.value.code == code


def _rsa(folder: Path) -> Path:
    path = folder / "rsa.pem"
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    return path


def _encrypted(folder: Path) -> Path:
    path = folder / "locked.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


def _empty(folder: Path) -> Path:
    (folder / "empty").write_bytes(b"")
    return folder / "empty"


@pytest.mark.parametrize(
    ("make", "code"),
    [(_rsa, "key.kind"), (_encrypted, "key.kind"), (_empty, "key.kind"), (lambda folder: folder, "key.unreadable")],
)
def test_what_is_no_private_key_is_refused(make: Callable[[Path], Path], code: str, text: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        sign_file(text, key=make(tmp_path), signature=tmp_path / "x.sig")
    assert caught.value.code == code
    assert not (tmp_path / "x.sig").exists()


def test_the_private_key_is_no_public_one(key: Path) -> None:
    with pytest.raises(EvercastError, match=r"NAME\.pub"):
        read_public_key(key)
