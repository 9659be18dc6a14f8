"""The neural likelihood with a new term, as a bundle that may be published: made of the derived run and verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evercast.artifacts.bundle_open import MANIFEST_FILE
from evercast.artifacts.files import disk_errors, sha256_file
from evercast.errors import IntegrityError, InvalidInput
from evercast.publication.bundle_verify import verify_bundle
from evercast.publication.publication import PublicationRequest, publish

__all__ = ["UpdatedBundle", "write_updated_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatedBundle:
    """A bundle that was made and verified.

    Args:
        manifest: sha256 of its manifest.
        disclosure: what it gives away.
        checked: what was compared, a sentence each.
    """

    manifest: str
    disclosure: str
    checked: tuple[str, ...]


def write_updated_bundle(
    target: Path, *, document: Path, run: Path, plan: Path, likelihood: str
) -> UpdatedBundle | str:
    """Write the bundle of a likelihood of a derived run, verify it as `evercast verify` does, and say what was checked.

    Args:
        target: folder to make; its parent is used for what is made beside it.
        document: the derived document.
        run: the run folder.
        plan: frozen plan of the document.
        likelihood: its name.

    Returns:
        The bundle, or why there may be none, in words: the archive publishes no bundle of this likelihood, or a check
        of the new term is red.

    Raises:
        IntegrityError: a file of the run is not what its receipt says, or the new bundle does not verify.
        EnvironmentUnfit: the disk refuses.
    """
    beside = target.with_name(f".{target.name}.publication")
    request = PublicationRequest(
        document=document, results=run, output=beside, likelihoods=(likelihood,), parts=("bundles",), plan=plan
    )
    try:
        publish(request)
    except InvalidInput as err:
        return err.message
    except IntegrityError as err:
        if err.code != "publication.secret":
            raise
        return err.message
    with disk_errors(target):
        (beside / "bundles" / likelihood).rename(target)
        (beside / "bundles").rmdir()
        beside.rmdir()
    verified = verify_bundle(target)
    return UpdatedBundle(
        manifest=sha256_file(target / MANIFEST_FILE), disclosure=str(verified.bundle.manifest["disclosure"]),
        checked=tuple(f"{finding.name}: {finding.detail}" for finding in verified.findings),
    )  # fmt: skip
