"""What a machine offers to the tests with real containers and a real SLURM, and who runs them."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess

__all__ = ["USER", "lacking_programs", "must_have_all", "user_exists"]

USER = "evercast-test"
"""The ordinary user that submits jobs in tests."""


def must_have_all() -> bool:
    """Return whether tests fail, instead of being left out, where a program is missing."""
    return os.environ.get("EVERCAST_PLATFORM") == "required" or bool(os.environ.get("CI"))


@functools.cache
def lacking_programs() -> dict[str, str]:
    """Return mark -> why its tests cannot run on this machine."""
    missing = {}
    if shutil.which("apptainer") is None:
        missing["container"] = "there is no apptainer"
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
