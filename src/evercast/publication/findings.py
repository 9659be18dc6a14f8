"""What a verification found to be right."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was checked and is right.

    Args:
        name: what was checked.
        detail: how, in one line.
        worst: largest difference in tolerances; None where it is no number.
    """

    name: str
    detail: str
    worst: float | None = None
