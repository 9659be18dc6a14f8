"""Verdicts: how alike two things are, and which of several verdicts stands for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

__all__ = ["WORDS", "Verdict", "is_reproduced", "worst"]

Verdict = Literal["same-bits", "numeric", "statistical", "differs", "not-compared"]
"""Equal digests; equal within rounding; equal within what another training gives; different; not looked at."""

WORDS: Final[dict[Verdict, str]] = {
    "same-bits": "same bits",
    "numeric": "within tolerance (numeric)",
    "statistical": "within tolerance (statistical)",
    "differs": "differs",
    "not-compared": "not compared",
}

_ORDER: Final[tuple[Verdict, ...]] = ("not-compared", "same-bits", "numeric", "statistical", "differs")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on several things together: that of the one that is least alike.

    Example:
        >>> worst(["same-bits", "not-compared", "numeric"]), worst([])
        ('numeric', 'not-compared')
    """
    return max(verdicts, key=_ORDER.index, default="not-compared")


def is_reproduced(verdict: Verdict) -> bool:
    """Return whether a verdict says that the same came out."""
    return verdict in ("same-bits", "numeric", "statistical")
