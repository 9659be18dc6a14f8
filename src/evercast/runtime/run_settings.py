"""Decides how a run is made, in the main process of Snakemake, and freezes that for the jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, disk_errors
from evercast.errors import EvercastError, UsageError
from evercast.runtime.folders import RunFolder
from evercast.runtime.image_choice import declared_environment, images_of_run, names_images
from evercast.runtime.plans import read_plan
from evercast.runtime.settings import RunSettings, change_settings
from evercast.runtime.site import read_site
from evercast.runtime.workflow_files import named_profile

__all__ = ["freeze_settings", "profile_of_command", "refuse_conda", "uses_containers"]

_PROFILE: Final = "--profile"


def freeze_settings(plan_file: Path, *, containers: bool, profile: Path | None) -> RunSettings:
    """Complete the settings of the run that has begun; to be called by the holder of the run folder.

    What is wrong is written to ``work/errors/run.json`` too, as Snakemake hands on no error of its own start.

    Args:
        plan_file: the frozen plan.
        containers: whether every stage runs in a container.
        profile: folder of the profile, which may hold a ``site.yaml``.

    Raises:
        InvalidDocument: the ``site.yaml`` is not valid.
        EvercastError: an image is missing (exit code 6), or not the locked one (5).
    """
    folder = RunFolder.of_plan(plan_file)
    folder.run_error.unlink(missing_ok=True)
    try:
        return _freeze(plan_file, folder, containers=containers, profile=profile)
    except EvercastError as err:
        with disk_errors(folder.run_error):
            folder.run_error.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(folder.run_error, err.to_json())
        raise


def _freeze(plan_file: Path, folder: RunFolder, *, containers: bool, profile: Path | None) -> RunSettings:
    site = read_site(profile)
    named = names_images(plan_file)
    frozen = read_plan(plan_file, only=None if named else ())  # to build thousands of recipes takes a second
    return change_settings(
        folder,
        containers=containers,
        images=images_of_run(frozen, containers=containers, site=site),
        environment=declared_environment(plan_file) if containers else None,
        site=site,
        profile=None if profile is None else str(profile.resolve()),
    )


def uses_containers(workflow: object) -> bool:
    """Return whether Snakemake was told to deploy software by Apptainer.

    Args:
        workflow: Snakemake's own object, which knows profile and command line; None where there is none.
    """
    return "apptainer" in _deployment(workflow)


def refuse_conda(workflow: object) -> None:
    """Refuse a Snakemake that would deploy software by conda: no stage declares what it would have to install.

    Args:
        workflow: as for `uses_containers`.

    Raises:
        UsageError: ``run.no-conda``.
    """
    if "conda" in _deployment(workflow):
        raise UsageError(
            "stages run in containers or in the environment of evercast, never in one of conda; found "
            "software-deployment-method conda",
            code="run.no-conda",
            hint="--sdm apptainer for containers, or leave --sdm out; a profile says software-deployment-method",
        )


def _deployment(workflow: object) -> frozenset[str]:
    methods = getattr(getattr(workflow, "deployment_settings", None), "deployment_method", None)
    return frozenset(map(str, methods or ()))


def profile_of_command(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of the profile that a command line of Snakemake names, or ``SNAKEMAKE_PROFILE``; None without.

    Of several profiles it is the first that there is: a path, or a name that Snakemake looks up in its own folders.

    Args:
        words: the command line.
        environment: where ``SNAKEMAKE_PROFILE`` and Snakemake's folders are looked up; that of the process where
            None.

    Example:
        >>> profile_of_command(["snakemake", "--profile=/nowhere"], {}) is None
        True
    """
    variables = os.environ if environment is None else environment
    named = list(_named(words)) or [variables.get("SNAKEMAKE_PROFILE", "")]
    for name in filter(None, named):
        path = Path(name)
        if path.is_dir():
            return path
        if path.is_file():
            return path.parent
        if (found := named_profile(name, variables)) is not None:
            return found
    return None


def _named(words: Sequence[str]) -> Iterator[str]:
    """Yield the values of ``--profile``."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == _PROFILE:
            yield following
        elif word.startswith(f"{_PROFILE}="):
            yield word.partition("=")[2]
