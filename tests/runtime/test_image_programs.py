"""What a build asks of the machine, and what of the machine goes into it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit, InvalidInput, RunFailed, UsageError
from evercast.runtime.image_index import bind_index
from evercast.runtime.image_programs import apptainer_for_images, debian_address, program, run_step
from evercast.runtime.image_sources import FIRST_DAY, gather_sources
from evercast.runtime.image_tree import clean_tree


def script(folder: Path, name: str, text: str) -> None:
    """A program of the machine that says something."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_without_apptainer_there_is_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit) as caught:
        apptainer_for_images()
    assert caught.value.code == "container.no-runtime"


@pytest.mark.parametrize("version", ["apptainer version 1.1.9", "singularity version 1.2", "no answer"])
def test_an_old_apptainer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    script(tmp_path, "apptainer", f"echo '{version}'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match=version) as caught:
        apptainer_for_images()
    assert caught.value.code == "container.too-old"


def test_a_new_apptainer_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "apptainer", "echo 'apptainer version 1.10.0-rc1'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apptainer_for_images() == str(tmp_path / "apptainer")


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(EnvironmentUnfit, match="install the package squashfs-tools"):
        program("mksquashfs-of-nobody", package="squashfs-tools")


def test_a_failed_step_gives_the_last_words_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(RunFailed, match="exit code 3") as caught:
        run_step("packing", ["sh", "-c", "echo reason; exit 3"], folder=tmp_path, log=log)
    assert "reason" in str(caught.value)
    assert caught.value.where == str(log)
    assert log.read_text() == "reason\n"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo 'write failed: No space left on device'; exit 1"]
    with pytest.raises(EnvironmentUnfit) as caught:
        run_step("packing", words, folder=tmp_path, log=tmp_path / "log")
    assert caught.value.code == "disk.full"


def test_without_debian_sources_a_mirror_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(
        tmp_path,
        "apt-get",
        "echo 'Other Debian https://example.org/x'; echo 'Debian Debian-Security https://example.org/s'",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match="--mirror URL"):
        debian_address()
    script(tmp_path, "apt-get", "echo 'Debian Debian https://example.org/debian/'")
    assert debian_address() == "https://example.org/debian"


def test_settings_of_pip_are_bound_and_local_indexes_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels, certificates = tmp_path / "wheels", tmp_path / "ca.pem"
    wheels.mkdir()
    certificates.write_text("certificate")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nextra-index-url = file:///nowhere https://example.org/simple\nfind-links = {wheels} /nowhere\n"
        f"cert = {certificates}\n"
    )
    for name in ("PIP_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    binds = bind_index(tmp_path / "index", cache=tmp_path / "cache")
    assert binds == [f"{tmp_path}/index:/mnt:ro", f"{tmp_path}/cache:/mnt/cache", f"{wheels}:/mnt/links0:ro"]
    question = [sys.executable, "-m", "pip", "config", "list"]
    environment = {"PIP_CONFIG_FILE": str(tmp_path / "index" / "pip.conf"), "HOME": str(tmp_path)}
    said = subprocess.run(question, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "global.cert='/mnt/certificates.pem'" in said
    assert "global.extra-index-url='https://example.org/simple'" in said
    assert "global.find-links='\\n/mnt/links0'" in said
    assert (tmp_path / "index" / "certificates.pem").read_text() == "certificate"


def test_an_unknown_image_lists_the_recipes_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it has: evercast, evercast-gpu"):
        gather_sources("tools", recipe=None, wheel=None, folder=tmp_path, log=tmp_path / "log")


@pytest.mark.parametrize("content", [b"", b"echo hello\n", b"\xff\xfe"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: bytes) -> None:
    (recipe := tmp_path / "x.def").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        gather_sources("tools", recipe=recipe, wheel=None, folder=tmp_path, log=tmp_path / "log")
    assert caught.value.code == "image.recipe"


def test_a_recipe_without_evercast_has_no_revision_and_the_first_day(tmp_path: Path) -> None:
    (recipe := tmp_path / "x.def").write_text("Bootstrap: scratch\n")
    sources = gather_sources("tools", recipe=recipe, wheel=None, folder=tmp_path, log=tmp_path / "log")
    assert (sources.revision, sources.epoch, sources.wheel, sources.requirements) == (None, FIRST_DAY, None, None)


def test_something_else_than_a_wheel_of_evercast_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other-1.0-py3-none-any.whl").touch()
    with pytest.raises(InvalidInput) as caught:
        gather_sources(
            "evercast",
            recipe=None,
            wheel=tmp_path / "other-1.0-py3-none-any.whl",
            folder=tmp_path,
            log=tmp_path / "log",
        )
    assert caught.value.code == "image.wheel"


@pytest.mark.parametrize("name", ["evercast", "evercast-gpu"])
def test_the_shipped_recipes_use_the_lock_file_they_name(repository: Path, tmp_path: Path, name: str) -> None:
    wheel = tmp_path / "evercast-9-py3-none-any.whl"
    wheel.touch()
    recipe = repository / "containers" / f"{name}.def"
    sources = gather_sources(name, recipe=recipe, wheel=wheel, folder=tmp_path, log=tmp_path / "log")
    assert sources.arguments == {"MIRROR", "REQUIREMENTS", "WHEEL"}
    assert sources.requirements is not None
    text = sources.requirements.read_text()
    assert ("jax-cuda12-plugin==" in text) == (name == "evercast-gpu")
    assert "http" not in text


def test_both_lock_files_agree_on_what_they_share(repository: Path) -> None:
    def versions(name: str) -> set[str]:
        lines = (repository / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line and not line.startswith(("#", " "))}

    names = {version.split("==")[0] for version in versions("gpu.txt") - versions("run.txt")}
    assert all(name.startswith(("nvidia-", "jax-cuda")) for name in names), names


def test_a_tree_loses_what_differs_between_two_builds(tmp_path: Path) -> None:
    for name in ("etc/apt", "var/log", "tmp/x", "root/.cache", "opt/evercast", ".singularity.d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/shadow").write_text("root:*:20414:0:99999:7:::\n_apt:!:20414:0::::\n")
    (tmp_path / "etc/resolv.conf").symlink_to("/run/resolv.conf")
    (tmp_path / "etc/hostname").write_text("builder\n")
    (tmp_path / "etc/apt/sources.list").write_text("deb https://example.org stable main\n")
    (tmp_path / "var/log/dpkg.log").write_text("today\n")
    (tmp_path / "opt/evercast/kept").write_text("kept")
    (tmp_path / ".singularity.d/labels.json").write_text('{"mirrorurl": "https://example.org"}')
    clean_tree(tmp_path, definition="Bootstrap: scratch\n", labels={"b": "1", "a": "2"})
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "etc/shadow": "root:*:1:0:99999:7:::\n_apt:!:1:0::::\n",
        "etc/resolv.conf": "",
        "etc/hostname": "",
        "opt/evercast/kept": "kept",
        ".singularity.d/labels.json": '{\n "a": "2",\n "b": "1"\n}\n',
        ".singularity.d/Singularity": "Bootstrap: scratch\n",
    }
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "root").iterdir()) == []


def test_the_wheel_brings_recipes_and_lock_files(repository: Path, tmp_path: Path) -> None:
    import zipfile  # noqa: PLC0415 - this test only

    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
    ]
    source = tmp_path / "source"
    shutil.copytree(
        repository, source, ignore=shutil.ignore_patterns(".*", "results", "site", "data-cache", "specs", "tests")
    )
    subprocess.run([*build, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("evercast-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"containers/evercast.def", "containers/images.yaml", "requirements/run.txt", "requirements/gpu.txt"}
    assert {f"evercast/_workflow/{name}" for name in expected} <= names
