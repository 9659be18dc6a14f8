"""Containers of extra stages: how an image is named, found and counted. Apptainer is played by a script.

What a real one does is under test in tests/platform.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import command, freeze, named

from evercast.errors import EvercastError
from evercast.plan import Unit
from evercast.plan.recipes import CommandRecipe
from evercast.runtime.execute import execute_unit
from evercast.runtime.plans import FrozenPlan

DIGEST = "sha256:" + 4 * "0123456789abcdef"


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that gets the command line of a container, whose command then runs outside of any."""
    line, programs = tmp_path / "line.txt", tmp_path / "programs"
    programs.mkdir()
    script = programs / "apptainer"
    script.write_text(
        '#!/bin/bash\nif test "$1" = --version; then echo apptainer version 1.4.5; exit; fi\n'
        f'printf \'%s\\n\' "$@" > \'{line}\'\nuntil test "$1" = bash; do shift; done\nexec "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return line


def with_image(folder: Path, image: str, content: str = "an image") -> FrozenPlan:
    """The frozen plan of a document with a stage in a container, and a file that is one."""
    file = folder / "analysis" / "images" / "tools.sif"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return freeze(folder, {"inside": command("echo x > {outputs.out}", container=image)})


def unit(frozen: FrozenPlan) -> Unit:
    return named(frozen, "inside")


def image_of(line: Path) -> str:
    words = line.read_text().splitlines()
    return words[words.index("bash") - 1]


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (f"docker://ghcr.io/group/tools@{DIGEST}", f"docker://ghcr.io/group/tools@{DIGEST}"),
        (f"ghcr.io/group/tools:2@{DIGEST}", f"docker://ghcr.io/group/tools:2@{DIGEST}"),
        (f"oras://ghcr.io/group/tools@{DIGEST}", f"oras://ghcr.io/group/tools@{DIGEST}"),
    ],
)
def test_an_image_of_a_registry_is_named_as_apptainer_takes_it(
    tmp_path: Path, said: Path, text: str, reference: str
) -> None:
    frozen = with_image(tmp_path, text)
    execute_unit(frozen, unit(frozen))
    assert image_of(said) == reference


def test_the_content_of_an_image_counts_and_its_name_does_not(tmp_path: Path) -> None:
    first = unit(with_image(tmp_path / "a", "images/tools.sif"))
    same = unit(with_image(tmp_path / "b", "images/tools.sif"))
    (tmp_path / "c" / "analysis").mkdir(parents=True)
    (tmp_path / "c" / "analysis" / "other.sif").write_text("an image")
    renamed = unit(with_image(tmp_path / "c", "other.sif"))
    other = unit(with_image(tmp_path / "d", "images/tools.sif", "another image"))
    assert first.key == same.key == renamed.key
    assert other.key != first.key
    assert isinstance(first.recipe, CommandRecipe)
    assert first.recipe.container is None


def test_an_image_that_changed_since_the_plan_is_refused(tmp_path: Path, said: Path) -> None:
    frozen = with_image(tmp_path, "images/tools.sif")
    (tmp_path / "analysis" / "images" / "tools.sif").write_text("another image")
    with pytest.raises(EvercastError) as caught:
        execute_unit(frozen, unit(frozen))
    assert caught.value.code == "plan.file-changed"
    assert not said.exists()
