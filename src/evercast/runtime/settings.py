"""Settings of a run, frozen in ``work/current.json`` by the holder of the run lock and read by every job.

They say how a run is made (containers, images, site), never what comes out: nothing of them enters the keys of units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import IntegrityError, InvalidInput
from evercast.runtime.folders import RunFolder
from evercast.runtime.site import Site
from evercast.spec.codec import from_json, to_json

__all__ = ["ImageFile", "RunSettings", "change_settings", "read_settings", "write_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image as it was found when the run began.

    Args:
        file: absolute path.
        sha256: digest that its content had and must keep.
    """

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run is made.

    Args:
        plan: digest of the plan; empty where nothing was run yet.
        pseudo: whether the observed events are simulated.
        document: absolute path of the document, where Snakemake was called without `evercast run`: its jobs find the
            plan of the run by it.
        started: UTC, ISO 8601.
        containers: whether every stage runs in a container; where not, only extra stages that declare one do.
        images: what the document calls an image, or ``evercast`` and ``evercast-gpu`` -> the file.
        environment: which of `images` the stages run in that name none of their own; None means ``evercast``, and
            ``evercast-gpu`` for a job that was given GPUs.
        site: what the profile's ``site.yaml`` said.
        slurm_runs: names of the SLURM jobs of this run, for a later run to cancel what is left of them.
        profile: folder of the profile; None where there was none.
        options: of ``evercast run``, for whoever goes on with it: profile, cores, arguments of Snakemake behind ``--``.
        versions: package -> version of what computes where no container does.
    """

    plan: str = ""
    pseudo: bool = False
    document: str = ""
    started: str = ""
    containers: bool = False
    images: Mapping[str, ImageFile] = field(default_factory=dict)
    environment: str | None = None
    site: Site = field(default_factory=Site)
    slurm_runs: tuple[str, ...] = ()
    profile: str | None = None
    options: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def read_settings(folder: RunFolder) -> RunSettings:
    """Return the settings of the last run in a folder, also those that an older version wrote; defaults where none was.

    Raises:
        IntegrityError: ``run.settings-damaged``.
    """
    if not folder.current.exists():
        return RunSettings()
    body = read_json(folder.current)
    known = {item.name for item in fields(RunSettings)}
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if name in known}
    try:
        return from_json(RunSettings, body)
    except InvalidInput as err:
        raise IntegrityError(
            f"the settings of the run are damaged: {err.message}",
            code="run.settings-damaged",
            where=str(folder.current),
            hint="remove this file and run again",
        ) from err


def write_settings(settings: RunSettings, *, folder: RunFolder) -> None:
    """Freeze the settings; to be called by the holder of the run lock only.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    atomic_write_json(folder.current, to_json(settings))


def change_settings(folder: RunFolder, **changes: Any) -> RunSettings:
    """Replace fields of the frozen settings and return them; to be called by the holder of the run lock only.

    Raises:
        IntegrityError: ``run.settings-damaged``.
        EnvironmentUnfit: the disk refuses.
    """
    settings = replace(read_settings(folder), **changes)
    write_settings(settings, folder=folder)
    return settings
