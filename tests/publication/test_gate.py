"""Red checks stop publication; written reasons let it through; the run says it in one line."""

import pytest

from evercast.errors import InvalidInput
from evercast.publication.diagnostics.check import Check, Limits, judged, not_applicable, topic
from evercast.publication.diagnostics.document import diagnostics_document, override_checks
from evercast.publication.gate import publication_line, require_publishable

LIMITS = Limits(amber=0.02, red=0.05, p_green=0.01, p_amber=1e-4)


def check(identity: str, value: float, *, p: float | None = None) -> Check:
    return judged(topic(3, None, "ratios: S", identity, "ratios", "S"), value, LIMITS, f"{value} misplaced", p=p)


@pytest.mark.parametrize(
    ("value", "p", "status"),
    [
        (0.01, None, "green"),
        (0.02, None, "amber"),
        (0.05, None, "red"),
        (0.5, 0.02, "green"),
        (0.5, 0.001, "amber"),
        (0.5, 1e-5, "red"),
        (0.01, 1e-9, "green"),
        (float("nan"), None, "red"),
    ],
)
def test_a_small_difference_is_green_and_so_is_one_expected_by_chance(
    value: float, p: float | None, status: str
) -> None:
    assert check("closure", value, p=p).status == status


def test_a_value_that_is_no_number_is_null_in_the_document_and_named() -> None:
    entry = check("closure", float("nan")).to_json()
    assert entry["value"] is None
    assert "not a number" in str(entry["message"])


def test_a_result_without_red_checks_may_be_published() -> None:
    document = diagnostics_document([check("closure", 0.03), not_applicable(topic(12, None, "run", "parity"), "x")], {})
    require_publishable(document)
    assert publication_line(document) == "checks: 1 amber, 1 not applicable; the result may be published"


def test_a_red_check_stops_publication_and_says_how_to_go_on() -> None:
    document = diagnostics_document([check("closure", 0.2)], {})
    with pytest.raises(InvalidInput) as caught:
        require_publishable(document)
    assert (caught.value.code, caught.value.exit_code) == ("publication.red-check", 3)
    assert "closure.ratios.S: 0.2 misplaced" in caught.value.message
    assert 'publish: {overrides: {closure.ratios.S: "why"}}' in (caught.value.hint or "")
    assert publication_line(document) == "checks: 1 red; NOT to be published: closure.ratios.S"


def test_a_written_reason_lets_one_red_check_through_and_no_other() -> None:
    checks = [check("closure", 0.2), check("calibration", 0.2)]
    document = diagnostics_document(checks, {"closure.ratios.S": "the edge of the phase space"})
    with pytest.raises(InvalidInput, match=r"1 check found red.*calibration\.ratios\.S"):
        require_publishable(document)
    both = {"closure.ratios.S": "the edge", "calibration.ratios.S": "the same events"}
    allowed = diagnostics_document(checks, both)
    require_publishable(allowed)
    assert publication_line(allowed).endswith("may be published, 2 checks overridden with a reason")


def test_overrides_of_checks_that_are_not_red_are_amber_themselves() -> None:
    found = override_checks([check("closure", 0.03)], {"closure.ratios.S": "old", "gone.x": "older"})
    assert [entry.status for entry in found] == ["amber", "amber"]
    assert "'closure.ratios.S', which is amber" in found[0].message
    assert "'gone.x', which is no check of this run" in found[1].message


def test_diagnostics_that_say_nothing_of_publication_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        require_publishable({"checks": []})
    assert caught.value.code == "publication.unchecked"
    assert "it was not checked" in publication_line({})


def test_many_open_checks_are_counted_not_listed() -> None:
    document = diagnostics_document([check(f"closure{n}", 0.2) for n in range(8)], {})
    assert publication_line(document).endswith("closure4.ratios.S and 3 more")
    with pytest.raises(InvalidInput, match=r"8 checks found red.*and 3 more"):
        require_publishable(document)
