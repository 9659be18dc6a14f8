"""What a version of an archive says of itself: the file ``data/archive.json``, schema ``archive``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["RECORD", "ArchiveRecord", "CodeRecord", "ImageEntry", "InputEntry", "UnitEntry"]

RECORD: Final = "data/archive.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRecord:
    """The source of evercast that made the results.

    Args:
        version: of evercast.
        file: the source in the bag.
        revision: commit of the checkout; None outside one.
        modified: whether files differ from that commit.
    """

    version: str
    file: str
    revision: str | None = None
    modified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputEntry:
    """An input file of the analysis.

    Args:
        name: name in ``sources``, or path beside the document.
        sha256: of its content; of a folder, that of the names and digests in it.
        size: bytes.
        url: where it is public; None for a file beside the document.
        file: where the bag holds it; None where it is kept elsewhere.
    """

    name: str
    sha256: str
    size: int
    url: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEntry:
    """A container image that units were computed in.

    Args:
        name: what the document or the run calls it.
        sha256: of the image file, or the digest of a registry reference.
        file: where the bag holds it; None where it is kept elsewhere.
    """

    name: str
    sha256: str
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEntry:
    """A finished unit: its folder in the bag is ``data/units/STAGE/ID``."""

    id: str
    stage: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRecord:
    """The content of ``data/archive.json``.

    Args:
        name: of the analysis.
        version: number of the version; its folder is called ``vNUMBER``.
        previous: id of the version before; None for the first.
        plan: digest of the plan that was run.
        pseudo_data: whether the observed events are simulated.
        document: the analysis document in the bag.
        code: what computed.
        versions: package -> version of the run.
        inputs: every input file, in the bag or elsewhere.
        images: every image that was used.
        units: every unit of the plan.
    """

    name: str
    version: int
    previous: str | None
    plan: str
    pseudo_data: bool
    document: str
    code: CodeRecord
    versions: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputEntry, ...] = ()
    images: tuple[ImageEntry, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    schema: str = "archive/1.0.0"
