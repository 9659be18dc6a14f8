"""Tables of cross-sections and published numbers, and a preserved selection, become part of a wrapped analysis."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evercast.cli import main
from evercast.reinterpretation.wrapped.model import Binning, WrappedAnalysis
from evercast.reinterpretation.wrapped.read import read_wrapped
from small_record import OPTIONS, PATTERN, write_record

pytestmark = pytest.mark.usefixtures("user_folders")

SELECTION = """\
schema: analysis/1.0.0
name: mine
selection:
  objects:
    muons: {collection: particles, pdg: [13], cut: "pt > 10"}
  observables: {n_mu: {expression: "count(muons)", unit: "1"}}
  regions: {SR: {cut: "n_mu > 0"}, CR: {cut: "n_mu == 0"}}
"""


def wrap(folder: Path, *words: str) -> int:
    record = folder / "record"
    if not record.exists():
        write_record(record)
    options = ("--name", "small-search", *OPTIONS, *PATTERN, "--output", str(folder / "out"), "--json")
    return main(["wrap", str(record), *options, *words])


def wrapped_with(folder: Path, *words: str) -> WrappedAnalysis:
    assert wrap(folder, *words) == 0
    return read_wrapped(folder / "out" / "wrapped.yaml")


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    return found


def table(folder: Path, text: str, name: str = "table.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


BY_MASS = """\
# source: calculation of somebody, table 3
m_a, cross_section_fb, uncertainty_fb
100, 20.0, 2.0
200, 5.0,
250, 2.5,
"""


def test_cross_sections_by_one_axis_are_those_of_every_point_with_that_value(tmp_path: Path) -> None:
    analysis = wrapped_with(tmp_path, "--cross-sections", table(tmp_path, BY_MASS))
    first, second = analysis.points["P_100_10"], analysis.points["P_200_50"]
    assert first.cross_section_pb == pytest.approx(0.02, rel=1e-12)
    assert first.cross_section_uncertainty == pytest.approx(0.1, rel=1e-12)
    assert first.cross_section_source == "calculation of somebody, table 3"
    assert first.values == (100.0, 10.0)
    assert analysis.points["P_100_50"].cross_section_pb == first.cross_section_pb
    assert second.cross_section_pb == pytest.approx(0.005, rel=1e-12)
    assert second.cross_section_uncertainty is None
    assert analysis.points["P_300_10"].cross_section_pb is None


def test_yaml_and_csv_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"m_a": 100, "cross_section_fb": 20.0, "uncertainty_fb": 2.0}, {"m_a": 200, "cross_section_fb": 5.0},
        {"m_a": 250, "cross_section_fb": 2.5},
    ]  # fmt: skip
    text = "source: calculation of somebody, table 3\nrows:\n" + "".join(f"- {json.dumps(row)}\n" for row in rows)
    of_yaml = wrapped_with(tmp_path, "--cross-sections", table(tmp_path, text, "table.yaml"))
    other = tmp_path / "other"
    other.mkdir()
    assert wrapped_with(other, "--cross-sections", table(other, BY_MASS)).points == of_yaml.points


PUBLISHED = """\
kind, point, m_a, m_b, value, uncertainty, tolerance, channel, bin, source
limit_observed, P_100_10,,, 0.42, 0.021,,,, table 5
cls_observed,, 200, 50, 0.6,,,,, table 6
acceptance_efficiency, P_100_10,,, 0.1,, 0.2, SR, 1, table 7
excluded_to,,, 10, 190,,,,, figure 2
"""


def test_published_numbers_become_part_of_the_document(tmp_path: Path) -> None:
    words = ("--published", table(tmp_path, PUBLISHED), "--tolerance", "0.03")
    analysis = wrapped_with(tmp_path, *words, "--cross-sections", table(tmp_path, BY_MASS, "sigma.csv"))
    limit, cls, share, end = analysis.published
    assert (limit.kind, limit.point, limit.source) == ("limit_observed", "P_100_10", "table 5")
    assert limit.tolerance == pytest.approx(0.05, rel=1e-12)
    assert (cls.point, cls.tolerance) == ("P_200_50", 0.03)
    assert (share.channel, share.bin, share.tolerance) == ("SR", 1, 0.2)
    assert (end.point, end.at) == (None, (10.0,))


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        ("--cross-sections", "m_a,cross_section_pb\n100,1\n", "does not say where"),
        ("--cross-sections", "# source: x\nm_a,cross_section\n100,1\n", "unknown column"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n999,1\n", "no row of the table fits"),
        ("--cross-sections", "# source: x\npoint,cross_section_pb\nP_1_1,1\n", "no signal point 'P_1_1'"),
        (
            "--cross-sections",
            "# source: x\nm_a,cross_section_pb\n100,1\n100,2\n",
            "P_100_10 has a cross-section already",
        ),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n100,0\n", "must be positive"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n100,nan\n", "finite number"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n100,1 fb\n", "finite number"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb,cross_section_fb\n100,1,1000\n", "stated twice"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb,relative_uncertainty\n100,1,-0.1\n", "negative"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n100\n", "1 cells, the header 2"),
        ("--cross-sections", "# source: x\nm_a,m_a\n100,1\n", "a column twice"),
        ("--cross-sections", "# source: x\ncross_section_pb\n1\n", "either a `point` or values"),
        ("--cross-sections", "# source: x\n", "no header"),
        ("--cross-sections", "# source: x\nm_a,cross_section_pb\n", "0 rows"),
        ("--published", "kind,point,value,source\nlimits,P_100_10,1,x\n", "unknown kind 'limits'"),
        ("--published", "kind,m_a,value,source\ncls_observed,100,1,x\n", "2 signal points have these values"),
        ("--published", "kind,m_a,value,source\nexcluded_to,100,1,x\n", "at all other axes"),
        ("--published", "kind,point,value,tolerance,source\ncls_observed,P_100_10,1,2,x\n", "not above 1"),
        ("--published", "kind,point,value,bin,source\ncls_observed,P_100_10,1,0.5,x\n", "no whole number"),
        ("--published", "kind,point,source\ncls_observed,P_100_10,x\n", "needs a `value`"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(option: str, text: str, says: str, tmp_path: Path, capsys) -> None:
    assert wrap(tmp_path, option, table(tmp_path, text)) == 3
    found = error(capsys)
    assert found["code"] == "wrap.table"
    assert says in found["message"]
    assert "table.csv" in found["where"]
    assert not (tmp_path / "out").exists()


def test_a_number_that_the_record_cannot_have_is_refused(tmp_path: Path, capsys) -> None:
    text = "kind,point,value,channel,bin,source\nacceptance_efficiency,P_100_10,0.1,SR,1,x\n"
    assert wrap(tmp_path, "--published", table(tmp_path, text)) == 3
    assert "wrapped.no-cross-section" in json.dumps(error(capsys))
    assert not (tmp_path / "out").exists()


def test_a_selection_is_kept_beside_with_its_digest_and_regions(tmp_path: Path) -> None:
    path = table(tmp_path, SELECTION, "mine.yaml")
    regions = ("--region", "SR=SR:n_mu:0.5,1.5,2.5,3.5+", "--region", "CR=CR:n_mu:-1,-0.5,0.5")
    analysis = wrapped_with(tmp_path, "--selection", path, *regions, "--b-hadrons")
    selection = analysis.selection
    assert selection is not None
    assert (tmp_path / "out" / selection.file).read_text() == SELECTION
    assert selection.sha256 == hashlib.sha256(SELECTION.encode()).hexdigest()
    assert selection.requires == ("b-hadrons",)
    assert selection.channels == {
        "SR": Binning(region="SR", observable="n_mu", edges=(0.5, 1.5, 2.5, 3.5), overflow=True),
        "CR": Binning(region="CR", observable="n_mu", edges=(-1.0, -0.5, 0.5)),
    }


@pytest.mark.parametrize(
    ("text", "words", "code", "says"),
    [
        (SELECTION, (), "wrap.region", "fills no channel"),
        (SELECTION, ("--region", "SR=SX"), "wrap.region", "no region 'SX'"),
        (SELECTION, ("--region", "SX=SR"), "wrap.region", "no channel 'SX'"),
        (SELECTION, ("--region", "SR=SR"), "wrap.region", "has 3 bins; 1 would be filled"),
        (SELECTION, ("--region", "SR=SR:n_mu:a,b"), "wrap.region", "are not numbers"),
        (SELECTION, ("--region", "SR"), "wrap.region", "does not say what fills"),
        (SELECTION, ("--region", "SR=SR:n_el:0,1,2,3"), "wrapped.binning", "n_el"),
        ("schema: request/1.0.0\n", (), "wrap.selection", "expected an analysis document"),
        ("schema: analysis/1.0.0\n", (), "wrap.selection", "no regions"),
        (SELECTION.replace("pt > 10", "open('x')"), ("--region", "SR=SR:n_mu:0,1,2,3"), None, "open"),
    ],
)
def test_a_selection_that_does_not_fit_is_refused(text, words, code, says, tmp_path: Path, capsys) -> None:
    assert wrap(tmp_path, "--selection", table(tmp_path, text, "mine.yaml"), *words) == 3
    found = error(capsys)
    assert code is None or found["code"] == code
    assert says in json.dumps(found, ensure_ascii=False)
    assert "mine.yaml" in json.dumps(found) or code in {"wrap.region", "wrapped.binning"}
    assert not (tmp_path / "out").exists()


def test_a_region_without_a_selection_is_a_wrong_use(tmp_path: Path, capsys) -> None:
    assert wrap(tmp_path, "--region", "SR=SR") == 2
    assert "--selection" in error(capsys)["message"]
