"""What a machine offers to the tests with real containers and a real SLURM, and who runs them."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["USER", "OrdinaryUser", "lacking_programs", "must_have_all", "own_name", "user_exists"]

USER = "evercast-test"
"""The ordinary user that submits jobs in tests."""

KEPT_VARIABLES = ("SLURM_CONF", "LANG")
"""What an ordinary user inherits of the environment of the tests."""


def must_have_all() -> bool:
    """Return whether tests fail, instead of being left out, where a program is missing."""
    return os.environ.get("EVERCAST_PLATFORM") == "required" or bool(os.environ.get("CI"))


@functools.cache
def lacking_programs() -> dict[str, str]:
    """Return mark -> why its tests cannot run on this machine."""
    missing = {}
    if shutil.which("apptainer") is None:
        missing["container"] = "there is no apptainer"
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        missing["browser"] = "there is no Chromium"
    if reason := _no_cluster():
        missing["slurm"] = reason
    return missing


def _no_cluster() -> str | None:
    programs = ("sbatch", "scontrol", "squeue", "scancel", "sinfo")
    if absent := [program for program in programs if shutil.which(program) is None]:
        return f"there is no {', '.join(absent)}"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "there is no runuser to submit as an ordinary user"
    try:
        answer = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return "the controller of the SLURM cluster does not answer"
    return None if "UP" in answer.stdout else "no SLURM cluster is up (.ci/platform/slurm.sh start)"


def user_exists(name: str) -> bool:
    """Return whether this machine knows a user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@dataclass(frozen=True)
class OrdinaryUser:
    """Who submits: another user than root where the tests run as root.

    Args:
        name: of the user.
        python: that the user can run; beside it are `evercast` and `snakemake`.
        home: folder of the user for this session.
        variables: of the environment, besides PATH and HOME.
    """

    name: str
    python: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, timeout: float = 900.0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with nothing of the environment of the tests, and return how it ended."""
        environment = {
            "HOME": str(self.home), "USER": self.name, "LOGNAME": self.name,
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8",
            **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            **self.variables, **variables,
        }  # fmt: skip
        become = ["runuser", "-u", self.name, "--"] if self.name != own_name() else []
        line = [*become, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *map(str, command)]
        return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)

    def folder(self, path: Path) -> Path:
        """Make a folder that belongs to this user."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        if self.name != own_name():
            shutil.chown(path, self.name, self.name)
        return path


def own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
