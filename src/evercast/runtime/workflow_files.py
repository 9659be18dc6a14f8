"""Where the Snakefile and the profiles are: in the source tree, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

import evercast
from evercast.errors import EnvironmentUnfit, UsageError

__all__ = ["profile_folder", "snakefile", "workflow_root"]


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
        profile: a path, or the name of one that comes with evercast.

    Raises:
        UsageError: ``run.no-profile``; Snakemake itself would go on without a word.
    """
    shipped = workflow_root() / "workflow" / "profiles"
    for folder in (Path(profile), shipped / profile):
        if (folder / "config.yaml").is_file():
            return folder
    names = ", ".join(sorted(path.name for path in shipped.iterdir() if (path / "config.yaml").is_file()))
    raise UsageError(
        f"there is no profile {profile!r}; evercast has {names}",
        code="run.no-profile",
        hint="give one of these names or a folder with a config.yaml",
    )
