"""Container images as a document names them: a file beside it, or a registry reference with its digest."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_registry_reference", "registry_reference"]

_REFERENCE: Final = re.compile(r"((?:docker|oras)://)?[A-Za-z0-9][A-Za-z0-9._/:+-]*@sha256:[0-9a-f]{64}")


def is_registry_reference(text: str) -> bool:
    """Return whether an image is named by a registry rather than by a file: with a scheme, a tag or a digest.

    Example:
        >>> is_registry_reference("containers/tools.sif"), is_registry_reference("ghcr.io/group/tools:2")
        (False, True)
    """
    return ":" in text or "@" in text


def registry_reference(text: str) -> str | None:
    """Return a registry reference as Apptainer takes it; None unless it is complete, with the digest of the image.

    Example:
        >>> registry_reference("debian:13")
        >>> registry_reference("debian@sha256:" + 64 * "0")[:32]
        'docker://debian@sha256:000000000'
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    return text if match[1] else f"docker://{text}"
