"""The two kinds of preserved analyses that answer requests: published likelihoods, and archives of evercast runs.

A published likelihood is answered by this package. An archive is answered by ``evercast.reinterpretation.neural``,
which is imported only when a request asks one:

- ``check_neural(request, archived, *, folder)`` raises why it cannot be answered, and writes nothing;
- ``freeze_neural(resolved, *, root, document)`` writes the copies, with `NEURAL_FILE` among them;
- ``read_frozen_neural(root, run)`` reads and checks them;
- ``answer_neural(frozen, *, cores, profile, observer)`` computes what is missing; the observer is told of every point
  that has its answer;
- ``neural.response.write_neural_response(frozen, answers)`` writes the response.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evercast.artifacts.tar_files import is_tar
from evercast.errors import InvalidInput
from evercast.events.sources import SearchPath
from evercast.reinterpretation.requests.catalogue import Catalogue, find_entry, open_wrapped
from evercast.reinterpretation.requests.frozen import read_frozen
from evercast.reinterpretation.requests.model import Request
from evercast.reinterpretation.wrapped.data import RecordData

if TYPE_CHECKING:
    from evercast.reinterpretation.archived import ArchivedRun

__all__ = [
    "NEURAL_FILE",
    "Preserved",
    "is_archive",
    "is_frozen_neural",
    "neural",
    "open_preserved",
    "read_frozen_of",
    "refuse_neural_form",
]

Preserved: TypeAlias = "RecordData | ArchivedRun"

NEURAL_FILE: Final = "neural.json"
"""File in ``runs/RUN`` of a request to an archive; that of a published likelihood has none."""
_PACKAGE: Final = "evercast.reinterpretation.neural"
_BAG: Final = "manifest-sha256.txt"


def is_archive(path: Path) -> bool:
    """Return whether a folder holds an archive of a run, or versions of one."""
    return (path / _BAG).is_file() or (path.is_dir() and any(path.glob(f"v[0-9]*/{_BAG}")))


def open_preserved(name: str, catalogue: Catalogue, search_path: SearchPath, *, digest: str | None = None) -> Preserved:
    """Return the preserved analysis that a user names: a published likelihood with its data, or a verified archive.

    Args:
        name: a folder or document, a name of the catalogue, or at least 8 digits of a digest.
        catalogue: where names and digests are looked up.
        search_path: where files of a published likelihood are looked for.
        digest: that the request names; decides between several of one name.

    Raises:
        InvalidInput: there is none, or several.
        IntegrityError: the archive is not what it must be.
    """
    entry = find_entry(name, catalogue, digest=digest)
    path = Path(name) if entry is None else entry.path
    if is_archive(path) or (entry is not None and entry.kind == "archive") or (path.is_file() and is_tar(path)):
        from evercast.reinterpretation.archived import open_archived  # noqa: PLC0415 - heavy, of archives only

        return open_archived(path)
    if (path / "likelihood.json").is_file():
        neural("bundle").refuse_bundle(path)
    return open_wrapped(path, search_path)


def neural(module: str | None = None) -> ModuleType:
    """Return the package that answers requests to archives, or a module of it.

    Raises:
        InvalidInput: ``request.archive``: this evercast has none.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        message = "this evercast answers requests to published likelihoods alone, not to archives of runs"
        raise InvalidInput(message, code="request.archive")
    return importlib.import_module(_PACKAGE if module is None else f"{_PACKAGE}.{module}")


def is_frozen_neural(root: Path, run: str) -> bool:
    """Return whether a submitted request asks an archive."""
    return (root / "runs" / run[:12] / NEURAL_FILE).is_file()


def read_frozen_of(root: Path, run: str) -> Any:
    """Return a submitted request: a `FrozenRequest`, or what ``read_frozen_neural`` returns where an archive is asked.

    Raises:
        IntegrityError: ``request.frozen``: a copy is missing or was changed.
    """
    if is_frozen_neural(root, run):
        return neural().read_frozen_neural(root, run)
    return read_frozen(root, run)


def refuse_neural_form(request: Request) -> None:
    """Refuse what can be asked of an archive alone.

    Raises:
        InvalidInput: ``request.archive-only``.
    """
    asked: list[tuple[str, bool]] = [("$.signal.parametrisation", request.signal.parametrisation is not None)]
    for name, point in request.signal.points.items():
        asked.append((f"$.signal.points.{name}.process", point.process is not None))
        asked.append((f"$.signal.points.{name}.model_point", bool(point.model_point)))
    wanted = request.wanted
    asked += [
        ("$.wanted.toys", wanted.toys > 0), ("$.wanted.injection", bool(wanted.injection)),
        ("$.wanted.neyman", wanted.neyman), ("$.wanted.training_statistics", wanted.training_statistics),
        ("$.wanted.largest_share_outside", wanted.largest_share_outside is not None),
    ]  # fmt: skip
    where = next((place for place, is_asked in asked if is_asked), None)
    if where is not None:
        message = "this can be asked of the archive of a run alone; the analysis is a published likelihood"
        raise InvalidInput(message, code="request.archive-only", where=where)
