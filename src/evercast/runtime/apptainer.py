"""Command lines of Apptainer: the one place for isolation flags."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evercast.errors import EnvironmentUnfit

__all__ = ["apptainer_program", "container_command"]


def apptainer_program() -> str:
    """Return the path of the container runtime.

    Raises:
        EnvironmentUnfit: ``container.no-runtime``.
    """
    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        raise EnvironmentUnfit(
            "this stage runs in a container and there is no apptainer on this machine",
            code="container.no-runtime",
            hint="install Apptainer 1.3 or newer, or remove `container` to run in the environment of evercast",
        )
    return program


def container_command(
    command: Sequence[str],
    *,
    program: str,
    image: str,
    read_only: Iterable[Path],
    writable: Iterable[Path],
    folder: Path,
    environment: Mapping[str, str],
) -> list[str]:
    """Return the command line that runs `command` in `image`, cut off from the host.

    No home, no host environment, no network, own processes; the host's paths that are bound keep their names.

    Args:
        command: program and arguments inside.
        program: the container runtime.
        image: the image file, or a reference such as ``docker://NAME@sha256:...``.
        read_only: files and folders to read.
        writable: folders to write.
        folder: becomes the working folder and holds the container's ``/tmp``; must be writable.
        environment: variables that the command sees.
    """
    line = [program, "exec", "--containall", "--no-home", "--net", "--network", "none"]
    line += ["--workdir", str(folder), "--pwd", str(folder), "--bind", f"{folder}:{folder}:rw"]
    for path in writable:
        line += ["--bind", f"{path}:{path}:rw"]
    for path in dict.fromkeys(read_only):
        line += ["--bind", f"{path}:{path}:ro"]
    for name, value in environment.items():
        line += ["--env", f"{name}={value}"]
    return [*line, image, *command]
