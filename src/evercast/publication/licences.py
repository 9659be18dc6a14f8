"""Licences under which a likelihood can be published: SPDX identifiers, with what each asks of the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from evercast.errors import InvalidInput
from evercast.spec.report import did_you_mean

__all__ = ["LICENCES", "Licence", "licence_text", "require_licence"]


class Licence(NamedTuple):
    """A licence: its name, where its text stands, and in one sentence what it asks."""

    name: str
    url: str
    meaning: str


_CC: Final = "https://creativecommons.org"
_ATTRIBUTION: Final = "Use, share and change it for any purpose; name the authors and say what you changed."
LICENCES: Final[dict[str, Licence]] = {
    "CC0-1.0": Licence(
        "Creative Commons Zero 1.0 Universal",
        f"{_CC}/publicdomain/zero/1.0/legalcode",
        "No rights are reserved: use it for any purpose. Scholarly practice still asks for a citation.",
    ),
    "CC-BY-4.0": Licence("Creative Commons Attribution 4.0", f"{_CC}/licenses/by/4.0/legalcode", _ATTRIBUTION),
    "CC-BY-SA-4.0": Licence(
        "Creative Commons Attribution Share Alike 4.0",
        f"{_CC}/licenses/by-sa/4.0/legalcode",
        f"{_ATTRIBUTION} What is made from it stays under this licence.",
    ),
    "CC-BY-NC-4.0": Licence(
        "Creative Commons Attribution Non Commercial 4.0",
        f"{_CC}/licenses/by-nc/4.0/legalcode",
        f"{_ATTRIBUTION} Not for commercial use.",
    ),
    "ODC-By-1.0": Licence(
        "Open Data Commons Attribution License 1.0", "https://opendatacommons.org/licenses/by/1-0/", _ATTRIBUTION
    ),
    "ODbL-1.0": Licence(
        "Open Data Commons Open Database License 1.0",
        "https://opendatacommons.org/licenses/odbl/1-0/",
        f"{_ATTRIBUTION} What is made from it stays under this licence.",
    ),
    "PDDL-1.0": Licence(
        "Open Data Commons Public Domain Dedication 1.0",
        "https://opendatacommons.org/licenses/pddl/1-0/",
        "No rights are reserved: use it for any purpose.",
    ),
    "Apache-2.0": Licence("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0", _ATTRIBUTION),
    "MIT": Licence("MIT License", "https://opensource.org/license/mit", _ATTRIBUTION),
    "BSD-3-Clause": Licence('BSD 3-Clause "New" License', "https://opensource.org/license/bsd-3-clause", _ATTRIBUTION),
}

_OWN: Final = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,80}")


def require_licence(identifier: str) -> None:
    """Refuse a licence that tells nobody what is allowed.

    Args:
        identifier: SPDX identifier of the document, or ``LicenseRef-…`` for a licence of one's own.

    Raises:
        InvalidInput: ``publication.licence``.
    """
    if identifier in LICENCES or _OWN.fullmatch(identifier):
        return
    found = repr(identifier) if identifier.strip() else "none"
    raise InvalidInput(
        f"the licence of the publication is {found}; expected an SPDX identifier: {', '.join(LICENCES)}, or "
        "LicenseRef-NAME",
        code="publication.licence",
        where="$.metadata.license",
        hint=did_you_mean(identifier, tuple(LICENCES))
        or "state the licence in the document: metadata: {license: CC-BY-4.0}",
    )


def licence_text(identifier: str, *, title: str, authors: str, origin: str, contacts: Sequence[str] = ()) -> str:
    """Return the text of ``LICENSE.txt``: what is licensed, by whom, how, and where the legal text stands.

    Args:
        identifier: as `require_licence` takes it.
        title: what is licensed.
        authors: who publishes it, such as `evercast.publication.authors.author_line` gives.
        origin: whose data were analysed, a sentence without its end.
        contacts: whom to ask.
    """
    known = LICENCES.get(identifier)
    lines = [f"SPDX-License-Identifier: {identifier}", "", title, f"Published by: {authors}", origin]
    lines += [f"Contact: {'; '.join(contacts)}", ""] if contacts else [""]
    if known is None:
        lines += ["The terms are those of the authors; ask them."]
    else:
        lines += [f"Licence: {known.name}", f"Legal text: {known.url}", "", known.meaning]
    return "\n".join([*lines, ""])
