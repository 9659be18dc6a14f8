"""Checks an image in full: content, labels, architecture, signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evercast.artifacts.files import sha256_file
from evercast.errors import IntegrityError, UsageError
from evercast.runtime.image_labels import labels_of
from evercast.runtime.image_signatures import check_public_key, check_signature, signers
from evercast.runtime.image_store import ImageStore
from evercast.runtime.images import ImageLabels, ImageRecord, check_architecture, find_record
from evercast.runtime.sif import read_sif
from evercast.spec.containers import is_image_name, is_registry_reference

__all__ = ["CheckedImage", "check_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedImage:
    """An image that was read as a whole and is as it must be.

    Args:
        file: the image.
        record: what was found.
        locked: whether the digest was compared with one that is written down.
        claimed: fingerprints of keys whose signature it carries, unchecked.
        verified_by: fingerprint of the public key against which the signature was checked; None where none was given.
    """

    file: Path
    record: ImageRecord
    locked: bool
    claimed: tuple[str, ...]
    verified_by: str | None


def check_image(text: str, *, folder: Path | None, store: ImageStore, key: Path | None) -> CheckedImage:
    """Return what an image is, after all that can be compared was compared.

    Args:
        text: a name of ``images.yaml`` or a file.
        folder: of the document beside which names and files are looked up; None for the working folder.
        store: where images of a name are.
        key: public key of who must have signed it.

    Raises:
        UsageError: ``image.registry``: a registry reference, which is checked where it is used.
        InvalidInput: ``image.unknown-name`` or ``image.key``.
        EnvironmentUnfit: ``image.missing``, ``image.not-an-image``, ``image.cut`` or ``image.architecture``.
        IntegrityError: ``image.digest``, ``image.labels``, ``image.unsigned`` or ``image.signature``.
    """
    if is_registry_reference(text):
        raise UsageError(
            f"{text!r} is in a registry; only files are verified here",
            code="image.registry",
            hint="the digest in the reference is compared by the container runtime when it brings the image",
        )
    if key is not None:
        check_public_key(key)
    expected = find_record(text, folder, store=store) if is_image_name(text) else None
    file = store.file(expected.sha256) if expected is not None else ((folder or Path()) / text).absolute()
    sif = read_sif(file)
    sha256 = sha256_file(file)
    found = ImageRecord(
        sha256=sha256, size_bytes=file.stat().st_size, architecture=sif.architecture,
        recipe=None if expected is None else expected.recipe, labels=labels_of(sif.labels),
    )  # fmt: skip
    if expected is not None:
        _compare(found, expected, file=file)
    check_architecture(sif)
    verified = None if key is None else check_signature(file, key=key)
    return CheckedImage(
        file=file, record=found, locked=expected is not None, claimed=signers(sif), verified_by=verified
    )


def _compare(found: ImageRecord, expected: ImageRecord, *, file: Path) -> None:
    if found.sha256 != expected.sha256:
        raise IntegrityError(
            f"the content of the image is not the locked one: found sha256 {found.sha256}, expected {expected.sha256}",
            code="image.digest",
            where=str(file),
            hint="copy it again from where it was built, or build it again",
        )
    if expected.labels not in (ImageLabels(), found.labels):
        raise IntegrityError(
            f"the image says of itself {found.labels}, and images.yaml says {expected.labels}",
            code="image.labels",
            where=str(file),
            hint="one of the two is not what was built; build the image again",
        )
