"""The foreign programs that make and check images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit, RunFailed
from evercast.runtime.processes import run_logged

__all__ = ["OLDEST_APPTAINER", "apptainer_for_images", "debian_address", "program", "run_step", "scrubbed_environment"]

OLDEST_APPTAINER: Final = (1, 3)
"""Networks can be left out by ordinary users from here on."""
_KEPT: Final = ("HOME", "LANG", "PATH", "TMPDIR", "USER")
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_TARGETS: Final = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages")


def program(name: str, *, package: str) -> str:
    """Return the path of a program.

    Raises:
        EnvironmentUnfit: ``image.no-program``, with the package that has it.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise EnvironmentUnfit(
            f"there is no {name} on this machine, which building images needs",
            code="image.no-program",
            hint=f"install the package {package}",
        )
    return found


def apptainer_for_images() -> str:
    """Return the path of Apptainer.

    Raises:
        EnvironmentUnfit: ``container.no-runtime``, or ``container.too-old`` with the version found.
    """
    found = shutil.which("apptainer")
    if found is None:
        raise EnvironmentUnfit(
            "there is no apptainer on this machine",
            code="container.no-runtime",
            hint=f"install Apptainer {_dotted(OLDEST_APPTAINER)} or newer; `evercast image list` works without",
        )
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"(\d+)\.(\d+)", answer.stdout)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_APPTAINER:
        raise EnvironmentUnfit(
            f"this Apptainer is too old: found {answer.stdout.strip() or answer.stderr.strip()!r}, "
            f"expected version {_dotted(OLDEST_APPTAINER)} or newer",
            code="container.too-old",
            where=found,
        )
    return found


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def scrubbed_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the few variables that foreign programs see here: places, language and proxies, and `extra`."""
    kept = {name: os.environ[name] for name in (*_KEPT, *_PROXIES) if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def run_step(
    what: str, command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run one program of a build; its output goes to the end of `log`.

    Args:
        what: the step, for the message.
        command: program and arguments.
        folder: working folder.
        log: is appended to.
        environment: variables beside those of `scrubbed_environment`.

    Raises:
        RunFailed: ``image.build-failed``, with the last words of the program.
        EnvironmentUnfit: ``disk.full``.
    """
    with log.open("ab") as stream:
        ended = run_logged(command, folder=folder, environment=scrubbed_environment(environment), log=stream)
    if ended.code == 0:
        return
    if "No space left on device" in ended.tail:
        raise EnvironmentUnfit(
            f"no space left while {what}",
            code="disk.full",
            where=str(folder),
            hint="free space, or name another file system in TMPDIR: three times the size of the image is needed",
        )
    raise RunFailed(
        f"{what} ended with exit code {ended.code}; the last words:\n{ended.tail}",
        code="image.build-failed",
        where=str(log),
    )


def debian_address() -> str:
    """Return the address from which this machine gets Debian packages.

    Raises:
        EnvironmentUnfit: ``image.no-mirror``: it is no Debian machine.
    """
    apt = shutil.which(_TARGETS[0])
    if apt is not None:
        answer = subprocess.run([apt, *_TARGETS[1:]], capture_output=True, text=True, check=False)  # noqa: S603
        for line in answer.stdout.splitlines():
            words = line.split()
            if words[:2] == ["Debian", "Debian"] and len(words) == 3:
                return words[2].rstrip("/")
    raise EnvironmentUnfit(
        "the recipe starts from Debian, and this machine's package sources name no place to get Debian from",
        code="image.no-mirror",
        hint="name one: --mirror URL",
    )
