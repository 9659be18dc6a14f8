"""A publication says under which licence it may be used."""

from __future__ import annotations

import pytest

from evercast.errors import InvalidInput
from evercast.publication.licences import LICENCES, licence_text, require_licence


@pytest.mark.parametrize("identifier", [*LICENCES, "LicenseRef-CMS-2019"])
def test_licences_that_people_know_are_taken(identifier: str) -> None:
    require_licence(identifier)
    text = licence_text(identifier, title="a result", authors="A, B", origin="Data: an experiment")
    assert text.startswith(
        f"SPDX-License-Identifier: {identifier}\n\na result\nPublished by: A, B\nData: an experiment\n"
    )
    assert "Contact" not in text
    asked = licence_text(identifier, title="a result", authors="A, B", origin="Data: X", contacts=("c@example.org",))
    assert "Data: X\nContact: c@example.org\n\n" in asked


@pytest.mark.parametrize("identifier", ["", " ", "none", "TBD", "CC-BY", "cc-by-4.0", "LicenseRef-", "LicenseRef-a b"])
def test_what_tells_nobody_what_is_allowed_is_refused(identifier: str) -> None:
    with pytest.raises(InvalidInput, match="SPDX") as caught:
        require_licence(identifier)
    assert (caught.value.code, caught.value.exit_code) == ("publication.licence", 3)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'CC-BY-4\.0'"):
        require_licence("CC-BY-4")
