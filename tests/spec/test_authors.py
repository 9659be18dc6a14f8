"""Authors of a document: who made the analysis, apart from the experiment whose data it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercast.errors import InvalidInput
from evercast.plan.keys import key_form
from evercast.spec import load_analysis
from evercast.spec.model import Author

MINIMAL = Path(__file__).parent / "documents" / "valid" / "minimal.yaml"


def document(folder: Path, authors: str) -> Path:
    """Write the minimal document with authors."""
    text = MINIMAL.read_text()
    assert text.count("metadata: {") == 1
    path = folder / "analysis.yaml"
    path.write_text(text.replace("metadata: {", f"metadata: {{authors: {authors}, "))
    return path


def test_authors_are_read_and_nobody_is_named_without_them(tmp_path: Path) -> None:
    assert load_analysis(MINIMAL, check_files=False).metadata.authors == ()
    given = '[{name: "Doe, Jane", affiliation: A lab, orcid: 0000-0002-1825-009X}, {name: A group}]'
    found = load_analysis(document(tmp_path, given), check_files=False).metadata
    jane = Author(name="Doe, Jane", affiliation="A lab", orcid="0000-0002-1825-009X")
    assert found.authors == (jane, Author(name="A group"))
    assert "authors" in key_form(found)
    assert "authors" not in key_form(load_analysis(MINIMAL, check_files=False).metadata)  # older runs keep their keys


@pytest.mark.parametrize(
    ("authors", "message"),
    [
        ("[{affiliation: A lab}]", "name"),
        ("[{name: Jane, email: x}]", "unknown key 'email'"),
        ("[{name: Jane, orcid: 0000-0002-1825}]", "0000-0000-0000-000X"),
        ('[{name: Jane, orcid: "https://orcid.org/0000-0002-1825-0097"}]', "0000-0000-0000-000X"),
        ("Jane", "$.metadata.authors"),
    ],
)
def test_authors_that_cannot_be_cited_are_refused(authors: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_analysis(document(tmp_path, authors), check_files=False)
    assert caught.value.exit_code == 3
    assert message in str(caught.value)
