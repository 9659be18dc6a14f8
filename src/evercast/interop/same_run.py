"""Whether two likelihoods come from one run: then their data may be the same events."""

from __future__ import annotations

from evercast.artifacts.run_marks import marks_of, marks_of_manifest
from evercast.interop.places import Opened

__all__ = ["marks_of_run"]


def marks_of_run(opened: Opened | None) -> frozenset[str]:
    """Return what all likelihoods of one run have in common: the id of the run, and the sha256 of its workspace.

    Args:
        opened: a bundle, the folder of a run, or a workspace; None, or anything else, has no mark.

    Raises:
        IntegrityError: the index of a run is damaged.
    """
    if opened is None:
        return frozenset()
    return marks_of_manifest(opened.manifest) if opened.manifest else marks_of(opened.path)
