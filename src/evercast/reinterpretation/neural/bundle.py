"""What a published bundle alone cannot answer, said in one sentence."""

from __future__ import annotations

from pathlib import Path

from evercast.artifacts.bundle_open import MANIFEST_FILE
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE
from evercast.errors import InvalidInput

__all__ = ["is_bundle", "refuse_bundle"]


def is_bundle(path: Path) -> bool:
    """Return whether a folder holds a published neural likelihood."""
    return (path / LIKELIHOOD_FILE).is_file() and (path / MANIFEST_FILE).is_file()


def refuse_bundle(path: Path) -> None:
    """Refuse a request to a bundle, and say what it lacks and what it can do.

    Raises:
        InvalidInput: ``request.bundle``.
    """
    if not is_bundle(path):
        return
    message = (
        "this is the bundle of a published likelihood: it holds neither the selection nor the simulated events of the "
        "reference, which a new process or a sample at another point need"
    )
    hint = (
        f"ask the archive of the run. Other parameters: evercast fit {path} --parametrisation FILE; networks and "
        f"domain at events that have its observables: evercast evaluate {path} EVENTS"
    )
    raise InvalidInput(message, code="request.bundle", where=str(path), hint=hint)
