"""What a computing site declares beside its profile: image store, allow-listed binds, credentials by path, scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evercast.spec.documents import load_document

__all__ = ["SITE_FILE", "Bind", "Credential", "Limits", "Site", "read_site"]

SITE_FILE: Final = "site.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A path of the host that every container sees, under the same name.

    Args:
        needed: whether a job fails where the path does not exist.
    """

    path: str
    writable: bool = False
    needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A file whose path an environment variable holds; its content is never read."""

    variable: str
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one container may use at most.

    Args:
        processes: processes and threads at one time.
        temporary_mb: size of the private ``/tmp`` and home together, MB.
    """

    processes: int = 4096
    temporary_mb: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The content of a ``site.yaml``; a profile without one gives the defaults.

    Args:
        images: folder of the site's image store, searched before that of the user.
        scratch: folder on a node's own disk, or a variable of the job such as ``$TMPDIR``, for what is private to a
            container; None puts it into the run folder.
    """

    images: str | None = None
    binds: tuple[Bind, ...] = ()
    credentials: tuple[Credential, ...] = ()
    scratch: str | None = None
    limits: Limits = field(default_factory=Limits)


def read_site(profile: Path | None) -> Site:
    """Return the settings of the site whose profile lies in a folder; the defaults where it has no ``site.yaml``.

    Raises:
        InvalidDocument: with every problem of the file.
    """
    if profile is None or not (profile / SITE_FILE).exists():
        return Site()
    return load_document(profile / SITE_FILE, "site", Site)
