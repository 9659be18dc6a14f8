"""Widths of columns of text."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["column_width"]


def column_width(texts: Iterable[str], *, least: int = 14) -> int:
    """Return the width of a column that holds every text, and a space behind it.

    Example:
        >>> column_width(["fit", "training_statistics"])
        20
    """
    return max([least, *(len(text) + 1 for text in texts)])
