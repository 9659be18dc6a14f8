"""Where the Snakefile and the profiles are: in the source tree, or inside the installed package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import evercast
from evercast.errors import EnvironmentUnfit, UsageError

__all__ = ["named_profile", "profile_folder", "snakefile", "workflow_root"]

_PROFILE_FILE: Final = re.compile(r"(?:profile|config)(?:\.v\d+\+)?\.yaml")
"""What Snakemake takes for the file of a profile."""


def workflow_root() -> Path:
    """Return the folder that holds ``Snakefile`` and ``workflow/``.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    package = Path(evercast.__file__).resolve().parent
    for root in (package / "_workflow", package.parents[1]):
        if (root / "Snakefile").is_file() and (root / "workflow" / "rules").is_dir():
            return root
    raise EnvironmentUnfit(
        f"the Snakefile is neither in {package / '_workflow'} nor in {package.parents[1]}",
        code="run.no-workflow",
        hint="install evercast again",
    )


def snakefile() -> Path:
    """Return the Snakefile.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    return workflow_root() / "Snakefile"


def profile_folder(profile: str) -> Path:
    """Return the folder of a profile.

    Args:
        profile: a path, or the name of one that comes with evercast or that lies where Snakemake looks for names.

    Raises:
        UsageError: ``run.no-profile``; Snakemake itself would go on without a word.
    """
    shipped = workflow_root() / "workflow" / "profiles"
    for folder in (Path(profile), shipped / profile):
        if (folder / "config.yaml").is_file():
            return folder
    if (named := named_profile(profile)) is not None:
        return named
    names = ", ".join(sorted(path.name for path in shipped.iterdir() if (path / "config.yaml").is_file()))
    raise UsageError(
        f"there is no profile {profile!r}; evercast has {names}",
        code="run.no-profile",
        hint="give one of these names or a folder with a config.yaml",
    )


def named_profile(name: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of the profile that Snakemake means by a name that is no path here; None where there is none.

    It looks into ``~/.config/snakemake``, where XDG_CONFIG_HOME says nothing else, then into ``/etc/xdg/snakemake``.

    Args:
        name: as given to ``--profile``.
        environment: where variables are looked up; that of the process where None.
    """
    variables = os.environ if environment is None else environment
    own = variables.get("XDG_CONFIG_HOME", "").strip() or str(Path.home() / ".config")
    site = variables.get("XDG_CONFIG_DIRS", "").strip() or "/etc/xdg"
    for place in (own, site.split(os.pathsep)[0]):
        found = Path(place) / "snakemake" / name
        if found.is_file():
            return found.parent
        if found.is_dir() and any(_PROFILE_FILE.fullmatch(path.name) for path in found.iterdir()):
            return found
    return None
