"""Ed25519 signatures in the form of OpenSSH: `ssh-keygen -Y verify` checks them without evercast.

A private key is a PEM file (``openssl genpkey -algorithm ed25519``, or ``evercast keys new``), as for images. A public
key is one line as OpenSSH writes it, ``ssh-ed25519 AAAA... comment``, or a PEM file. A signature is a file that begins
with ``-----BEGIN SSH SIGNATURE-----``, made over the sha512 of a file for the purpose ``evercast``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evercast.artifacts.files import atomic_write_bytes
from evercast.errors import IntegrityError, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "NAMESPACE", "PublicKey", "check_signature", "parse_public_key", "read_private_key", "read_public_key",
    "read_signer", "sign_file", "signed_by",
]  # fmt: skip

NAMESPACE: Final = "evercast"
"""Purpose of a signature: one made for mail or for git is none of ours."""

_TYPE: Final = b"ssh-ed25519"
_MAGIC: Final = b"SSHSIG"
_HASH: Final = b"sha512"
_ARMOUR: Final = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]{1,4000})\n-----END SSH SIGNATURE-----\n?"
)
_LINE: Final = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/=]{68})(?: ([^\x00-\x1f]{0,200}))?\n?")
_LIMIT: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An Ed25519 public key.

    Args:
        raw: its 32 bytes.
        comment: what was written behind it; proves nothing.
    """

    raw: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """Its fingerprint as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(_key_blob(self.raw)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def line(self, comment: str | None = None) -> str:
        """Return the key as OpenSSH writes it, without the end of the line."""
        text = self.comment if comment is None else comment
        return f"{_TYPE.decode()} {base64.b64encode(_key_blob(self.raw)).decode()} {text}".rstrip()


def sign_file(file: Path, *, key: Path, signature: Path) -> PublicKey:
    """Sign a file with a private key, write the signature, and return the public key.

    The same file and key give the same signature.

    Raises:
        InvalidInput: ``key.*``: the key cannot be used.
        EnvironmentUnfit: the disk refuses.
    """
    private = read_private_key(key)
    public = PublicKey(raw=private.public_key().public_bytes_raw())
    made = private.sign(_signed_text(file.read_bytes()))
    blob = _MAGIC + (1).to_bytes(4, "big") + _string(_key_blob(public.raw)) + _string(NAMESPACE.encode()) + _string(b"")
    blob += _string(_HASH) + _string(_string(_TYPE) + _string(made))
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    armour = ["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]
    atomic_write_bytes(signature, "\n".join(armour).encode())
    return public


def read_signer(signature: Path) -> PublicKey:
    """Return the key that a signature names, unchecked.

    Raises:
        IntegrityError: ``signature.damaged``: it is no signature that evercast or ``ssh-keygen -Y sign -n evercast``
            makes with an Ed25519 key.
    """
    return PublicKey(raw=_parts(_read_signature(signature), str(signature))[0])


def check_signature(file: Path, signature: Path) -> PublicKey:
    """Return the key that signed a file, after its signature was checked. Whose key it is, is for others to say.

    Raises:
        IntegrityError: ``signature.damaged``, or ``signature.wrong``: it is not of this content.
    """
    return signed_by(file.read_bytes(), _read_signature(signature), where=str(signature))


def signed_by(content: bytes, signature: bytes, *, where: str) -> PublicKey:
    """Return the key that signed some content, after its signature was checked.

    Args:
        content: what was signed.
        signature: the signature file's content.
        where: the signature, for messages.

    Raises:
        IntegrityError: ``signature.damaged``, or ``signature.wrong``: it is not of this content.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - heavy, and most readers check none
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - likewise

    raw, hash_name, made = _parts(signature, where)
    key = PublicKey(raw=raw)
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(made, _signed_text(content, hash_name))
    except (InvalidSignature, ValueError) as err:
        raise IntegrityError(
            f"the key {key.fingerprint} did not sign this content",
            code="signature.wrong",
            where=where,
            hint="the content or the signature was changed; get both again from who published them",
        ) from err
    return key


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file.

    Raises:
        InvalidInput: ``key.unreadable``, ``key.kind``: no private Ed25519 key without a pass phrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - heavy

    content = _read(file)
    try:
        if content.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"):
            key: object = serialization.load_ssh_private_key(content, password=None)
        else:
            key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            "this is no private Ed25519 key without a pass phrase",
            code="key.kind",
            where=str(file),
            hint="make one: evercast keys new NAME",
        )
    return key


def read_public_key(file: Path) -> PublicKey:
    """Return the public key in a file: a line of OpenSSH, or PEM.

    Raises:
        InvalidInput: ``key.unreadable`` or ``key.kind``.
    """
    content = _read(file)
    try:
        return parse_public_key(content.decode()) or PublicKey(raw=_pem_key(content))
    except ValueError as err:
        hint = "it is the private key; the public one stands in NAME.pub" if b"PRIVATE" in content else None
        raise InvalidInput("this is no public Ed25519 key", code="key.kind", where=str(file), hint=hint) from err


def parse_public_key(line: str) -> PublicKey | None:
    """Return the public key in a line as OpenSSH writes it; None where it is none."""
    match = _LINE.fullmatch(line)
    try:
        return (
            PublicKey(raw=_raw_key(base64.b64decode(match[1], validate=True)), comment=match[2] or "")
            if match
            else None
        )
    except ValueError:
        return None


def _pem_key(content: bytes) -> bytes:
    lines = content.decode().strip().splitlines()
    if len(lines) < 3 or lines[0] != "-----BEGIN PUBLIC KEY-----" or lines[-1] != "-----END PUBLIC KEY-----":
        raise ValueError("no PEM")
    body = base64.b64decode("".join(lines[1:-1]), validate=True)
    if len(body) != 44 or not body.startswith(bytes.fromhex("302a300506032b6570032100")):
        raise ValueError("no Ed25519 key")
    return body[12:]


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_LIMIT)
    except OSError as err:
        reason = (err.strerror or "unreadable").lower()
        raise InvalidInput(f"the key cannot be read: {reason}", code="key.unreadable", where=str(file)) from err


def _read_signature(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_LIMIT)
    except OSError as err:
        raise IntegrityError(f"it cannot be read: {err.strerror}", code="signature.damaged", where=str(file)) from err


def _parts(signature: bytes, where: str) -> tuple[bytes, str, bytes]:
    """Return the raw public key, the name of the hash and the 64 bytes of a signature."""
    try:
        return _unpacked(signature)
    except ValueError as err:
        raise IntegrityError(f"this is no signature: {err}", code="signature.damaged", where=where) from err


def _unpacked(content: bytes) -> tuple[bytes, str, bytes]:
    match = _ARMOUR.fullmatch(content)
    if match is None:
        raise ValueError("it does not begin and end as one")
    blob = base64.b64decode(match[1].replace(b"\n", b""), validate=True)
    if blob[:10] != _MAGIC + (1).to_bytes(4, "big"):
        raise ValueError("its version is not 1")
    key, namespace, reserved, hash_name, made = _strings(blob[10:], 5)
    kind, raw = _strings(made, 2)
    if namespace != NAMESPACE.encode():
        raise ValueError(f"it was made for the purpose {namespace[:40]!r}, not for {NAMESPACE!r}")
    if reserved or hash_name not in (b"sha512", b"sha256") or kind != _TYPE or len(raw) != 64:
        raise ValueError("it is not of an Ed25519 key")
    return _raw_key(key), hash_name.decode(), raw


def _raw_key(blob: bytes) -> bytes:
    kind, raw = _strings(blob, 2)
    if kind != _TYPE or len(raw) != 32:
        raise ValueError("its key is no Ed25519 key")
    return raw


def _strings(blob: bytes, count: int) -> tuple[bytes, ...]:
    """Return the strings of a blob, each behind its length; nothing may be left over."""
    found = tuple(_each(blob))
    if len(found) != count:
        raise ValueError(f"it has {len(found)} parts; expected {count}")
    return found


def _each(blob: bytes) -> Iterator[bytes]:
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("it was cut")
        yield blob[4 : 4 + size]
        blob = blob[4 + size :]


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _key_blob(raw: bytes) -> bytes:
    return _string(_TYPE) + _string(raw)


def _signed_text(content: bytes, hash_name: str = "sha512") -> bytes:
    """Return what is signed for a file: purpose and digest, framed as OpenSSH does."""
    digest = hashlib.new(hash_name, content).digest()
    return _MAGIC + _string(NAMESPACE.encode()) + _string(b"") + _string(hash_name.encode()) + _string(digest)
