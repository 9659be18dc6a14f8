"""Makes the published bundle of a likelihood: the core files of the run, and what contributors add to them.

A contributor writes files of its own into the folder and returns what the manifest says of them; this stands in the
manifest under ``publication.NAME``. Contributors are called in order: a later one finds the files of earlier ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from evercast.artifacts.bundle_open import SUMS_FILE, sums_text
from evercast.artifacts.files import atomic_write_bytes, disk_errors, sha256_file
from evercast.artifacts.neural_bundle import write_manifest
from evercast.errors import IntegrityError
from evercast.publication.bundle_context import BundleContext
from evercast.publication.bundle_results import add_diagnostics, add_licence, add_results
from evercast.publication.citation import add_citation
from evercast.publication.graph_copies import add_onnx, add_stablehlo
from evercast.publication.page import add_page
from evercast.publication.projection_files import add_projection
from evercast.publication.pyhf_files import add_workspace
from evercast.publication.readers import add_readers
from evercast.publication.readme import add_readme
from evercast.publication.report_copy import add_report
from evercast.publication.validity import add_validity

__all__ = ["CONTRIBUTORS", "Contributor", "assemble_bundle"]

Contributor = Callable[[Path, BundleContext], Mapping[str, object]]
"""Writes its files into the folder of the bundle; returns what the manifest says of them."""

CONTRIBUTORS: Final[tuple[tuple[str, Contributor], ...]] = (
    ("validity", add_validity),
    ("results", add_results),
    ("diagnostics", add_diagnostics),
    ("licence", add_licence),
    ("citation", add_citation),
    ("onnx", add_onnx),
    ("stablehlo", add_stablehlo),
    ("readers", add_readers),
    ("workspace", add_workspace),
    ("readme", add_readme),
    ("projection", add_projection),
    ("report", add_report),
    ("page", add_page),
)
"""Name in the manifest -> contributor, in the order in which they are called. Each has a line of its own."""


def assemble_bundle(folder: Path, context: BundleContext) -> None:
    """Write the complete bundle of a likelihood into `folder`.

    Args:
        folder: an existing empty folder.
        context: the likelihood and its run.

    Raises:
        IntegrityError: a file of the core bundle is missing, or not what its manifest says.
        EvercastError: as each contributor says.
    """
    _copy_core(folder, context)
    context.said.clear()
    for name, contribute in CONTRIBUTORS:
        context.said[name] = dict(contribute(folder, context))
    kept = {key: value for key, value in context.manifest.items() if key not in {"schema", "ensembles", "files"}}
    ensembles = context.manifest.get("ensembles")
    write_manifest(
        folder, {**kept, "publication": dict(context.said)}, ensembles=ensembles if isinstance(ensembles, dict) else {}
    )
    _write_sums(folder)


def _copy_core(folder: Path, context: BundleContext) -> None:
    """Copy the files that the manifest of the core bundle names, and compare each with its digest."""
    files = context.manifest.get("files")
    for name, entry in files.items() if isinstance(files, Mapping) else ():
        target = folder / name
        if Path(name).name != name:
            raise IntegrityError(f"{name!r} is no name of a file", code="bundle.name", where=str(context.core))
        with disk_errors(target):
            shutil.copyfile(context.core / name, target, follow_symlinks=False)
        found, expected = sha256_file(target), entry["sha256"]
        if found != expected:
            raise IntegrityError(
                f"{name} has sha256 {found}; the manifest says {expected}",
                code="bundle.digest",
                where=str(context.core / name),
                hint="evercast run DOCUMENT --repair makes it anew",
            )


def _write_sums(folder: Path) -> None:
    """Write the digests of all files, that of the manifest too, as ``sha256sum -c`` reads them."""
    digests = {path.name: sha256_file(path) for path in folder.iterdir() if path.name != SUMS_FILE}
    atomic_write_bytes(folder / SUMS_FILE, sums_text(digests))
