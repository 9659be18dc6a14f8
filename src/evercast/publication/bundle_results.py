"""What the run found, beside the likelihood in its bundle: results, diagnostics and licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json
from evercast.publication.authors import author_line, origin_of
from evercast.publication.bundle_context import BundleContext
from evercast.publication.licences import licence_text

__all__ = ["add_diagnostics", "add_licence", "add_results"]

_RESULTS: Final = "results.json"
_DIAGNOSTICS: Final = "diagnostics.json"
_LICENCE: Final = "LICENSE.txt"
_KEPT: Final = ("interval", "scan", "significance", "limit", "contours", "correlation", "impacts", "goodness_of_fit")


def add_results(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``results.json``: fits, intervals and limits of the run, observed and expected.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    result = context.result
    body = {
        "schema": "bundle-results/1.0.0",
        "run_id": context.manifest.get("run_id"),
        "likelihood": context.likelihood,
        "poi": result.get("poi"),
        "observed": _side(result.get("observed")),
        "expected": _side(result.get("expected")),
    }
    atomic_write_json(folder / _RESULTS, body)
    return {"file": _RESULTS}


def _side(body: object) -> dict[str, object] | None:
    """Return what one data set says; None where it was not fitted."""
    if not isinstance(body, Mapping):
        return None
    fit = body.get("fit")
    fitted = fit if isinstance(fit, Mapping) else {}
    said = {"parameters": fitted.get("parameters", {}), "twice_nll": fitted.get("twice_nll")}
    guard = body.get("guard")
    return {
        "asimov": body.get("asimov"),
        "status": body.get("status"),
        "trusted": guard.get("passed") if isinstance(guard, Mapping) else None,
        **said,
        **{key: body.get(key) for key in _KEPT},
    }


def add_diagnostics(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``diagnostics.json``: every check of the run that is of this likelihood or of its networks.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    checks = context.diagnostics.get("checks")
    others = {name for name in context.analysis.likelihoods if name != context.likelihood}
    kept = [one for one in checks if not _is_of(one, others)] if isinstance(checks, Sequence) else []
    atomic_write_json(folder / _DIAGNOSTICS, {**context.diagnostics, "checks": kept})
    return {"file": _DIAGNOSTICS, "checks": len(kept)}


def _is_of(check: object, likelihoods: set[str]) -> bool:
    """Return whether a check is of one of other likelihoods: its subject, before a colon, names it."""
    subject = str(check.get("subject", "")) if isinstance(check, Mapping) else ""
    return subject.split(":")[0].strip() in likelihoods


def add_licence(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``LICENSE.txt``.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    metadata = context.analysis.metadata
    text = licence_text(
        metadata.license, title=str(context.manifest.get("title", "")), authors=author_line(context.analysis),
        origin=origin_of(context.analysis, pseudo=context.pseudo), contacts=metadata.contacts,
    )  # fmt: skip
    atomic_write_bytes(folder / _LICENCE, text.encode())
    return {"file": _LICENCE, "license": metadata.license}
