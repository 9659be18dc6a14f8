"""``diagnostics.json``: every check of a run, and whether its result may be published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evercast.publication.diagnostics.bundle import bundle_checks
from evercast.publication.diagnostics.check import Check, finite
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.fits import fit_checks, selection_checks
from evercast.publication.diagnostics.likelihoods import likelihood_checks
from evercast.publication.diagnostics.networks import network_checks
from evercast.publication.diagnostics.overfitting import training_checks

__all__ = ["FORMAT", "all_checks", "diagnostics_document", "override_checks"]

FORMAT = "diagnostics/1.0.0"


def all_checks(run: RunContents) -> tuple[Check, ...]:
    """Return every check of a run, by number; those without one come last.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    found = [
        *training_checks(run), *network_checks(run), *likelihood_checks(run), *fit_checks(run), *bundle_checks(run),
        *selection_checks(run),
    ]  # fmt: skip
    found += override_checks(found, run.analysis.publish.overrides)
    return tuple(sorted(found, key=lambda check: (check.number is None, check.number or 0, check.name)))


def override_checks(checks: Sequence[Check], overrides: Mapping[str, str]) -> list[Check]:
    """Return a check for each override that has no red check to override: a stale one must not wait for the next."""
    red = {check.id: check for check in checks if check.status == "red"}
    known = {check.id: check.status for check in checks}
    return [_stale(identity, known.get(identity)) for identity in overrides if identity not in red]


def _stale(identity: str, status: str | None) -> Check:
    found = "no check of this run" if status is None else status
    return Check(
        id=f"override.{identity}"[:200], name="override without need", number=None, subject=identity, status="amber",
        message=f"publish.overrides names {identity!r}, which is {found}; take it out of the document",
    )  # fmt: skip


def diagnostics_document(checks: Sequence[Check], overrides: Mapping[str, str]) -> dict[str, object]:
    """Return the content of ``diagnostics.json``.

    Args:
        checks: all of the run.
        overrides: red check -> the written reason why the result is published all the same.
    """
    red = [check.id for check in checks if check.status == "red"]
    overridden = {identity: overrides[identity] for identity in red if identity in overrides}
    return {
        "format": FORMAT,
        "checks": [finite(check.to_json()) for check in checks],
        "publication": {
            "allowed": set(red) <= set(overridden),
            "red": red,
            "overridden": overridden,
        },
    }
