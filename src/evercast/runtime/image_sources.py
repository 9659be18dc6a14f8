"""What an image is built from: recipe, lock file and evercast itself, of one commit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit, InvalidInput, UsageError
from evercast.runtime.image_programs import run_step
from evercast.runtime.workflow_files import workflow_root

__all__ = ["BuildSources", "gather_sources"]

FIRST_DAY: Final = 315_532_800
"""1 January 1980: the time written into an image that is made of no commit; archives know none before."""
_ARGUMENT: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PACKED: Final = (
    "src",
    "workflow",
    "containers",
    "requirements",
    "Snakefile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
_LOCK: Final = re.compile(r"^\s*REQUIREMENTS=(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSources:
    """What goes into a build.

    Args:
        recipe: the definition file.
        arguments: names in braces that the recipe uses.
        requirements: lock file of the Python packages; None where the recipe uses none.
        wheel: evercast as a package; None where the recipe uses none.
        revision: commit of the source; None outside a checkout.
        epoch: seconds since 1970 that stand for every time in the image.
        uncommitted: files that differ from the commit, and are not in the image.
    """

    recipe: Path
    arguments: frozenset[str]
    requirements: Path | None
    wheel: Path | None
    revision: str | None
    epoch: int
    uncommitted: Sequence[str]


def gather_sources(name: str, *, recipe: Path | None, wheel: Path | None, folder: Path, log: Path) -> BuildSources:
    """Return what an image is built from, put into `folder` where it has to be made.

    In a checkout of the source everything is taken from its last commit; in a source tree without history, from the
    files that are there.

    Args:
        name: of the image; its recipe is ``containers/NAME.def`` of evercast unless `recipe` is given.
        recipe: the definition file.
        wheel: evercast as a package file; made from the checkout where None.
        folder: gets what is made.
        log: gets the output of programs.

    Raises:
        UsageError: ``image.no-recipe``, with the names there are.
        InvalidInput: ``image.recipe`` or ``image.wheel``: not a file of that kind.
        EnvironmentUnfit: ``image.no-source``: neither a checkout nor a wheel.
        RunFailed: ``image.build-failed``.
    """
    tree = _source_tree()
    root, revision, epoch = workflow_root(), None, FIRST_DAY
    uncommitted: Sequence[str] = ()
    if tree is not None:
        root = folder / "source"
        if (tree / ".git").exists():
            revision, epoch = _commit(tree)
            _export(tree, revision, root)
            uncommitted = _git(tree, "diff", "--name-only", "HEAD").splitlines()
        else:
            _copy(tree, root)
    definition = recipe.absolute() if recipe is not None else _shipped_recipe(name, root)
    text = _recipe_text(definition)
    arguments = frozenset(_ARGUMENT.findall(text))
    if "WHEEL" in arguments:
        wheel = _wheel(wheel, source=root if tree else None, epoch=epoch, folder=folder, log=log)
    lock = _LOCK.search(text)
    return BuildSources(
        recipe=definition, arguments=arguments, requirements=root / lock[1] if lock else None,
        wheel=wheel if "WHEEL" in arguments else None, revision=revision if "WHEEL" in arguments else None,
        epoch=epoch if "WHEEL" in arguments else FIRST_DAY, uncommitted=uncommitted if "WHEEL" in arguments else (),
    )  # fmt: skip


def _source_tree() -> Path | None:
    """Return the source tree that this evercast runs from; None where it is installed."""
    root = workflow_root()
    return root if (root / "pyproject.toml").is_file() else None


def _copy(tree: Path, target: Path) -> None:
    """Copy what a package and an image are made of."""
    target.mkdir()
    for name in _PACKED:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target / name)


def _commit(checkout: Path) -> tuple[str, int]:
    revision, seconds = _git(checkout, "log", "-1", "--format=%H %ct").split()
    return revision, int(seconds)


def _export(checkout: Path, revision: str, target: Path) -> None:
    """Write the files of a commit into a folder."""
    target.mkdir()
    archive = target.with_suffix(".tar")
    _git(checkout, "archive", "--output", str(archive), revision)
    shutil.unpack_archive(archive, target, filter="data")
    archive.unlink()


def _git(checkout: Path, *words: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise EnvironmentUnfit("there is no git on this machine", code="image.no-program", hint="install git")
    trusted = ("-c", f"safe.directory={checkout}")  # it is the source that runs already, whoever owns it
    answer = subprocess.run([git, *trusted, "-C", str(checkout), *words], capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        reason = f"git does not read the source: {answer.stderr.strip()}"
        raise EnvironmentUnfit(reason, code="image.no-source", where=str(checkout))
    return answer.stdout.strip()


def _shipped_recipe(name: str, root: Path) -> Path:
    file = root / "containers" / f"{name}.def"
    if not file.is_file():
        names = ", ".join(sorted(path.stem for path in (root / "containers").glob("*.def"))) or "none"
        raise UsageError(
            f"evercast has no recipe for an image {name!r}; it has: {names}",
            code="image.no-recipe",
            hint="name a recipe of your own: --recipe FILE",
        )
    return file


def _recipe_text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidInput("the recipe cannot be read as text", code="image.recipe", where=str(file)) from err
    if not re.search(r"^\s*bootstrap\s*:", text, re.IGNORECASE | re.MULTILINE):
        reason = "this is no recipe of an image: it has no line 'Bootstrap: ...'"
        raise InvalidInput(reason, code="image.recipe", where=str(file))
    return text


def _wheel(wheel: Path | None, *, source: Path | None, epoch: int, folder: Path, log: Path) -> Path:
    if wheel is not None:
        if not (wheel.is_file() and wheel.name.startswith("evercast-") and wheel.suffix == ".whl"):
            raise InvalidInput(
                "this is no wheel of evercast; expected a file evercast-VERSION-py3-none-any.whl",
                code="image.wheel",
                where=str(wheel),
            )
        return wheel.absolute()
    if source is None:
        raise EnvironmentUnfit(
            "this evercast is installed, and an image needs it as a package file",
            code="image.no-source",
            hint="name it: --wheel evercast-VERSION-py3-none-any.whl; or build from a checkout of the source",
        )
    made = folder / "wheel"
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made)]
    run_step(
        "packing evercast",
        [*command, str(source)],
        folder=folder,
        log=log,
        environment={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    return next(made.glob("evercast-*.whl"))
