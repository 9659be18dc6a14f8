"""Failures that a second try in the same run cannot mend: the same input gives the same error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from evercast.artifacts.files import read_json
from evercast.errors import (
    EvercastError,
    IntegrityError,
    InvalidInput,
    NumericalFailure,
    error_from_json,
)
from evercast.plan import Unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.holding import run_is_active
from evercast.runtime.settings import read_settings

__all__ = ["current_run", "raise_known_failure"]

_LOG = logging.getLogger(__name__)
_LASTING: Final = (InvalidInput, IntegrityError, NumericalFailure)
"""Exit codes 3, 5 and 7: they come from what goes into a unit, not from where it is computed."""


def current_run(folder: RunFolder) -> str:
    """Return what tells the run that is under way from others: when it was started; empty where there is none."""
    try:
        return read_settings(folder).started
    except EvercastError:
        return ""


def raise_known_failure(unit: Unit, *, folder: RunFolder) -> None:
    """Raise the error of a unit again that ended an earlier try in this run and would end every other.

    A profile lets Snakemake try failed jobs again, which helps where a node, a limit or a disk was the reason. A new
    run, or a unit computed outside of any, always tries.

    Args:
        unit: that is not finished.
        folder: of the run.

    Raises:
        InvalidInput: the recorded error, of exit code 3.
        IntegrityError: of exit code 5.
        NumericalFailure: of exit code 7.
    """
    file = folder.error(unit)
    if not file.exists():
        return
    try:
        body = read_json(file)
    except IntegrityError:
        return
    if not isinstance(body, Mapping) or not body.get("run") or body["run"] != current_run(folder):
        return
    known = error_from_json(body)
    if isinstance(known, _LASTING) and run_is_active(folder):
        _LOG.error("%s has failed in this run and would again: it is not computed once more", unit.id)
        raise known
