"""The pyhf part of a publication: workspace, patchset where the document declares signal points, and a README.

``pyhf/LIKELIHOOD/`` holds ``workspace.json``; with signal points also ``background_only.json`` and ``patchset.json``:
each patch gives the workspace of one point. All of them passed the checks of `evercast.publication.pyhf_checks`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, disk_errors, read_json, sha256_file
from evercast.artifacts.likelihood_folder import read_index
from evercast.errors import IntegrityError, InvalidInput
from evercast.publication.bundle_context import BundleContext, PublicationContext
from evercast.publication.pyhf_checks import require_sound_patchset, require_sound_workspace, workspace_digest
from evercast.publication.pyhf_patchset import background_and_patchset

__all__ = ["BACKGROUND_FILE", "PATCHSET_FILE", "WORKSPACE_FILE", "add_workspace", "write_pyhf"]

WORKSPACE_FILE: Final = "workspace.json"
BACKGROUND_FILE: Final = "background_only.json"
PATCHSET_FILE: Final = "patchset.json"


def write_pyhf(root: Path, context: PublicationContext) -> None:
    """Write the workspace that the document publishes; nothing where it publishes none.

    Raises:
        InvalidInput: ``publication.workspace``, ``publication.patchset``, ``publication.signal-points``;
            ``publication.no-inspire-id``, a patchset needs it; ``publication.blinded``.
        IntegrityError: a file is damaged.
        EnvironmentUnfit: the disk refuses.
    """
    if context.workspace is None:
        return
    folder = root / "pyhf" / context.workspace
    with disk_errors(folder):
        folder.mkdir(parents=True)
    workspace = _workspace(context.likelihood, context.workspace)
    require_sound_workspace(workspace, where=WORKSPACE_FILE)
    atomic_write_json(folder / WORKSPACE_FILE, workspace)
    digests = {WORKSPACE_FILE: workspace_digest(workspace)}
    points = _write_points(folder, context)
    if points:
        background = _object(folder / BACKGROUND_FILE)
        digests[BACKGROUND_FILE] = workspace_digest(background)
    atomic_write_bytes(folder / "README.md", _readme(context, points, digests).encode())


def add_workspace(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Add the pyhf workspace of the same run to a bundle; return its digest, or that the document publishes none.

    Raises:
        IntegrityError: ``bundle.workspace``, it is not the one that the manifest names.
        InvalidInput: ``publication.workspace``.
    """
    wanted = context.manifest.get("workspace_sha256")
    published = context.analysis.publish.pyhf
    if wanted is None or published is None:
        return {"made": False, "reason": "the document publishes no pyhf workspace"}
    source = context.core.parent / WORKSPACE_FILE
    found = sha256_file(source)
    if found != wanted:
        raise IntegrityError(
            f"the workspace has sha256 {found}; the manifest of the bundle says {wanted}: they are of different runs",
            code="bundle.workspace",
            where=str(source),
        )
    require_sound_workspace(_object(source), where=WORKSPACE_FILE)
    with disk_errors(folder):
        shutil.copyfile(source, folder / WORKSPACE_FILE, follow_symlinks=False)
    return {
        "made": True,
        "file": WORKSPACE_FILE,
        "likelihood": published.likelihood,
        "measurement": published.measurement,
        "pyhf_digest": workspace_digest(_object(source)),
    }


def _workspace(likelihood: Path, name: str) -> Mapping[str, object]:
    """Return the workspace of the run; one with expected counts in the place of hidden ones is refused."""
    index = read_index(likelihood)
    if index.expected_in_workspace:
        raise InvalidInput(
            f"the counts of {', '.join(index.expected_in_workspace)} in the workspace are expected ones, not observed",
            code="publication.blinded",
            where=WORKSPACE_FILE,
        )
    found = sha256_file(likelihood / WORKSPACE_FILE)
    entry = index.likelihoods.get(name)
    if entry is None or entry.kind != "workspace" or entry.sha256 != found:
        raise IntegrityError(
            "the workspace is not the one that the index names", code="likelihood.digest", where=str(likelihood)
        )
    return _object(likelihood / WORKSPACE_FILE)


def _object(path: Path) -> dict[str, object]:
    body = read_json(path)
    if not isinstance(body, dict):
        raise IntegrityError("expected a JSON object", code="artifact.not-json", where=str(path))
    return body


def _write_points(folder: Path, context: PublicationContext) -> tuple[str, ...]:
    """Write background and patchset where the document has signal points; return their names."""
    published = context.analysis.publish.pyhf
    signal = published.signal_points if published is not None else None
    if signal is None:
        return ()
    record = context.analysis.publish.hepdata
    if record is None:
        raise InvalidInput(
            "a patchset names the publication it belongs to, and the document has no publish.hepdata.inspire_id",
            code="publication.no-inspire-id",
            where="$.publish.hepdata",
            hint="give the number of the publication on INSPIRE, or leave publish.pyhf.signal_points out",
        )
    workspaces = {name: _object(context.likelihood / "signal-points" / f"{name}.json") for name in signal.points}
    background, patchset = background_and_patchset(
        workspaces, signal, description=context.analysis.title, inspire_id=record.inspire_id
    )
    require_sound_workspace(background, where=BACKGROUND_FILE, complete=False)
    atomic_write_json(folder / BACKGROUND_FILE, background)
    written = _object(folder / BACKGROUND_FILE)
    require_sound_patchset(written, patchset, where=PATCHSET_FILE)
    atomic_write_json(folder / PATCHSET_FILE, patchset)
    return tuple(signal.points)


def _readme(context: PublicationContext, points: tuple[str, ...], digests: Mapping[str, str]) -> str:
    lines = [
        f"# {context.analysis.title}",
        "",
        f"The likelihood `{context.workspace}` as a HistFactory workspace, which pyhf has read.",
        "",
        "    pyhf inspect workspace.json",
        "    pyhf fit workspace.json --value",
        "    evercast fit workspace.json",
        "",
    ]
    if points:
        lines += [
            "`background_only.json` is what all signal points share; each patch of `patchset.json` adds one signal.",
            "",
            "    pyhf patchset verify background_only.json patchset.json",
            f"    pyhf patchset apply --name {points[0]} background_only.json patchset.json",
            f"    evercast fit background_only.json --patchset patchset.json --patch {points[0]}",
            "",
        ]
    else:
        lines += ["There is no patchset: the document declares no signal points (`publish.pyhf.signal_points`).", ""]
    lines += ["Digests as pyhf computes them (`pyhf digest FILE`), sha256:", ""]
    return "\n".join([*lines, *(f"    {digest}  {name}" for name, digest in digests.items()), ""])
