"""What a user means by a name: an entry of the catalogue, or several that are listed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from evercast.errors import InvalidInput
from evercast.reinterpretation.catalogue.model import KINDS, Entry
from evercast.spec.report import did_you_mean

__all__ = ["entry_named", "is_name", "unknown_name"]

_DIGEST: Final = re.compile(r"[0-9a-f]{8,64}")
_NAME: Final = re.compile(r"([a-z][a-z0-9_-]{0,129})(?:@(?:([0-9a-f]{4,64})|v([1-9][0-9]{0,5})))?")


def is_name(text: str) -> bool:
    """Return whether a text is a name, ``NAME@DIGITS``, ``NAME@vNUMBER``, or digits of a digest; no path is."""
    return _NAME.fullmatch(text) is not None or _DIGEST.fullmatch(text) is not None


def entry_named(name: str, entries: Iterable[Entry], *, digest: str | None = None) -> Entry | None:
    """Return the entry of a name; None where there is none.

    Of several versions in one archive the newest is meant, of several kinds the first of `KINDS`.

    Args:
        name: ``NAME``, ``NAME@DIGITS`` of its digest, ``NAME@vNUMBER`` of a version, or at least 8 digits of a digest.
        entries: among which it is looked for.
        digest: that it must have where several have the name; None: not known.

    Raises:
        InvalidInput: ``catalogue.ambiguous``: several analyses are meant; they are listed.
    """
    found = _fitting(name, list(entries))
    if digest is not None:
        found = [entry for entry in found if entry.digest == digest] or found
    if not found:
        return None
    first = min(found, key=lambda entry: KINDS.index(entry.kind)).kind
    meant = [entry for entry in found if entry.kind == first]
    if len({entry.digest for entry in meant}) > 1:
        meant = [entry for entry in meant if entry.newest] or meant
    if len({entry.digest for entry in meant}) > 1:
        listed = ", ".join(f"{entry.name} {(entry.digest or 'unreadable')[:12]} ({entry.path})" for entry in meant)
        message = f"{name!r} is {len({entry.digest for entry in meant})} analyses: {listed}"
        hint = f"say it with digits of its digest, e.g. {meant[0].shown_name}, or by its path"
        raise InvalidInput(message, code="catalogue.ambiguous", hint=hint)
    return next((entry for entry in meant if entry.url is None), meant[0])


def _fitting(name: str, entries: Sequence[Entry]) -> list[Entry]:
    match = _NAME.fullmatch(name)
    found: list[Entry] = []
    if match is not None:
        title, digits, number = match.groups()
        found = [
            entry
            for entry in entries
            if entry.name == title
            and (digits is None or (entry.digest or "").startswith(digits))
            and (number is None or entry.version == int(number))
        ]
    if not found and _DIGEST.fullmatch(name):
        found = [entry for entry in entries if (entry.digest or "").startswith(name)]
    return found


def unknown_name(name: str, entries: Sequence[Entry]) -> InvalidInput:
    """Return the error of a name that nothing has, with the names that there are."""
    names = list(dict.fromkeys(entry.name for entry in entries))
    known = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") or "none"
    close = did_you_mean(name, names)
    hint = f"in the catalogue: {known}; evercast catalogue add FOLDER puts more there"
    message = f"there is no preserved analysis {name!a}"
    return InvalidInput(message, code="catalogue.unknown", hint=f"{close}; {hint}" if close else hint)
