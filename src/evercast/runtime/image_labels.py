"""Labels of images: what was built, from what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from evercast.artifacts.files import sha256_file
from evercast.runtime.image_sources import BuildSources
from evercast.runtime.images import ImageLabels

__all__ = ["image_labels", "labels_of"]

_VERSION: Final = "org.opencontainers.image.version"
_REVISION: Final = "org.opencontainers.image.revision"
_REQUIREMENTS: Final = "evercast.requirements.sha256"
_SHAPES: Final = {_VERSION: r"[^\r\n]{1,300}", _REVISION: r"[0-9a-f]{40,64}", _REQUIREMENTS: r"[0-9a-f]{64}"}


def image_labels(name: str, sources: BuildSources) -> dict[str, str]:
    """Return the labels of an image that is built from these sources; label -> value."""
    labels = {"org.opencontainers.image.title": name}
    if sources.wheel is not None:
        labels[_VERSION] = sources.wheel.name.split("-")[1]
        labels["org.opencontainers.image.licenses"] = "Apache-2.0"
    if sources.revision is not None:
        labels[_REVISION] = sources.revision
    if sources.requirements is not None:
        labels[_REQUIREMENTS] = sha256_file(sources.requirements)
    return labels


def labels_of(labels: Mapping[str, str]) -> ImageLabels:
    """Return the labels that evercast knows; one of another form than ours counts as absent."""
    known = {key: value for key, value in labels.items() if key in _SHAPES and re.fullmatch(_SHAPES[key], value)}
    return ImageLabels(
        version=known.get(_VERSION), requirements=known.get(_REQUIREMENTS), revision=known.get(_REVISION)
    )
