"""Archives in OCI registries: a version is a tag, every content one blob, whatever the number of its names."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from io import BufferedIOBase
from typing import Final

from evercast.artifacts.archive import StoredVersion
from evercast.artifacts.bag import SIGNATURES, TAGS
from evercast.artifacts.bag_files import BagFiles
from evercast.artifacts.bag_walk import BagLimits, check_names
from evercast.artifacts.files import parse_json
from evercast.artifacts.registry import MANIFEST_LIMIT, MANIFEST_TYPE, Registry
from evercast.errors import IntegrityError, InvalidInput

__all__ = ["RegistryFiles", "registry_versions", "send_versions"]

ARTIFACT_TYPE: Final = "application/vnd.evercast.archive.v1"
_FILE_TYPE: Final = "application/octet-stream"
_TITLE: Final = "org.opencontainers.image.title"
_ID: Final = "org.evercast.archive.id"
_EMPTY: Final = b"{}"
_TAG: Final = re.compile(r"v[1-9][0-9]{0,5}")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class RegistryFiles(BagFiles):
    """The files of one version in a registry, fetched when they are opened.

    Args:
        registry: the repository.
        tag: of the version.
        blobs: path in the bag -> sha256.
        sizes: path in the bag -> bytes.
    """

    def __init__(self, registry: Registry, tag: str, blobs: Mapping[str, str], sizes: Mapping[str, int]) -> None:
        self.registry, self.blobs, self.sizes = registry, blobs, sizes
        self.place = f"{registry.reference}:{tag}"

    def open(self, name: str) -> BufferedIOBase:
        """Return the content of a file as the registry sends it; its digest is to be compared."""
        return self.registry.get_blob(self.blobs[name])

    def digest(self, name: str) -> str:
        """Return the sha256 under which the registry has a file; what it sends is compared when it is stored."""
        return self.blobs[name]

    def read(self, name: str) -> bytes:
        """Return the content of a small file after its digest was compared."""
        content = super().read(name)
        if hashlib.sha256(content).hexdigest() != self.blobs[name]:
            raise IntegrityError(
                "the registry sent something else than it was asked for", code="registry.digest", where=self.where(name)
            )
        return content


def registry_versions(registry: Registry) -> dict[str, BagFiles]:
    """Return tag -> files of the versions in a repository, unchecked.

    Raises:
        InvalidInput: ``registry.empty``: there is none.
        IntegrityError: ``registry.manifest`` or ``bag.*``.
        EnvironmentUnfit: ``registry.*``.
    """
    tags = sorted((tag for tag in registry.tags() if _TAG.fullmatch(tag)), key=lambda tag: int(tag[1:]))
    if registry.reference.tag is not None:
        tags = [tag for tag in tags if tag == registry.reference.tag]
    if not tags:
        raise InvalidInput(
            "the registry has no version of an archive there",
            code="registry.empty",
            where=str(registry.reference),
        )
    return {tag if registry.reference.tag is None else "": _files(registry, tag) for tag in tags}


def _files(registry: Registry, tag: str) -> RegistryFiles:
    content = registry.get_manifest(tag)
    body = None if content is None else parse_json(content, where=f"{registry.reference}:{tag}")
    layers = body.get("layers") if isinstance(body, dict) and body.get("artifactType") == ARTIFACT_TYPE else None
    if not isinstance(layers, list):
        raise _damaged(registry, tag, "it is no archive of evercast")
    blobs: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for layer in layers:
        name, digest, size = _layer(layer)
        if name is None or digest is None or size is None or name in blobs:
            raise _damaged(registry, tag, f"an entry is wrong or stands twice: {json.dumps(layer)[:200]}")
        blobs[name], sizes[name] = digest, size
    check_names(blobs, where=f"{registry.reference}:{tag}")
    if len(sizes) > BagLimits().files or sum(sizes.values()) > BagLimits().size:
        raise _damaged(registry, tag, "it is too large")
    return RegistryFiles(registry, tag, blobs, sizes)


def _layer(layer: object) -> tuple[str | None, str | None, int | None]:
    """Return path, sha256 and size of an entry; None for what is not as it must be."""
    if not isinstance(layer, dict):
        return None, None, None
    annotations, digest, size = layer.get("annotations"), layer.get("digest"), layer.get("size")
    name = annotations.get(_TITLE) if isinstance(annotations, dict) else None
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    return (
        name if isinstance(name, str) else None,
        None if match is None else match[1],
        size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
    )


def send_versions(versions: Sequence[StoredVersion], registry: Registry) -> tuple[int, int]:
    """Send the versions that a repository lacks; return how many blobs, and how many bytes, were sent.

    Raises:
        InvalidInput: ``archive.exists``: the repository has another version under the same number; nothing was sent.
            ``archive.too-many-files``: the manifest would be larger than registries take.
        EnvironmentUnfit: ``registry.*``; a version is there whole or not at all.
    """
    manifests = {f"v{version.record.version}": _manifest(version) for version in versions}
    for tag, version in zip(manifests, versions, strict=True):
        _refuse_other(registry, tag, version)
    blobs = sent = 0
    for (tag, content), version in zip(manifests.items(), versions, strict=True):
        for name, digest in _blobs(version).items():
            if not registry.has_blob(digest):
                size = version.content.sizes[name]
                registry.put_blob(digest, size=size, open_content=partial(version.content.open, name))
                blobs, sent = blobs + 1, sent + size
        empty = hashlib.sha256(_EMPTY).hexdigest()
        if not registry.has_blob(empty):
            registry.put_blob(empty, size=len(_EMPTY), open_content=lambda: io.BytesIO(_EMPTY))
        if registry.get_manifest(tag) != content:
            registry.put_manifest(tag, content)
    return blobs, sent


def _blobs(version: StoredVersion) -> dict[str, str]:
    """Return path -> sha256 of every file of a version, signatures among them."""
    others = [name for name in version.content.sizes if name in TAGS or name.startswith(f"{SIGNATURES}/")]
    return {**version.bag.files, **{name: version.content.digest(name) for name in sorted(others)}}


def _manifest(version: StoredVersion) -> bytes:
    layers = [
        {
            "mediaType": _FILE_TYPE,
            "digest": f"sha256:{digest}",
            "size": version.content.sizes[name],
            "annotations": {_TITLE: name},
        }
        for name, digest in _blobs(version).items()
    ]
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": f"sha256:{hashlib.sha256(_EMPTY).hexdigest()}",
            "size": len(_EMPTY),
        },
        "layers": layers,
        "annotations": {_TITLE: f"{version.record.name} v{version.record.version}", _ID: version.bag.id},
    }
    content = json.dumps(body, separators=(",", ":")).encode()
    if len(content) > MANIFEST_LIMIT:
        raise InvalidInput(
            f"version {version.record.version} has {len(layers)} files; a registry takes a list of about 12,000",
            code="archive.too-many-files",
            hint="push it as a tar file",
        )
    return content


def _refuse_other(registry: Registry, tag: str, version: StoredVersion) -> None:
    """Refuse a repository that has something else under the number of a version.

    Raises:
        InvalidInput: ``archive.exists``.
    """
    content = registry.get_manifest(tag)
    if content is None:
        return
    body = parse_json(content, where=f"{registry.reference}:{tag}")
    annotations = body.get("annotations") if isinstance(body, dict) else None
    found = annotations.get(_ID) if isinstance(annotations, dict) else None
    if found != version.bag.id:
        raise InvalidInput(
            f"another {tag} is there already, with id {found}; this one has {version.bag.id}",
            code="archive.exists",
            where=str(registry.reference),
            hint="versions are never changed: push into another repository",
        )


def _damaged(registry: Registry, tag: str, reason: str) -> IntegrityError:
    return IntegrityError(reason, code="registry.manifest", where=f"{registry.reference}:{tag}")
