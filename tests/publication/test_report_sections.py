"""What a page shows of results beyond the fits: systematics, details, pseudo-experiments, checks, blind channels."""

import copy
import json
import re
from pathlib import Path

import pytest
from synthetic import DOCUMENT, full_analysis, synthetic_analysis, write_run
from synthetic_results import write_diagnostics

from evercast.plan.recipes import ReportRecipe, Task
from evercast.publication.diagnostics.check import Limits, judged, topic
from evercast.publication.report_stage import run
from evercast.spec.model import Analysis


def report(folder: Path, analysis: Analysis, inputs: dict[str, Path]) -> str:
    output = folder / "out"
    output.mkdir()
    run(Task(recipe=ReportRecipe(analysis=analysis), inputs=inputs, output=output, checkpoint=folder))
    return (output / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """The words of a page without its drawings."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>|<style.*?</style>", "", page, flags=re.DOTALL))


def section(page: str, anchor: str) -> str:
    start = page.index(f'<section class="part" id="{anchor}">')
    return page[start : page.index("</section>", start)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("full")
    analysis = full_analysis()
    return report(folder, analysis, write_run(folder, analysis, detailed=True))


def test_every_optional_section_is_there_with_its_figures(page: str) -> None:
    for anchor in ("inference", "training-statistics", "studies", "systematics", "checks"):
        assert f'<section class="part" id="{anchor}">' in page
    for figure in (
        "limits", "impacts-binned", "contour-mu-norm-b", "correlation-binned", "neyman-neyman-binned",
        "goodness-goodness-of-fit-binned", "varied-scale-S-SR", "varied-model-B-SR", "check-4-morph-norm",
        "closure-ratios-S",
    ):  # fmt: skip
        assert f'<figure id="{figure}"' in page


def test_each_systematic_is_listed_with_its_kind_and_its_effect(page: str) -> None:
    words = text_of(section(page, "systematics"))
    for text in ("kinematic, selected again", "two-point, symmetrised", "varied samples", "normalisation, code 4"):
        assert text in words
    rows = re.findall(r"<tr>.*?</tr>", section(page, "systematics"), flags=re.DOTALL)
    scale = next(row for row in rows if ">scale<" in row and ">S<" in row and "%" in row)
    assert "+2.00 %" in scale
    assert "−1.00 %" in scale
    assert any(">norm_b<" in row and "+10.00 %" in row for row in rows)


def test_the_table_of_results_has_limits_and_training_statistics(page: str) -> None:
    table = section(page, "results")
    assert "< 1.67" in text_of(table).replace("&lt;", "<")
    assert "± 0.087" in text_of(table)
    assert 'data-header="limit observed"' in table  # cards on narrow screens have the header beside the number


def test_several_minima_are_shown_with_their_height(page: str) -> None:
    words = " ".join(text_of(section(page, "inference")).split())
    assert "Several minima" in words
    assert "0.1204 1.7" in words


def test_the_estimators_of_training_statistics_are_told_apart(page: str) -> None:
    words = " ".join(text_of(section(page, "training-statistics")).split())
    assert "ensemble noise observed 0.012 ± 0.001" in words
    assert "bootstrap of the simulation) observed 0.087 ± 0.014" in words
    assert "too few members" in words


def test_studies_show_intervals_coverage_limits_and_goodness(page: str) -> None:
    words = " ".join(text_of(section(page, "studies")).split())
    for text in ("[0.51, 1.33]", "open above the tested values", "67.9 ± 1.5 %", "1.679 ± 0.04", "0.2"):
        assert text in words


def test_checks_stand_by_kind_with_lights_and_the_poor_ones_first(page: str) -> None:
    part = section(page, "checks")
    assert part.count('<details class="group">') == 14
    words = " ".join(text_of(part).split())
    assert words.index("To be looked at") < words.index("1 · Training and holdout")
    assert "this version writes no ONNX copies" in words
    assert '<a class="look" href="#checks"><span class="mark">1 amber</span></a>' in page


def test_a_red_check_is_said_at_the_top_and_its_override_where_it_is(tmp_path: Path) -> None:
    analysis = synthetic_analysis(ensembles={}, likelihoods={"binned": DOCUMENT["likelihoods"]["binned"]})  # type: ignore[index]
    inputs = write_run(tmp_path, analysis)
    red = judged(topic(3, None, "ratios: B", "closure", "ratios", "B"), 0.4, Limits(amber=0.02, red=0.05), "far off")
    inputs |= write_diagnostics(tmp_path, [red])
    first = report(tmp_path, analysis, inputs)
    assert '<p class="banner" role="alert">Not to be published' in first
    assert "NOT to be published: closure.ratios.B" in first
    inputs |= write_diagnostics(tmp_path, [red], overrides={"closure.ratios.B": "known <edge>"})
    (tmp_path / "out").rename(tmp_path / "before")
    second = report(tmp_path, analysis, inputs)
    assert '<p class="banner"' not in second
    assert "Overridden in the document: known &lt;edge&gt;" in second


def blind_document() -> Analysis:
    likelihoods = copy.deepcopy(DOCUMENT["likelihoods"])
    for likelihood in likelihoods.values():  # type: ignore[attr-defined]
        for channel in likelihood["channels"].values():
            channel["blind"] = True
    return synthetic_analysis(likelihoods=likelihoods)


def test_a_blind_analysis_shows_no_observed_number(tmp_path: Path) -> None:
    analysis = blind_document()
    inputs = write_run(tmp_path, analysis, detailed=True)
    page = report(tmp_path, analysis, inputs)
    words = " ".join(text_of(page).split())
    assert "The data of m, SR are blind." in words
    assert "blinded" in section(page, "results")
    events = json.loads((inputs["selection/observed"] / "summary.json").read_text())["regions"]["SR"]["events"]
    for text in ("events observed", "observed events", "0.90 +0.42", "1.679", f">{events}<", f">{3 * events}<"):
        assert text not in page
    assert " the data are blind, " in words
    fit = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert all(result["observed"] is None for result in fit["results"].values())


def test_unblinding_shows_them_again(tmp_path: Path) -> None:
    channel = DOCUMENT["likelihoods"]["binned"]["channels"]["m"] | {"blind": True}  # type: ignore[index]
    inference = {"scan_range": [0.0, 3.0], "scan_points": 21, "unblind": True}
    analysis = synthetic_analysis(
        ensembles={}, likelihoods={"binned": {"channels": {"m": channel}}}, inference=inference
    )
    page = report(tmp_path, analysis, write_run(tmp_path, analysis))
    assert "events observed" in page
    assert "0.90 +0.42 −0.38" in page


def test_a_run_without_the_optional_stages_has_none_of_their_sections(tmp_path: Path) -> None:
    analysis = synthetic_analysis(
        systematics={},
        ensembles={},
        likelihoods={"binned": DOCUMENT["likelihoods"]["binned"]},  # type: ignore[index]
    )
    page = report(tmp_path, analysis, write_run(tmp_path, analysis))
    for anchor in ("inference", "training-statistics", "studies", "systematics", "checks"):
        assert f'id="{anchor}"' not in page
