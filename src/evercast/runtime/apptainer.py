"""Command lines of Apptainer: the one place for isolation flags."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit

__all__ = ["ISOLATION", "Isolation", "Mount", "Runtime", "container_command", "find_runtime", "host_environment"]

ISOLATION: Final = ("--containall", "--cleanenv", "--no-eval", "--net", "--network", "none")
"""No host environment, home, ``/tmp``, processes or network; what is in variables is not evaluated."""

_OLDEST: Final = (1, 2)
_HOME: Final = "/home/evercast"
_KEPT: Final = ("DBUS_SESSION_BUS_ADDRESS", "HOME", "LOGNAME", "TMPDIR", "USER", "XDG_RUNTIME_DIR")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAFE_VALUE: Final = re.compile(r"[A-Za-z0-9 ._/,:+@=-]*")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The container runtime of this machine: its program and version."""

    program: str
    version: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the host that a container sees under the same name, or under `inside`."""

    path: Path
    writable: bool = False
    inside: str | None = None

    def argument(self) -> str:
        """Return the value of ``--mount``, which unlike ``--bind`` can say any path: fields of a line of CSV."""
        words = ["type=bind", f"source={self.path}", f"destination={self.inside or self.path}"]
        return ",".join(_quoted(word) for word in (words if self.writable else [*words, "ro"]))


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"' if set(word) & set(',"\r\n') else word


def host_environment() -> dict[str, str]:
    """Return the environment that the runtime itself gets: built from nothing but what it needs to start.

    Variables such as ``APPTAINER_BIND``, ``APPTAINERENV_X`` or ``http_proxy`` reach a container in spite of every flag.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": _PATH, "LANG": "C.UTF-8", **kept}


def find_runtime() -> Runtime:
    """Return the container runtime of this machine.

    Raises:
        EnvironmentUnfit: ``container.no-runtime``, ``container.runtime-too-old`` or ``container.no-namespaces``.
    """
    program = shutil.which("apptainer")
    if program is None:
        raise EnvironmentUnfit(
            "this stage runs in a container and there is no apptainer on this machine",
            code="container.no-runtime",
            hint="install Apptainer 1.2 or newer, or run without containers: leave out software-deployment-method",
        )
    said = _say(program, "--version")
    match = re.search(r"apptainer version (\d+)\.(\d+)[^\s]*", said)
    if match is None or (int(match[1]), int(match[2])) < _OLDEST:
        raise EnvironmentUnfit(
            f"{program} says it is {said!r}; expected apptainer version 1.2 or newer",
            code="container.runtime-too-old",
            hint="install a newer Apptainer",
        )
    _require_namespaces(program)
    return Runtime(program=program, version=match[0].removeprefix("apptainer version "))


def _require_namespaces(program: str) -> None:
    """Refuse a machine on which an ordinary user may make no namespaces, before Apptainer says it in its own way.

    An Apptainer with a set-user-id starter makes them for the user.
    """
    if os.geteuid() == 0:
        return
    for name in ("user/max_user_namespaces", "kernel/unprivileged_userns_clone"):
        switch = Path("/proc/sys") / name
        forbidden = switch.exists() and switch.read_text().strip() == "0"
        if forbidden and _say(program, "buildcfg", "APPTAINER_SUID_INSTALL") != "1":
            raise EnvironmentUnfit(
                f"this machine lets no user make a namespace ({switch} is 0), so no container can be started",
                code="container.no-namespaces",
                hint=f"ask its administrator to raise {name.replace('/', '.')}, or run without containers",
            )


def _say(program: str, *words: str) -> str:
    return subprocess.run(  # noqa: S603 - found on the PATH
        [program, *words], env=host_environment(), capture_output=True, text=True, check=False
    ).stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a container sees of the host and of its surroundings.

    Args:
        mounts: writable folders and single inputs.
        scratch: folder of the host that holds the container's ``/tmp`` and ``/var/tmp``.
        home: folder of the host that is the home inside. It is named without its parent, as the runtime could not take
            every path here, so the runtime is to be started there.
        folder: working folder inside.
        environment: variables that are set inside, besides those of the image.
        gpus: with GPUs, the driver of the host is bound; without, no device of it is there.
    """

    mounts: tuple[Mount, ...]
    scratch: Path
    home: Path
    folder: Path
    environment: Mapping[str, str]
    gpus: int = 0

    def flags(self) -> tuple[str, ...]:
        """Return the flags that cut the container off, without paths and values."""
        return (*ISOLATION, "--nv") if self.gpus else ISOLATION


def container_command(command: Sequence[str], *, program: str, image: str, isolation: Isolation) -> list[str]:
    """Return the command line that runs `command` in `image`, cut off from the host.

    Args:
        command: program and arguments inside.
        program: the container runtime.
        image: the image file, or a reference such as ``docker://NAME@sha256:...``.
        isolation: what is seen inside.

    Raises:
        EnvironmentUnfit: ``container.value``: a variable that the runtime cannot hand on.
    """
    line = [program, "--quiet", "exec", *isolation.flags(), "--home", f"{isolation.home.name}:{_HOME}"]
    line += ["--workdir", str(isolation.scratch), "--pwd", str(isolation.folder)]
    for mount in dict.fromkeys(isolation.mounts):
        line += ["--mount", mount.argument()]
    for name, value in isolation.environment.items():
        if _SAFE_VALUE.fullmatch(value) is None:
            raise EnvironmentUnfit(
                f"the value {value!r} of {name} cannot be handed to a container",
                code="container.value",
                hint="use letters, digits, spaces and . _ / , : + @ = - only",
            )
        line += ["--env", f"{name}={value}"]
    return [*line, image, *command]
