"""Container images as a document names them: a file beside it, a registry reference with its digest, or a name.

A name is looked up in ``images.yaml``, which says the digest of the image that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from evercast.spec.model import Analysis

__all__ = ["image_names", "is_image_name", "is_registry_reference", "registry_reference"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_REFERENCE: Final = re.compile(r"((?:docker|oras)://)?[A-Za-z0-9][A-Za-z0-9._/:+-]*@sha256:[0-9a-f]{64}")


def image_names(analysis: Analysis) -> Mapping[str, str]:
    """Return the image names in a document -> the place where the first one stands."""
    places = {
        environment.container: f"$.environments.{name}.container"
        for name, environment in analysis.environments.items()
        if environment.container is not None
    }
    for name, stage in analysis.stages.items():
        if stage.container is not None and stage.container not in analysis.environments:
            places.setdefault(stage.container, f"$.stages.{name}.container")
    return {name: place for name, place in places.items() if is_image_name(name)}


def is_image_name(text: str) -> bool:
    """Return whether an image is named by a name of ``images.yaml``, not by a file or a registry reference.

    Example:
        >>> is_image_name("evercast-gpu"), is_image_name("tools.sif"), is_image_name("images/tools")
        (True, False, False)
    """
    return _NAME.fullmatch(text) is not None


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
