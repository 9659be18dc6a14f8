"""The section of a published report that compares a likelihood with its binned projection."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from synthetic import synthetic_analysis

from evercast.publication.authors import author_line, is_person, orcid_url, origin_of
from evercast.publication.page_usage import software_text
from evercast.publication.report.blocks import Page, Section
from evercast.publication.report.page import add_section, render_page, without_marks
from evercast.publication.report_copy import projection_report
from evercast.spec.model import Author


def numbers(value: float, uncertainty: float, low: float, high: float, z: float) -> dict[str, float]:
    return {"value": value, "uncertainty": uncertainty, "low": low, "high": high, "z": z}


SAID: dict[str, Any] = {
    "made": True,
    "observable": {"parameter": "mu", "low": 0.8, "high": 1.2},
    "channels": {"SR": {"inner_edges": [-1.0, 0.0, 1.0], "information": 45.0, "information_of_events": 50.0}},
    "approximations": ["<b>the far tail</b> is one bin"],
    "comparison": {
        "confidence_level": 0.6827,
        "expected": {
            "unbinned": numbers(0.9876, 0.1234, 0.8765, 1.1098, 8.1),
            "projection": numbers(1.0, 0.1357, 0.8642, 1.1359, 7.9),
            "interval_length_ratio": 1.1643,
            "shift_in_uncertainties": 0.1005,
        },
        "observed": {
            "unbinned": numbers(1.4321, 0.1545, 1.2811, 1.5911, 9.3),
            "projection": numbers(1.4567, 0.1646, 1.2922, 1.6222, 9.0),
            "interval_length_ratio": 1.0645,
            "shift_in_uncertainties": 0.1592,
        },
    },
}
"""As the manifest of a bundle has it."""


def page() -> str:
    empty = Page(
        title="t", name="n", facts=(), banners=(), sentence="s", headlines=(), verdicts=(),
        sections=(Section(anchor="a", title="A section", blocks=()),), footer="f",
    )  # fmt: skip
    return render_page(empty)


def rows(html: str) -> list[list[str]]:
    part = html[html.index('id="binned-projection"') :]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", part)]


def test_the_report_states_the_agreement_of_the_two_in_numbers() -> None:
    html = without_marks(add_section(page(), projection_report(SAID, likelihood="neural")))
    found = rows(html)
    assert [row[2:] for row in found[:4]] == [
        ["0.9876", "0.1234", "[0.8765, 1.11]", "8.1"],
        ["1", "0.1357", "[0.8642, 1.136]", "7.9"],
        ["1.432", "0.1545", "[1.281, 1.591]", "9.3"],
        ["1.457", "0.1646", "[1.292, 1.622]", "9"],
    ]
    assert [row[1] for row in found[:4]] == ["unbinned likelihood", "binned projection"] * 2
    assert [row[1:] for row in found[4:6]] == [["1.164", "0.1005"], ["1.065", "0.1592"]]
    assert found[6] == ["SR", "4", "0.9"]
    assert "68.27 % interval" in html
    assert '<a href="#binned-projection">Binned projection</a>' in html
    assert "&lt;b&gt;the far tail&lt;/b&gt; is one bin" in html


def test_a_finished_report_has_no_place_for_more() -> None:
    section = projection_report(SAID, likelihood="neural")
    html = without_marks(add_section(page(), section))
    assert "<!--" not in html
    assert add_section(html, section) == html
    bare = without_marks(page())
    assert "<!--" not in bare
    assert "A section" in bare


@pytest.mark.parametrize(
    ("said", "text"),
    [({"made": False, "reason": "templates are negative"}, "There is none: templates are negative."),
     ({}, "There is none: the bundle was made without one.")],
)  # fmt: skip
def test_where_there_is_no_projection_the_report_says_why(said: dict[str, Any], text: str) -> None:
    html = add_section(page(), projection_report(said, likelihood="neural"))
    assert text in html
    assert rows(html) == []


def test_a_likelihood_that_was_not_fitted_has_no_row() -> None:
    only = {**SAID, "comparison": {"confidence_level": 0.6827, "expected": SAID["comparison"]["expected"]}}
    found = rows(add_section(page(), projection_report(only, likelihood="neural")))
    assert [len(row) for row in found] == [6, 6, 3, 3]


def test_authors_and_the_origin_of_the_data_are_two_things() -> None:
    analysis = synthetic_analysis()
    experiment = analysis.metadata.experiment
    assert author_line(analysis) == "the authors of this analysis"
    assert origin_of(analysis, pseudo=False) == f"Data: {experiment}"
    assert origin_of(analysis, pseudo=True) == f"Data: simulated pseudo-data; experiment: {experiment}"
    named = (Author(name="Doe, Jane", orcid="0000-0002-1825-0097"), Author(name="A group"))
    assert author_line(replace(analysis, metadata=replace(analysis.metadata, authors=named))) == "Doe, Jane; A group"
    assert [is_person(author) for author in named] == [True, False]
    assert [is_person(Author(name=name)) for name in ("A, B, C", "Lab,", ", Jane")] == [False, False, False]
    assert [orcid_url(author) for author in named] == ["https://orcid.org/0000-0002-1825-0097", None]


def test_it_is_said_where_the_software_is_and_nothing_is_to_be_installed_by_its_name() -> None:
    text = software_text({"versions": {"evercast": "9.8.7"}})
    assert "evercast 9.8.7" in text
    assert "data/code" in text
    assert "pip install" not in text
