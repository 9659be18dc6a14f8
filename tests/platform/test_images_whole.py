"""The image of evercast itself: built once a session, and once more to compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from evercast import __version__
from evercast.artifacts.files import sha256_file
from evercast.runtime.image_store import ImageStore
from evercast.runtime.images import find_record, resolve_image
from evercast.runtime.sif import PARTITION, read_sif

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

INSIDE = ("--containall", "--cleanenv", "--no-home", "--net", "--network", "none")


@pytest.fixture(scope="module")
def image(image_store: Path) -> Path:
    """The image of evercast."""
    found = resolve_image("evercast", None, store=ImageStore(image_store)).file
    assert found is not None
    return found


def inside(image: Path, *words: str) -> str:
    """What a command prints in the image, cut off from network, home and environment."""
    line = ["apptainer", "exec", *INSIDE, str(image), *words]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_labels_say_what_is_inside(image_store: Path, repository: Path, image: Path) -> None:
    record = find_record("evercast", None, store=ImageStore(image_store))
    assert record.labels.version == __version__
    assert record.labels.requirements == sha256_file(repository / "requirements" / "run.txt")
    assert inside(image, "evercast", "--version") == f"evercast {__version__}\n"
    assert set(read_sif(image).labels) >= {"org.opencontainers.image.title", "evercast.requirements.sha256"}


def test_the_locked_packages_are_inside_and_compiled(image: Path) -> None:
    code = "import jax, sys; print(jax.__file__, jax.__cached__)"
    file, compiled = inside(image, "python", "-I", "-B", "-c", code).split()
    assert file.startswith("/opt/evercast/")
    assert inside(image, "ls", compiled).strip() == compiled


def test_nothing_tells_where_it_was_built(image: Path, tmp_path: Path) -> None:
    (offset,) = (item.offset for item in read_sif(image).objects if item.kind == PARTITION)
    tree = tmp_path / "tree"
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-o", str(offset), "-d", tree, image], check=True)
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    words = [word.strip("'") for line in settings.stdout.splitlines() for word in line.split("=", 1)[1].split()]
    places = [word for word in words if "/" in word and not word.startswith("/etc/ssl")]
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    answer = subprocess.run(targets, capture_output=True, text=True, check=False).stdout.split()
    mirrors = {mirror.rstrip("/") for mirror in answer}
    for place in {*places, *mirrors, str(Path(tempfile.gettempdir()) / "evercast-image-")}:
        found = subprocess.run(["grep", "-rlF", "--", place, tree], capture_output=True, text=True, check=False)
        # packages name the address of Debian itself, which may be the mirror
        known = ("/usr/share/", "/usr/lib/dpkg/", "/usr/lib/python3", "/opt/evercast/lib") if place in mirrors else ()
        written = [line for line in found.stdout.splitlines() if not any(part in line for part in known)]
        assert written == [], place
    assert not (tree / "etc/apt/sources.list").exists()
    assert not any((tree / "etc/apt/sources.list.d").glob("*"))


def test_a_second_build_gives_the_same_sha256(image: Path, repository: Path, tmp_path: Path) -> None:
    again = built(repository, tmp_path / "again")
    first = find_record("evercast", None, store=ImageStore(image.parent))
    # the store outlives the session: its image may be of an earlier commit with the same source
    same_commit = first.labels.revision == again["labels"]["revision"]
    sha256 = first.sha256 if same_commit else built(repository, tmp_path / "first")["sha256"]
    assert again["sha256"] == sha256


def built(repository: Path, store: Path) -> dict[str, Any]:
    """What the command that builds the image into an empty store says."""
    store.mkdir()
    build = [sys.executable, "-m", "evercast", "image", "build", "evercast", "--json"]
    environment = {**os.environ, "EVERCAST_IMAGES": str(store)}
    ended = subprocess.run(build, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    return dict(json.loads(ended.stdout))
