"""What the pages of a server share."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from evercast.serve.folders import Requests
from evercast.serve.jobs import Jobs
from evercast.serve.security import Gate
from evercast.serve.uploads import Limits

__all__ = ["Site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A server.

    Args:
        gate: who may ask.
        requests: where requests lie.
        jobs: checks and runs.
        limits: of uploads.
        environ: variables of the process, for the folders of the user.
        writing: held while a document is compared and written.
        uploading: held while a file is kept, so that two do not take the same room.
    """

    gate: Gate
    requests: Requests
    jobs: Jobs
    limits: Limits
    environ: Mapping[str, str]
    writing: threading.Lock = field(default_factory=threading.Lock)
    uploading: threading.Lock = field(default_factory=threading.Lock)

    def common(self) -> dict[str, object]:
        """Return what every page holds."""
        return {"token": self.gate.form_token, "folder": str(self.requests.root)}
