"""A real cluster, an ordinary user and a real image for the tests of this folder; all are made once per session."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_programs import USER, OrdinaryUser, lacking_programs, own_name, user_exists

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("EVERCAST_TEST_CACHE", "/var/tmp/evercast-tests"))  # noqa: S108 - survives the session, readable by all
ONE_DAY_SECONDS = 86_400


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Hold a lock of this machine: the processes of a test session share what they make."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def cluster() -> None:
    """A SLURM cluster that answers; where tests must run and there is none, this is where they fail."""
    reason = lacking_programs().get("slurm")
    assert reason is None, f"{reason}; .ci/run starts a cluster"


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest keeps its own ones closed. It is gone after the session."""
    (CACHE / "runs").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE / "runs"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ordinary_user(open_folder: Path) -> OrdinaryUser:
    """The user who submits, with a Python that this user can run."""
    if os.geteuid() != 0:
        return OrdinaryUser(name=own_name(), python=ROOT / ".venv" / "bin" / "python", home=Path.home())
    with one_at_a_time("user"):
        if not user_exists(USER):
            subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/bash", USER], check=True)
            _register(USER)
    user = OrdinaryUser(name=USER, python=_python_for(USER), home=open_folder / "home")
    user.folder(user.home)
    return user


def _register(user: str) -> None:
    """Give a new user an account, where the cluster keeps accounts and lets us."""
    if shutil.which("sacctmgr"):
        subprocess.run(
            ["sacctmgr", "--immediate", "add", "user", user, "Account=tests"],
            capture_output=True,
            timeout=30,
            check=False,
        )


def _python_for(user: str) -> Path:
    """Return a Python with evercast that a user can run: ours, or one made for it below a folder that all may read."""
    own = ROOT / ".venv" / "bin" / "python"
    question = [*("runuser", "-u", user, "--", own, "-P", "-c"), "import evercast, snakemake, jax"]
    if subprocess.run(question, capture_output=True, check=False, cwd="/").returncode == 0:
        return own
    return _installed(_locked_packages())


def _locked_packages() -> Path:
    """Return a virtual environment of the locked packages without evercast; kept until the lock file changes."""
    lock = ROOT / "requirements" / "run.txt"
    base = Path("/usr/bin/python3")
    said = subprocess.run([base, "--version"], capture_output=True, text=True, check=True).stdout
    folder = CACHE / f"packages-{hashlib.sha256(lock.read_bytes() + said.encode()).hexdigest()[:16]}"
    with one_at_a_time("packages"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([base, "-m", "venv", folder], check=True)
            install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes"]
            subprocess.run([*install, "--requirement", lock], check=True)
            (folder / "complete").touch()
    return folder


def _installed(packages: Path) -> Path:
    """Return the Python of an environment that has evercast as it is now, and the packages of another environment."""
    found = next((packages / "lib").glob("python3.*"))
    folder = CACHE / f"evercast-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    with one_at_a_time("evercast"):
        if not (folder / "complete").exists():
            for old in CACHE.glob("evercast-*/"):
                if time.time() - old.stat().st_mtime > ONE_DAY_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
            subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder], check=True)
            site = folder / "lib" / found.name / "site-packages"
            (site / "packages.pth").write_text(f"{found / 'site-packages'}\n")
            shutil.copytree(ROOT / "src" / "evercast", site / "evercast", ignore=shutil.ignore_patterns("__pycache__"))
            stated = importlib.metadata.distribution("evercast").locate_file("")
            for description in Path(str(stated)).glob("evercast-*.dist-info"):
                shutil.copytree(description, site / description.name)
            shutil.copytree(ROOT / "workflow", site / "evercast" / "_workflow" / "workflow")
            shutil.copy(ROOT / "Snakefile", site / "evercast" / "_workflow")
            for program in ("evercast", "snakemake"):
                script = folder / "bin" / program
                script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -P -m {program} "$@"\n')
                script.chmod(0o755)
            (folder / "complete").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def image_store() -> Path:
    """A store that all may read, whose ``images.yaml`` names the image `evercast`, built from this source."""
    reason = lacking_programs().get("container")
    assert reason is None, f"{reason}; .ci/platform/apptainer.sh installs it"
    named = os.environ.get("EVERCAST_TEST_IMAGES")
    if named is not None:
        return Path(named)
    store = CACHE / "images"
    with one_at_a_time("images"):
        if not (store / f"{_source_digest()}.built").exists():
            shutil.rmtree(store, ignore_errors=True)
            store.mkdir(mode=0o755)
            build = [sys.executable, "-m", "evercast", "image", "build", "evercast"]
            subprocess.run(build, cwd=ROOT, env={**os.environ, "EVERCAST_IMAGES": str(store)}, check=True)
            (store / f"{_source_digest()}.built").touch()
    return store


def _source_digest() -> str:
    """Return what tells one state of the source from another."""
    files = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "src").rglob("*.json"))]
    files += [ROOT / "requirements" / "run.txt", *sorted((ROOT / "containers").glob("*.def"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
