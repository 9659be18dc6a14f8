"""Seeds that follow from names, so that any piece of work can be redone alone with the same random numbers."""

from __future__ import annotations

import hashlib
import json

__all__ = ["derive_seed"]


def derive_seed(*parts: str | int) -> int:
    """Return a seed in [0, 2**32) from the names and numbers that say what it is for.

    The first four bytes (big-endian) of the sha256 of the parts as a compact JSON list; ``1`` and ``"1"`` differ.

    Raises:
        TypeError: a part is neither text nor an integer.

    Example:
        >>> derive_seed("h4l", 11, "ratios", "H", "nominal", 0, 3)
        1323505241
    """
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int):
            raise TypeError(f"a seed derives from text and integers; found {part!r}")
    text = json.dumps(list(parts), separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
