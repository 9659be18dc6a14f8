"""Writes an analysis as REANA runs it: ``reana.yaml``, a Snakefile without any Python, and a frozen plan.

REANA reads a Snakefile with a Snakemake of its own and sends each rule's command to a cluster, as one container that
sees one common folder. It takes plain shell commands with fixed names of files; the plan knows all of them beforehand.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from evercast.artifacts.files import disk_errors, make_folder
from evercast.errors import InvalidInput
from evercast.interop.snakefile import reana_snakefile
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_jobs
from evercast.spec.containers import registry_reference
from evercast.spec.model import Analysis

__all__ = ["ReanaExport", "export_reana"]

PUBLISHED: Final = ("report.html", "diagnostics.json", "fit.json", "provenance.json")
"""Files at the top of a run folder; the folder beside them is ``likelihood``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReanaExport:
    """What was written.

    Args:
        folder: holds ``reana.yaml``.
        image: registry reference of the image that every job runs in.
        jobs: number of rules, the last of which publishes the results.
        files: all files, relative to `folder`.
    """

    folder: Path
    image: str
    jobs: int
    files: tuple[str, ...]


def export_reana(document: Path, *, folder: Path, image: str | None = None, pseudo: bool = False) -> ReanaExport:
    """Write what REANA needs to run an analysis into a new folder; all of it or nothing.

    Args:
        document: the analysis.
        folder: is made; must not exist.
        image: registry reference with digest of an image with evercast; ``environments.default.container`` where None.
        pseudo: draw the observed events from simulation.

    Raises:
        InvalidInput: ``export.exists``; ``reana.image``: no image, or not one from a registry with its digest;
            ``reana.own-image``: a stage runs in an image of its own, which has no evercast in it.
        InvalidDocument: the document is not valid.
        EnvironmentUnfit: the folder cannot be made, or the disk refuses.
    """
    if os.path.lexists(folder):
        what = "a folder" if folder.is_dir() else "a file"
        raise InvalidInput(
            f"{what} of this name exists already, and nothing is overwritten; expected a new name",
            code="export.exists",
            where=str(folder),
            hint="name another folder with --output, or move this one away",
        )
    analysis, plan = plan_document(document, pseudo=pseudo)
    reference = _image(image, analysis)
    attempt = folder.with_name(f".{folder.name}-{secrets.token_hex(6)}")
    try:
        make_folder(folder.parent)
        with disk_errors(folder):
            attempt.mkdir()
            copy = attempt / document.name
            shutil.copyfile(document, copy)
            for name in plan.files:
                _copy(document.parent / name, attempt / name)
        run_folder = RunFolder(attempt / "results" / analysis.name)
        frozen = freeze_plan(plan, analysis=analysis, document=copy, folder=run_folder)
        jobs = read_jobs(frozen.file)
        _refuse_own_images(frozen)
        relative = RunFolder(Path("results") / analysis.name)
        plan_file = frozen.file.relative_to(attempt)
        with disk_errors(folder):
            text = reana_snakefile(jobs, plan=str(plan_file), folder=relative, image=reference, name=analysis.name)
            (attempt / "Snakefile").write_text(text)
            inputs = _files(attempt)
            (attempt / "reana.yaml").write_text(_reana_yaml(inputs, folder=relative))
            files = _files(attempt)
            attempt.rename(folder)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    return ReanaExport(folder=folder, image=reference, jobs=len(jobs) + 1, files=files)


def _image(image: str | None, analysis: Analysis) -> str:
    environment = analysis.environments.get("default")
    text = image or (environment.container if environment is not None else None)
    if text is None:
        raise InvalidInput(
            "REANA runs every job in an image from a registry, and none is named",
            code="reana.image",
            hint="--image docker://NAME@sha256:DIGEST",
        )
    reference = registry_reference(text)
    if reference is None or not reference.startswith("docker://"):
        raise InvalidInput(
            f"REANA takes images from a registry, by their digest; found {text!r}, expected docker://NAME@sha256:DIGEST",
            code="reana.image",
            hint="push the image to a registry that the REANA cluster reaches: see the how-to REANA",
        )
    return reference


def _refuse_own_images(frozen: FrozenPlan) -> None:
    """Refuse stages whose command runs in another image: a REANA job has one, and evercast must be in it."""
    for unit in frozen.plan.units:
        recipe = unit.recipe
        if isinstance(recipe, CommandRecipe) and (recipe.container is not None or IMAGE_INPUT in unit.inputs):
            raise InvalidInput(
                f"stage {recipe.name} runs in an image of its own; in a REANA job it shares one image with evercast",
                code="reana.own-image",
                where=f"$.stages.{recipe.name}.container",
                hint="build one image with both, remove `container` from the stage, and give the image with --image",
            )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))


def _reana_yaml(files: tuple[str, ...], *, folder: RunFolder) -> str:
    """Return the text of ``reana.yaml``."""
    body = {
        "inputs": {"files": list(files)},
        "workflow": {"type": "snakemake", "file": "Snakefile"},
        "outputs": {
            "files": [str(folder.root / name) for name in PUBLISHED],
            "directories": [str(folder.root / "likelihood")],
        },
    }
    return yaml.safe_dump(body, sort_keys=False, width=200)
