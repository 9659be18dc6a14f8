"""Why a container ended before its program could: the runtime, the machine, or a limit."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit
from evercast.runtime.images import LockedImage
from evercast.runtime.processes import Ended

__all__ = ["network_was_wanted", "why_it_failed"]

_FATAL: Final = re.compile(r"^FATAL: +(?P<words>.*)$", re.MULTILINE)
_STARTER_FAILED: Final = 255
_HINTS: Final[Mapping[str, str]] = {
    "user namespace": "this machine lets users make no namespaces; ask its administrator, or run without containers",
    "newuidmap": "this machine lets users make no namespaces; ask its administrator, or run without containers",
    "fuse": "/dev/fuse must be readable and writable for users (mode 0666), and squashfuse installed",
    "squashfs": "/dev/fuse must be readable and writable for users (mode 0666), and squashfuse installed",
    "cgroup": "this machine lets users make no cgroups",
    "No space left": "free space where private folders of containers lie (`scratch` in site.yaml)",
    "executable file not found": "the image must hold this program; evercast needs python and evercast in it",
    "exec format": "the image is for another kind of processor",
    "pull": "the image could not be brought from its registry; copy it into the image store instead",
}
_NO_NETWORK: Final = re.compile(
    r"Network is unreachable|Temporary failure in name resolution|Could not resolve host|Name or service not known"
    r"|network is unreachable|bad address"
)


def why_it_failed(ended: Ended, *, image: LockedImage) -> EnvironmentUnfit | None:
    """Return the error of a container that was stopped at a limit or could not be started; None of one that ran."""
    if ended.stopped is not None:
        kind = "processes" if "processes" in ended.stopped else "temporary"
        return EnvironmentUnfit(
            f"the container was stopped: {ended.stopped}",
            code=f"container.{kind}",
            hint="look at what the stage does; a site sets `limits` in the site.yaml of its profile",
        )
    fatal = _FATAL.search(ended.tail)
    if ended.code == _STARTER_FAILED and fatal is not None:
        words = fatal["words"]
        hint = next((hint for key, hint in _HINTS.items() if key in words), None)
        return EnvironmentUnfit(
            f"the container could not be started: {words}",
            code="container.start",
            where=image.argument,
            hint=hint or f"does this work: apptainer exec {Path(image.argument).name} true",
        )
    if ended.code in (128 + signal.SIGBUS, -signal.SIGBUS):
        return EnvironmentUnfit(
            "the image cannot be read: its file was changed or cut while it was in use",
            code="container.image-damaged",
            where=image.argument,
            hint="copy it again from where it was built",
        )
    return None


def network_was_wanted(ended: Ended) -> bool:
    """Return whether the last words of a program are those of one that found no network."""
    return ended.code != 0 and _NO_NETWORK.search(ended.tail) is not None
