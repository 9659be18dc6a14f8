"""What comes with a HEPData submission beside its tables: workspaces, and bundles packed as archives."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors
from evercast.publication.bundle_context import PublicationContext

__all__ = ["MOST_BYTES", "Resource", "pack", "resources_of"]

MOST_BYTES: Final = 52_000_000
"""What HEPData takes as one upload."""
_KEPT_FOR_TABLES: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file of the submission, or a link.

    Args:
        location: name of the file in the submission, or a URL; None where there is neither, so that words must do.
        kind: type that HEPData knows, such as ``HistFactory``; None for others.
    """

    description: str
    location: str | None
    kind: str | None = None


def resources_of(root: Path, context: PublicationContext, folder: Path) -> tuple[Resource, ...]:
    """Put the resources into the folder of a submission and return them.

    A bundle that would make the upload larger than HEPData takes is left out: it is linked to where the document says
    where the publication is, and named in words where not.

    Args:
        root: the publication, with what earlier parts wrote.
        context: the run.
        folder: of the submission.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    return (*_workspaces(root, context, folder), *_bundles(root, context, folder))


def _workspaces(root: Path, context: PublicationContext, folder: Path) -> Iterator[Resource]:
    name = context.workspace
    files = [] if name is None else [
        (context.likelihood / "workspace.json", f"pyhf workspace of the likelihood '{name}'", f"workspace-{name}.json"),
        (root / "pyhf" / name / "background_only.json", "pyhf workspace of the background", "background-only.json"),
        (root / "pyhf" / name / "patchset.json", "pyhf patchset of the signal points", "patchset.json"),
    ]  # fmt: skip
    for bundle in context.bundles:
        here, about = root / "bundles" / bundle, f"the neural likelihood '{bundle}'"
        beside = "projection_parametrisation.json"
        files.append((here / "projection.json", f"pyhf workspace of the binned projection of {about}",
                      f"projection-{bundle}.json"))  # fmt: skip
        files.append((here / beside, f"formulas of the factors of the binned projection of {about}",
                      f"projection-parametrisation-{bundle}.json"))  # fmt: skip
    for source, description, target in files:
        if source.is_file():
            with disk_errors(folder):
                shutil.copyfile(source, folder / target)
            kind = None if source.name == "projection_parametrisation.json" else "HistFactory"
            yield Resource(description=description, location=target, kind=kind)


def _bundles(root: Path, context: PublicationContext, folder: Path) -> Iterator[Resource]:
    record = context.analysis.publish.hepdata
    left = MOST_BYTES - _KEPT_FOR_TABLES - sum(path.stat().st_size for path in folder.iterdir())
    for name in context.bundles:
        source = root / "bundles" / name
        if not source.is_dir():
            continue
        target = folder / f"neural-likelihood-{name}.tar.gz"
        about = f"neural likelihood '{name}': weights, architecture, reference vectors, domain of validity, readers"
        pack(source, target, inside=f"neural-likelihood-{name}")
        size = target.stat().st_size
        if size <= left:
            left -= size
            yield Resource(description=about, location=target.name)
            continue
        target.unlink()
        url = None if record is None or record.url is None else f"{record.url.rstrip('/')}/bundles/{name}"
        yield Resource(description=f"{about}; {size} bytes packed", location=url)


def pack(folder: Path, target: Path, *, inside: str) -> None:
    """Write a folder as a gzipped tar that has the same bytes each time: names in order, no times, no owners.

    Args:
        folder: its files, none of them a link.
        target: the archive.
        inside: name of the folder in the archive.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    with (
        disk_errors(target),
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            entry = tarfile.TarInfo(f"{inside}/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
