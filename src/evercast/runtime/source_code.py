"""The source of the running evercast as one file: the same source gives the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import evercast
from evercast.runtime.workflow_files import workflow_root

__all__ = ["SourceCode", "packed_source", "source_digest", "source_files", "source_revision"]

_TOP: Final = (
    "Snakefile", "workflow", "containers", "requirements", "pyproject.toml", "README.md", "LICENSE", "CITATION.cff",
    "CHANGELOG.md",
)  # fmt: skip
_LEFT_OUT: Final = frozenset({"__pycache__", "_workflow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCode:
    """The source of evercast.

    Args:
        name: of the file, ``evercast-VERSION.tar.gz``.
        content: gzip of a tar file with one folder, ``evercast-VERSION``; ``src`` in it can be put on Python's path.
        revision: commit of the checkout; None outside one.
        modified: whether files differ from that commit.
    """

    name: str
    content: bytes
    revision: str | None
    modified: bool


def packed_source() -> SourceCode:
    """Return the source that is running, packed without times, owners and what Python compiled.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    folder = f"evercast-{evercast.__version__}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for name, path in source_files().items():
            content = path.read_bytes()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(content), 0o755 if path.suffix == ".sh" else 0o644
            packed.addfile(member, io.BytesIO(content))
    revision, modified = source_revision()
    return SourceCode(
        name=f"{folder}.tar.gz", content=gzip.compress(buffer.getvalue(), mtime=0), revision=revision,
        modified=modified,
    )  # fmt: skip


def source_digest() -> str:
    """Return the sha256 of the names and digests of the source files.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in source_files().items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def source_files() -> Mapping[str, Path]:
    """Return name -> file of the source that is running, laid out as in a checkout, in order.

    Raises:
        EnvironmentUnfit: ``run.no-workflow``.
    """
    package, root = Path(evercast.__file__).resolve().parent, workflow_root()
    files = {f"src/evercast/{path.relative_to(package).as_posix()}": path for path in _below(package)}
    for name in _TOP:
        top = root / name
        files |= {path.relative_to(root).as_posix(): path for path in (_below(top) if top.is_dir() else [top])}
    return {name: files[name] for name in sorted(files) if files[name].is_file()}


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not _LEFT_OUT & set(inside.parts) and path.name[0] != ".":
            yield path


def source_revision() -> tuple[str | None, bool]:
    """Return the commit of the checkout that is running, and whether its files differ from it."""
    root, git = workflow_root(), shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None, False
    command = [git, "-c", f"safe.directory={root}", "-C", str(root)]
    head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    changes = [*command, "status", "--porcelain", "--", "src", *_TOP]
    status = subprocess.run(changes, capture_output=True, text=True, check=False)  # noqa: S603
    return (head.stdout.strip() or None) if head.returncode == 0 else None, bool(status.stdout.strip())
