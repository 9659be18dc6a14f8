"""What a path holds, by its content, and its verification: bundle, archive, pyhf workspace or patchset."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from evercast.artifacts.archive_verify import known_signer, verify_archive
from evercast.artifacts.files import read_json, require_there
from evercast.artifacts.key_ring import KeyRing
from evercast.artifacts.tar_files import is_tar
from evercast.errors import IntegrityError, InvalidInput
from evercast.likelihood.foreign import refuse_hs3
from evercast.publication.findings import Finding
from evercast.publication.whole import refuse_whole

__all__ = ["Kind", "Verified", "kind_of", "verify_path"]

Kind = Literal["bundle", "archive", "workspace", "patchset"]
_MANIFEST_FILE: Final = "manifest.json"
_WORKSPACE_KEYS: Final = frozenset({"channels", "measurements", "observations"})
_LARGEST_JSON: Final = 512 << 20
_VERSION: Final = re.compile(r"v[1-9][0-9]{0,5}")
_ID: Final = re.compile(r"[0-9a-f]{64}")
_LINK: Final = "a link is not followed: name the folder or file itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What passed every check.

    Args:
        kind: what it is.
        path: where it lies.
        id: sha256 that stands for all of it.
        findings: what was checked, in order.
        signed_by: who signed it, by name and fingerprint of the key, or by fingerprint where whose key it is is not
            known; empty: nobody signed.
        known: whether it is known whose keys all of these are; False where nobody signed.
        not_recomputed: what was compared with its digest only, in words.
    """

    kind: Kind
    path: Path
    id: str | None
    findings: tuple[Finding, ...]
    signed_by: tuple[str, ...] = ()
    known: bool = False
    not_recomputed: tuple[str, ...] = ()


def kind_of(path: Path) -> Kind:
    """Return what a path holds; of a folder only the names in it are looked at, of a file its first keys.

    Raises:
        InvalidInput: ``verify.missing``, ``verify.unknown``, ``verify.whole``, ``workspace.hs3``.
        IntegrityError: ``artifact.not-json``.
    """
    require_there(path)
    if path.is_symlink():
        raise _unknown(path, _LINK)
    if path.is_dir():
        if (path / _MANIFEST_FILE).is_file() or (path / "likelihood.json").is_file():
            return "bundle"
        if (path / "bagit.txt").is_file() or any(_VERSION.fullmatch(entry.name) for entry in path.iterdir()):
            return "archive"
        refuse_whole(path)
        raise _unknown(path, "a bundle holds manifest.json, an archive v1/ or bagit.txt")
    if not path.is_file():
        raise _unknown(path, "expected a folder or a regular file")
    if is_tar(path):
        return "archive"
    refuse_whole(path)
    return _kind_of_json(path)


def _kind_of_json(path: Path) -> Kind:
    if path.stat().st_size > _LARGEST_JSON or path.read_bytes()[:64].lstrip()[:1] != b"{":
        raise _unknown(
            path, "expected the folder of a bundle or archive, a tar file of an archive, or a JSON file of pyhf"
        )
    body = read_json(path)
    refuse_hs3(body, where=str(path))
    keys = set(body) if isinstance(body, Mapping) else set()
    if keys >= _WORKSPACE_KEYS:
        return "workspace"
    if keys >= {"patches", "metadata"}:
        return "patchset"
    raise _unknown(path, f"it has the keys {', '.join(sorted(map(str, keys))[:8])}")


def _unknown(path: Path, hint: str) -> InvalidInput:
    return InvalidInput("this is nothing that evercast publishes", code="verify.unknown", where=str(path), hint=hint)


def verify_path(
    path: Path,
    *,
    key: Path | None = None,
    keys: KeyRing | None = None,
    today: str | None = None,
    expected_id: str | None = None,
) -> Verified:
    """Verify what a path holds.

    Args:
        path: a bundle, an archive, or a JSON file of pyhf.
        key: file of the public key that must have signed it.
        keys: whose keys are known; None knows nobody's.
        today: ``YYYYMMDD``, since keys end; None: this day.
        expected_id: the id that it must have, known from elsewhere; of an archive, one of its versions.

    Raises:
        IntegrityError: it is not what it must be.
        InvalidInput: it is of an unknown version, not valid, or nothing that can be verified; ``verify.short-id``.
        EvercastError: as `verify_bundle` and `verify_archive` say.
    """
    if expected_id is not None and _ID.fullmatch(expected_id) is None:
        raise InvalidInput(
            f"{expected_id[:80]!a} is no id: one has 64 digits of 0-9 and a-f, not {len(expected_id)}",
            code="verify.short-id",
            hint="a shorter one could be forged; evercast verify and evercast archive ls --json print whole ids",
        )
    kind = kind_of(path)
    day = today or time.strftime("%Y%m%d", time.gmtime())
    if kind == "archive":
        return _archive(path, key, keys, day, expected_id)
    made = _bundle(path, key, keys, day) if kind == "bundle" else _pyhf(path, kind, key)
    if expected_id is not None and made.id != expected_id:
        raise IntegrityError(
            f"its id is {made.id}; expected {expected_id}",
            code="verify.id",
            where=str(path),
            hint="it is another one, or it was changed together with its digests",
        )
    return made


def _refuse_key(path: Path, key: Path | None) -> None:
    if key is not None:
        message = "a JSON file of pyhf holds no signature; that of its bundle or archive stands for it"
        raise InvalidInput(message, code="verify.unsigned-kind", where=str(path))


def _bundle(path: Path, key: Path | None, keys: KeyRing | None, today: str) -> Verified:
    from evercast.publication.bundle_verify import verify_bundle  # noqa: PLC0415 - heavy, and archives do without

    made = verify_bundle(path, key=key)
    signers: tuple[str, ...] = ()
    known = False
    if made.signer is not None:
        who = known_signer(made.signer, keys, today, str(path))
        known = who.who is not None
        signers = (str(who) if who.who else who.fingerprint,)
    return Verified(
        kind="bundle", path=path, id=made.bundle.id, findings=made.findings, signed_by=signers, known=known,
        not_recomputed=made.not_recomputed,
    )  # fmt: skip


def _archive(path: Path, key: Path | None, keys: KeyRing | None, today: str, expected_id: str | None) -> Verified:
    made = verify_archive(path, today=today, keys=keys, key=key, expected_id=expected_id)
    findings = [
        Finding(
            name=f"version {version.record.version}",
            detail=f"{version.files} files, {version.size / 1e6:.1f} MB: every sha256 is right; id {version.id}; "
            f"signed by {', '.join(map(str, version.signatures)) or 'nobody'}",
        )
        for version in made.versions
    ]
    last = made.versions[-1]
    signatures = last.signatures
    return Verified(
        kind="archive", path=path, id=last.id, findings=tuple(findings), signed_by=tuple(map(str, signatures)),
        known=bool(signatures) and all(one.who is not None for one in signatures),
    )  # fmt: skip


def _pyhf(path: Path, kind: Kind, key: Path | None) -> Verified:
    _refuse_key(path, key)
    from evercast.publication.pyhf_checks import (  # noqa: PLC0415 - heavy, and archives do without
        require_sound_patchset,
        require_sound_workspace,
        workspace_digest,
    )

    body: Any = read_json(path)
    if kind == "workspace":
        require_sound_workspace(body, where=path.name)
        detail = "schema, names, counts and model are sound, and pyhf reads it"
        return Verified(
            kind=kind, path=path, id=workspace_digest(body), findings=(Finding(name="workspace", detail=detail),)
        )
    names = ("background_only.json", "workspace.json")
    beside = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if beside is None:
        raise InvalidInput(
            f"a patchset is verified with its workspace; there is no {' or '.join(names)} beside it",
            code="verify.missing",
            where=str(path),
        )
    workspace: Any = read_json(beside)
    require_sound_patchset(workspace, body, where=path.name)
    detail = f"{len(body['patches'])} patches fit the workspace with the digest they name"
    return Verified(
        kind=kind, path=path, id=workspace_digest(workspace), findings=(Finding(name="patchset", detail=detail),)
    )
