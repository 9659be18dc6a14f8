"""The document of a combination: which likelihoods become one, and under which names of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from evercast.errors import IntegrityError
from evercast.spec.documents import load_document

__all__ = ["Combination", "CombinationPart", "read_combination"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationPart:
    """One likelihood of a combination; paths are relative to the folder of the document.

    Args:
        path: a pyhf workspace, a neural likelihood, a run folder, or another combination.
        likelihood: which of a run folder.
        measurement: which of a workspace.
        patch: with `patchset` the name of a patch in it, else a file with a JSON patch.
        patchset: a pyhf patchset.
        rename: parameter -> its name in the combination.
    """

    path: str
    likelihood: str | None = None
    measurement: str | None = None
    patch: str | None = None
    patchset: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A combination document.

    Args:
        name: of the combination.
        parts: name -> where it comes from.
        title: what is combined.
        poi: parameter of interest; None takes that of the parts.
        uncorrelate: parameters that stay apart although they have one name.
        same_run: parts may be of one run, since no event is in two of them.
    """

    name: str
    parts: Mapping[str, CombinationPart]
    title: str | None = None
    poi: str | None = None
    uncorrelate: tuple[str, ...] = ()
    same_run: bool = False


def read_combination(path: Path) -> Combination:
    """Return a combination document, checked.

    Args:
        path: a YAML or JSON file.

    Raises:
        InvalidDocument: with every problem, each with its line.
        IntegrityError: ``combination.path``: a path leads out of the folder of the document.
    """
    document = load_document(path, "combination", Combination)
    for name, part in document.parts.items():
        files = [part.path, part.patchset, part.patch if part.patchset is None else None]
        for entry in files:
            if entry is not None and (PurePosixPath(entry).is_absolute() or ".." in PurePosixPath(entry).parts):
                message = f"the path '{entry}' leads out of the folder of the document"
                hint = "give paths relative to the document, without '..'"
                raise IntegrityError(message, code="combination.path", where=f"{path}: $.parts.{name}", hint=hint)
    return document
