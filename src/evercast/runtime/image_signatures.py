"""Signatures of image files: made and checked by Apptainer, read here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

from evercast.errors import IntegrityError, InvalidInput
from evercast.runtime.image_programs import apptainer_for_images, scrubbed_environment
from evercast.runtime.sif import SIGNATURE, Sif, read_sif
from evercast.runtime.sif_writer import forget_times

__all__ = ["check_public_key", "check_signature", "check_signing_key", "sign_image", "signers"]

_ED25519_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
"""How a private ed25519 key begins in the form that PEM frames (PKCS #8, RFC 8410); its 32 bytes follow."""
_LONGEST_KEY = 65_536
_PGP_KEY = slice(4, 24)
"""Where the extra bytes of a signature hold the fingerprint of a PGP key; zero for other keys."""


def check_signing_key(key: Path) -> None:
    """Refuse a key that cannot sign, before something is built that it is to sign.

    Raises:
        InvalidInput: ``image.key``: it cannot be read, or is no private ed25519 key in PEM form without a passphrase.
    """
    pem = _read_key(key)
    found = re.search(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END", pem, re.DOTALL)
    if found is None:
        raise _no_signing_key(key, "no key in PEM form")
    if found[1] != b"PRIVATE KEY":
        raise _no_signing_key(key, f"a {found[1].decode().lower()}")
    try:
        body = base64.b64decode(b"".join(found[2].split()), validate=True)
    except ValueError as err:
        raise _no_signing_key(key, "a damaged private key") from err
    if not body.startswith(_ED25519_PRIVATE) or len(body) < len(_ED25519_PRIVATE) + 32:
        raise _no_signing_key(key, "a private key of another kind")


def _no_signing_key(key: Path, found: str) -> InvalidInput:
    return InvalidInput(
        f"images are signed with a private ed25519 key in PEM form, without a passphrase; found {found}",
        code="image.key",
        where=str(key),
        hint="make one: openssl genpkey -algorithm ed25519 -out key.pem",
    )


def _read_key(key: Path) -> bytes:
    """Return the content of a file with a key.

    Raises:
        InvalidInput: ``image.key``.
    """
    try:
        with key.open("rb") as stream:
            return stream.read(_LONGEST_KEY)
    except OSError as err:
        reason = (err.strerror or "unreadable").lower()
        raise InvalidInput(f"the key cannot be read: {reason}", code="image.key", where=str(key)) from err


def check_public_key(key: Path) -> None:
    """Refuse a file that is no public key in PEM form.

    Raises:
        InvalidInput: ``image.key``.
    """
    if b"BEGIN PUBLIC KEY" not in _read_key(key):
        raise InvalidInput(
            "this is no public key in PEM form",
            code="image.key",
            where=str(key),
            hint="openssl pkey -in key.pem -pubout -out key.pub",
        )


def sign_image(file: Path, *, key: Path, epoch: int) -> str:
    """Sign an image file with an ed25519 key in PEM form and return the key's fingerprint.

    The same image and key give the same bytes.

    Raises:
        InvalidInput: ``image.key``: the key cannot be used.
        EnvironmentUnfit: ``container.no-runtime`` or ``container.too-old``.
    """
    check_signing_key(key)
    answer = _apptainer("sign", "--key", str(key.absolute()), str(file))
    if answer.returncode != 0:
        raise InvalidInput(
            f"the image cannot be signed with this key: {_reason(answer)}",
            code="image.key",
            where=str(key),
            hint="make one: openssl genpkey -algorithm ed25519 -out key.pem",
        )
    forget_times(file, epoch=epoch)
    return signers(read_sif(file))[-1]


def check_signature(file: Path, *, key: Path) -> str:
    """Return the fingerprint of a public key after it was checked that it signed the whole image.

    Args:
        file: the image.
        key: the public key in PEM form.

    Raises:
        IntegrityError: ``image.unsigned`` or ``image.signature``.
        InvalidInput: ``image.key``: no public key.
    """
    check_public_key(key)
    if not signers(read_sif(file)):
        raise IntegrityError(
            f"nobody signed the image; expected a signature by the owner of {key.name}",
            code="image.unsigned",
            where=str(file),
            hint="ask who built it for a signed image, or verify without --key: the digest alone is compared then",
        )
    answer = _apptainer("verify", "--key", str(key.absolute()), str(file))
    if answer.returncode != 0:
        raise IntegrityError(
            f"the image is not as the owner of this key signed it: {_reason(answer)}",
            code="image.signature",
            where=str(file),
            hint=f"compare with the sha256 that the owner of {key.name} published",
        )
    return _fingerprint(key)


def signers(sif: Sif) -> tuple[str, ...]:
    """Return whose signatures an image carries, as each claims: fingerprints of keys, unchecked.

    An ed25519 key reads ``SHA256:...`` as ``ssh-keygen -l`` prints it, a PGP key ``PGP:...``.
    """
    found: list[str] = []
    for item in sif.objects:
        if item.kind != SIGNATURE:
            continue
        pgp = item.extra[_PGP_KEY]
        if any(pgp):
            found.append(f"PGP:{pgp.hex().upper()}")
            continue
        try:
            envelope = json.loads(sif.content(item))
            found += [str(entry["keyid"]) for entry in envelope["signatures"]]
        except (ValueError, KeyError, TypeError):
            found.append("unknown")
    return tuple(found)


def _fingerprint(key: Path) -> str:
    """Return the fingerprint of an ed25519 public key: of its last 32 bytes, framed as OpenSSH does."""
    body = "".join(line for line in key.read_text().splitlines() if not line.startswith("-----"))
    raw = base64.b64decode(body)[-32:]
    name = b"ssh-ed25519"
    blob = len(name).to_bytes(4, "big") + name + len(raw).to_bytes(4, "big") + raw
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _apptainer(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Apptainer with a home of its own: its key rings are not asked."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(  # noqa: S603
            [apptainer_for_images(), *words], env=scrubbed_environment({"HOME": home}), capture_output=True, text=True,
            check=False,
        )  # fmt: skip


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in answer.stderr.splitlines() if line.startswith(("FATAL", "ERROR", "Error"))]
    return (lines or answer.stderr.splitlines() or ["no reason given"])[-1].strip()
