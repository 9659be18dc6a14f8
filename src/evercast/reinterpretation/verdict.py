"""Verdicts: how alike two things are, and which of several verdicts stands for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

__all__ = ["WORDS", "Verdict", "worst"]

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

    What was not compared has no part in it, and is to be counted beside it.

    Example:
        >>> worst(["same-bits", "not-compared", "numeric"]), worst([])
        ('numeric', 'not-compared')
    """
    return max(verdicts, key=_ORDER.index, default="not-compared")
