"""Runs a program in a container: what it sees of the host, what it may use, and why it ended."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from evercast.artifacts.files import disk_errors
from evercast.errors import EnvironmentUnfit
from evercast.runtime.apptainer import ISOLATION, Isolation, Mount, Runtime, container_command, host_environment
from evercast.runtime.container_ends import why_it_failed
from evercast.runtime.images import LockedImage
from evercast.runtime.processes import Ended, process_tree, run_logged
from evercast.runtime.receipts import ContainerRecord
from evercast.runtime.site import Site

__all__ = ["Container", "Private", "folded", "private_folders", "record_of", "run_contained"]

_FEW: Final = 64
"""From so many inputs on that lie in one folder, the folder is bound instead of each."""
_LOOK_AT_DISK_EVERY: Final = 10
"""The size of the private folders is taken at each tenth look of the guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that a unit is computed in.

    Args:
        name: what the document or the run calls the image.
        scratch: folder in which the private folders are made, unless the site names another.
        shared: folders of the run that hold many inputs; one of them is bound where a unit reads more than a few.
    """

    name: str
    image: LockedImage
    runtime: Runtime
    site: Site
    scratch: Path
    shared: tuple[Path, ...] = ()
    gpus: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Private:
    """Folders of the host that one container has for itself; they are removed after it."""

    root: Path

    @property
    def home(self) -> Path:
        """Its home."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """Holds its ``/tmp`` and ``/var/tmp``."""
        return self.root / "temporary"

    @property
    def memory(self) -> Path:
        """Is its ``/dev/shm``, which would otherwise be half of the memory of the machine."""
        return self.root / "memory"

    @property
    def work(self) -> Path:
        """Its working folder, under the same name inside."""
        return self.root / "work"


@contextmanager
def private_folders(container: Container) -> Iterator[Private]:
    """Make the private folders of a container for the block.

    Raises:
        EnvironmentUnfit: ``container.scratch``, or the disk refuses.
    """
    place = _scratch(container)
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        private = Private(Path(tempfile.mkdtemp(prefix="container-", dir=place)).resolve())
        for folder in (private.home, private.temporary, private.memory, private.work):
            folder.mkdir(mode=0o700)
    try:
        yield private
    finally:
        shutil.rmtree(private.root, ignore_errors=True)


def _scratch(container: Container) -> Path:
    wanted = container.site.scratch
    if wanted is None:
        return container.scratch
    if not wanted.startswith("$"):
        return Path(wanted)
    variable, _, rest = wanted.removeprefix("$").partition("/")
    if not (value := os.environ.get(variable)):
        raise EnvironmentUnfit(
            f"the site keeps private folders of containers in {wanted}, and ${variable} is not set here",
            code="container.scratch",
            hint="correct `scratch` in the site.yaml of the profile",
        )
    return Path(value) / rest


def run_contained(
    command: Sequence[str],
    *,
    container: Container,
    private: Private,
    inputs: Iterable[Path],
    writable: Iterable[Path],
    variables: Mapping[str, str],
    log: BinaryIO,
    stop: Callable[[], bool] | None = None,
) -> Ended:
    """Run a command in a container and return how it ended.

    Args:
        command: program and arguments inside.
        container: where.
        private: its private folders, from `private_folders`.
        inputs: files and folders that it may read, under the same names.
        writable: folders that it may write besides its private ones.
        variables: environment variables besides those that every container has.
        log: gets what it prints, up to a limit.
        stop: is asked ten times a second whether to stop it.

    Raises:
        EnvironmentUnfit: it could not be started, or was stopped at a limit.
    """
    isolation = _isolation(container, private=private, inputs=inputs, writable=writable, variables=variables)
    arguments = container_command(
        command, program=container.runtime.program, image=container.image.argument, isolation=isolation
    )
    ended = run_logged(
        arguments, folder=private.root, environment=host_environment(), log=log, leashed=True,
        guard=_guard(container.site, private, stop=stop), limits=_limits(container.site),
    )  # fmt: skip
    failure = why_it_failed(ended, image=container.image)
    if failure is not None:
        raise failure
    return ended


def folded(paths: Iterable[Path], *, shared: Iterable[Path]) -> tuple[Path, ...]:
    """Return what is bound for the inputs: each of them, or the shared folder in which very many lie."""
    left = list(dict.fromkeys(paths))
    bound: list[Path] = []
    for folder in shared:
        inside = [path for path in left if path.is_relative_to(folder)]
        if len(inside) > _FEW:
            bound.append(folder)
            left = [path for path in left if not path.is_relative_to(folder)]
    return (*bound, *left)


def record_of(container: Container, *, network_attempts: int | None = None) -> ContainerRecord:
    """Return what a receipt says of a container, and of how often something in it wanted the network."""
    return ContainerRecord(
        image=container.name,
        sha256=container.image.sha256,
        apptainer=container.runtime.version,
        flags=(*ISOLATION, "--nv") if container.gpus else ISOLATION,
        network_attempts=network_attempts,
    )


def _isolation(
    container: Container, *, private: Private, inputs: Iterable[Path], writable: Iterable[Path],
    variables: Mapping[str, str],
) -> Isolation:  # fmt: skip
    binds, credentials = _of_site(container.site)
    mounts = [Mount(path) for path in folded(inputs, shared=container.shared)]
    mounts += [Mount(path, writable=True) for path in (private.work, *writable)]
    mounts.append(Mount(private.memory, writable=True, inside="/dev/shm"))  # noqa: S108 - where programs look for it
    return Isolation(
        mounts=(*mounts, *binds),
        scratch=private.temporary,
        home=private.home,
        folder=private.work,
        environment={**_variables(container), **credentials, **variables},
        gpus=container.gpus,
    )


def _of_site(site: Site) -> tuple[list[Mount], dict[str, str]]:
    """Return the binds of a site and the variables that name its credentials.

    Raises:
        EnvironmentUnfit: ``container.bind`` or ``container.credential``: something needed is not there.
    """
    mounts, variables = [], {}
    for bind in site.binds:
        if Path(bind.path).exists():  # automounted file systems are mounted by this look
            mounts.append(Mount(Path(bind.path), writable=bind.writable))
        elif bind.needed:
            raise EnvironmentUnfit(
                f"the site binds {bind.path} into every container and it is not on this machine",
                code="container.bind",
                hint="correct `binds` in the site.yaml of the profile, or say needed: false there",
            )
    for credential in site.credentials:
        named = os.environ.get(credential.variable, "")
        if Path(named).is_file():
            mounts.append(Mount(Path(named).resolve(), inside=named))
            variables[credential.variable] = named
        elif credential.needed:
            raise EnvironmentUnfit(
                f"${credential.variable} must name a file that stages need; it is {named!r}",
                code="container.credential",
                hint="renew the credential, and see that the variable reaches the job",
            )
    return mounts, variables


def _variables(container: Container) -> dict[str, str]:
    """Return the variables that every container has; nothing else of the host's environment is inside."""
    variables = {"LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108 - private to the container
    for library in ("OMP", "OPENBLAS", "MKL"):
        variables[f"{library}_NUM_THREADS"] = str(container.threads)
    if not container.gpus:
        variables["JAX_PLATFORMS"] = "cpu"
    for name in ("SLURM_JOB_ID", *(["CUDA_VISIBLE_DEVICES"] if container.gpus else [])):
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def _guard(site: Site, private: Private, *, stop: Callable[[], bool] | None) -> Callable[[int], str | None]:
    """Return what looks after a running container: number of processes, size of its private folders."""
    looks = 0

    def ask(pid: int) -> str | None:
        nonlocal looks
        looks += 1
        if stop is not None and stop():
            return "it was not needed any more"
        count = len(process_tree(pid))
        if count > site.limits.processes:
            return f"it had {count} processes; a container may have {site.limits.processes}"
        if looks % _LOOK_AT_DISK_EVERY:
            return None
        size = _size_mb(private.root)
        if size > site.limits.temporary_mb:
            return f"its private /tmp and home held {size:.0f} MB; they may hold {site.limits.temporary_mb} MB"
        return None

    return ask


def _size_mb(folder: Path) -> float:
    total, stack = 0, [folder]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue  # removed meanwhile
    return total / 1e6


def _limits(site: Site) -> dict[int, int]:
    """Return the limit on the processes of this user that stands as a wall behind the guard.

    The kernel counts all processes and threads of a user on the machine, so the limit is set that far above what it
    counts now, and it does not hold for root.
    """
    return {resource.RLIMIT_NPROC: _own_threads() + 2 * site.limits.processes}


def _own_threads() -> int:
    me, count = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == me:
                count += len(os.listdir(process / "task"))  # noqa: PTH208 - names only, for many
        except OSError:
            continue  # ended meanwhile
    return count
