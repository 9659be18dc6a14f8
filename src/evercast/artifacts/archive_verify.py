"""Whether an archive is what it says: every digest, every version after the one before, and who signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.archive import StoredVersion, check_versions, find_versions
from evercast.artifacts.archive_content import check_content
from evercast.artifacts.archive_record import ArchiveRecord
from evercast.artifacts.bag import MANIFEST, SIGNATURES, Bag
from evercast.artifacts.files import atomic_write_bytes, make_folder
from evercast.artifacts.key_ring import KeyRing, SignerState
from evercast.artifacts.signatures import PublicKey, read_public_key, sign_file, signed_by
from evercast.errors import IntegrityError

__all__ = [
    "SignedBy",
    "VerifiedArchive",
    "VerifiedVersion",
    "known_signer",
    "sign_version",
    "verified_version",
    "verify_archive",
]

ID_FILE: Final = f"{SIGNATURES}/id.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """A signature that is good.

    Args:
        fingerprint: of the key, as ``ssh-keygen -l`` prints it.
        state: whether the key is trusted; no revoked or expired one is ever good.
        who: whose key it is, where somebody's.
    """

    fingerprint: str
    state: SignerState
    who: str | None

    def __str__(self) -> str:
        return f"{self.who} ({self.fingerprint})" if self.who else f"an unknown key {self.fingerprint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedVersion:
    """A version that is what it says.

    Args:
        files: number of files of the payload; `size` their bytes.
        signatures: by whom; empty where nobody signed.
    """

    id: str
    record: ArchiveRecord
    files: int
    size: int
    signatures: tuple[SignedBy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedArchive:
    """An archive that is what it says.

    Args:
        place: what was verified.
        versions: the oldest first.
        stored_bytes: bytes of all versions, each content counted once.
    """

    place: str
    versions: tuple[VerifiedVersion, ...]
    stored_bytes: int


def verify_archive(
    path: Path, *, today: str, keys: KeyRing | None = None, key: Path | None = None, expected_id: str | None = None
) -> VerifiedArchive:
    """Verify an archive: a folder of versions, one version, or a tar file. Nothing in it is executed.

    Args:
        path: the folder or tar file.
        today: ``YYYYMMDD``: keys may have ended.
        keys: whose keys are known; None knows nobody's.
        key: file of the public key that must have signed every version; None demands nobody's signature.
        expected_id: an id, known from elsewhere, that one of the versions must have.

    Raises:
        IntegrityError: ``bag.*``, ``tar.*``, ``archive.*``, ``content.*``, ``signature.*``.
        InvalidInput: ``archive.version``, ``bag.version``; ``key.*``: of the key that is demanded.
    """
    demanded = None if key is None else read_public_key(key)
    stored = check_versions(find_versions(path), where=str(path), digests=True)
    if expected_id is not None and expected_id not in [version.bag.id for version in stored]:
        found = ", ".join(version.bag.id for version in stored)
        raise IntegrityError(
            f"no version has the id {expected_id}; found {found}", code="archive.id", where=str(path),
            hint="it is another archive, or it was changed together with its digests",
        )  # fmt: skip
    versions = tuple(verified_version(version, keys, today, demanded) for version in stored)
    contents = {digest: version.content.sizes[name] for version in stored for name, digest in version.bag.files.items()}
    return VerifiedArchive(place=str(path), versions=versions, stored_bytes=sum(contents.values()))


def verified_version(
    version: StoredVersion, keys: KeyRing | None, today: str, demanded: PublicKey | None
) -> VerifiedVersion:
    """Return what a version is that was checked, after its content and its signatures were looked into.

    Args:
        version: whose digests were compared.
        keys: whose keys are known; None knows nobody's.
        today: ``YYYYMMDD``.
        demanded: the key that must have signed it; None demands nobody's signature.

    Raises:
        IntegrityError: ``content.*`` or ``signature.*``.
    """
    check_content(version)
    signatures = _signatures(version, keys, today)
    if demanded is not None and demanded.fingerprint not in [each.fingerprint for each in signatures]:
        by = ", ".join(map(str, signatures)) or "nobody"
        raise IntegrityError(
            f"version {version.record.version} is not signed by {demanded.fingerprint}; it is signed by {by}",
            code="signature.missing",
            where=version.content.where(),
            hint="ask who published it for the signature, or verify without --key",
        )
    bag = version.bag
    return VerifiedVersion(
        id=bag.id, record=version.record, files=len(bag.files), size=sum(bag.sizes.values()), signatures=signatures
    )


def _signatures(version: StoredVersion, keys: KeyRing | None, today: str) -> tuple[SignedBy, ...]:
    """Return who signed, after every signature was checked: a wrong one is worse than none."""
    content = version.content
    names = sorted(name for name in content.sizes if name.startswith(f"{SIGNATURES}/") and name.endswith(".sig"))
    if not names and ID_FILE not in content.sizes:
        return ()
    text = _id_text(version.bag.id)
    if ID_FILE not in content.sizes or content.read(ID_FILE) != text:
        raise IntegrityError(
            f"{ID_FILE} does not say the id of this version, {version.bag.id}: what was signed is another one",
            code="signature.wrong",
            where=content.where(),
        )
    return tuple(
        known_signer(signed_by(text, content.read(name), where=content.where(name)), keys, today, content.where(name))
        for name in names
    )


def known_signer(key: PublicKey, keys: KeyRing | None, today: str, where: str) -> SignedBy:
    """Return who has signed with a key, as far as that is known.

    Args:
        key: whose signature was found to be right.
        keys: whose keys are known; None knows nobody's.
        today: ``YYYYMMDD``.
        where: the signature, for messages.

    Raises:
        IntegrityError: ``signature.revoked`` or ``signature.expired``.
    """
    state, who = ("unknown", None) if keys is None else keys.state(key, today=today)
    if state in ("revoked", "expired"):
        raise IntegrityError(
            f"the key {key.fingerprint} of {who or 'its owner'} is {state}",
            code="signature.revoked" if state == "revoked" else "signature.expired",
            where=where,
            hint="ask who published it to sign it again with another key",
        )
    return SignedBy(fingerprint=key.fingerprint, state=state, who=who)


def sign_version(bag: Bag, *, key: Path) -> tuple[PublicKey, Path]:
    """Sign the id of a version; return the public key and the signature file. Signed again it stays as it is.

    Raises:
        InvalidInput: ``key.*``.
        EnvironmentUnfit: the disk refuses.
    """
    make_folder(bag.root / SIGNATURES)
    text = bag.root / ID_FILE
    if not text.exists():
        atomic_write_bytes(text, _id_text(bag.id))
    waiting = bag.root.parent / f".{bag.root.name}.sig.tmp"
    try:
        public = sign_file(text, key=key, signature=waiting)
        place = bag.root / SIGNATURES / f"{_short(public)}.sig"
        waiting.replace(place)
    finally:
        waiting.unlink(missing_ok=True)
    return public, place


def _short(key: PublicKey) -> str:
    return f"ed25519-{key.raw.hex()[:16]}"


def _id_text(identity: str) -> bytes:
    """Return what is signed: a line that ``sha256sum -c`` reads too."""
    return f"{identity}  {MANIFEST}\n".encode()
