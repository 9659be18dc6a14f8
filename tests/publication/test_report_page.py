"""The report on finished runs of several kinds: complete, escaped, self-contained, the same bytes twice."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import uproot
from synthetic import DOCUMENT, synthetic_analysis, write_run

from evercast.errors import IntegrityError
from evercast.plan.recipes import ReportRecipe, Task
from evercast.publication.report_stage import run
from evercast.spec.model import Analysis, Process

HOSTILE = "<script>alert(1)</script>"


def report(folder: Path, analysis: Analysis, inputs: dict[str, Path], *, pseudo: bool = False) -> str:
    output = folder / f"out-{len(list(folder.iterdir()))}"
    output.mkdir()
    recipe = ReportRecipe(analysis=analysis, pseudo=pseudo)
    run(Task(recipe=recipe, inputs=inputs, output=output, checkpoint=folder))
    return (output / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Collects what a browser would load or run, and checks that tags are closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "srcset", "data", "poster") or (name in ("href", "xlink:href") and tag != "a"):
                self.loads.append(value or "")
            assert not name.startswith("on")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis, dict[str, Path], str]:
    folder = tmp_path_factory.mktemp("run")
    analysis = synthetic_analysis()
    inputs = write_run(folder, analysis)
    return folder, analysis, inputs, report(folder, analysis, inputs)


def test_every_section_of_a_full_analysis_is_there(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    page = finished[3]
    for anchor in ("results", "distributions", "networks", "selection", "analysis", "workflow", "provenance"):
        assert f'id="{anchor}"' in page
    for figure in ("profiles", "channel-m", "losses-ratios", "ratios-ratios"):
        assert f'<figure id="{figure}"' in page


def test_the_page_is_well_formed_and_its_ids_are_unique(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    tags = Tags()
    tags.feed(finished[3])
    assert tags.open == []
    repeated = {name for name in tags.ids if tags.ids.count(name) > 1}
    assert repeated == set()


def test_the_page_loads_nothing_and_runs_nothing(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    tags = Tags()
    tags.feed(finished[3])
    assert all(target.startswith("#") for target in tags.loads)
    assert not tags.seen & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert "@import" not in finished[3]
    assert set(re.findall(r"url\(([^)]{1,4})", finished[3])) <= {
        f"#{start}" for start in re.findall(r"url\(#(...)", finished[3])
    }


def test_the_same_run_gives_the_same_bytes(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    folder, analysis, inputs, page = finished
    assert report(folder, analysis, inputs) == page


def test_the_result_stands_at_the_top(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    top = finished[3].split('id="results"')[0]
    assert "0.90 +0.42 −0.38" in top
    assert "pseudo" not in top.lower()


def test_pseudo_data_are_announced_loudly(finished: tuple[Path, Analysis, dict[str, Path], str]) -> None:
    folder, analysis, inputs, _ = finished
    page = report(folder, analysis, inputs, pseudo=True)
    assert '<p class="banner" role="alert">Simulated pseudo-data' in page
    assert "pseudo-data events" in page


def test_provenance_and_fit_are_written_and_name_no_folder(
    finished: tuple[Path, Analysis, dict[str, Path], str],
) -> None:
    folder = finished[0]
    output = next(path for path in folder.iterdir() if (path / "report.html").exists())
    fit = json.loads((output / "fit.json").read_text())
    assert fit["schema"] == "fit/1.0.0"
    assert set(fit["results"]) == {"binned", "neural"}
    text = (output / "provenance.json").read_text()
    provenance = json.loads(text)
    assert {f"{unit['stage']}/{unit['name']}" for unit in provenance["units"]} == set(finished[2])
    for content in (text, finished[3]):
        assert str(folder) not in content
        assert "/home/" not in content


def hostile_analysis() -> Analysis:
    analysis = synthetic_analysis(title=HOSTILE)
    metadata = replace(analysis.metadata, experiment=f'"><img src=x onerror=alert(1)>{HOSTILE}', description=HOSTILE)
    processes = {
        "S": Process(sample="peak", coefficient="mu", title=f"$\\nonsense{{$ {HOSTILE}", color='red" onload="alert(1)'),
        "B": Process(sample="fall", title="=cmd|' /C calc'!A0 \x1b[31m $x_1$ \N{PILE OF POO}"),
    }
    return replace(analysis, metadata=metadata, processes=processes)


def test_hostile_names_are_escaped_everywhere(tmp_path: Path) -> None:
    analysis = hostile_analysis()
    inputs = write_run(tmp_path, analysis)
    name = f"training/{HOSTILE}"
    inputs[name] = inputs["training/ratios-S-b0"]
    result = json.loads((inputs["fit/binned"] / "result.json").read_text())
    result["guard"] = {"passed": False, "problems": [HOSTILE]}
    (inputs["fit/binned"] / "result.json").write_text(json.dumps(result))
    page = report(tmp_path, analysis, inputs)
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "img" not in tags.seen
    assert HOSTILE not in page
    assert "\x1b" not in page


def test_a_fit_that_is_not_trusted_shows_its_reason_and_no_number(tmp_path: Path) -> None:
    analysis = synthetic_analysis()
    inputs = write_run(tmp_path, analysis)
    path = inputs["fit/neural"] / "result.json"
    result = json.loads(path.read_text())
    result["guard"] = {"passed": False, "problems": ["the Hessian is not positive definite"]}
    result["observed"]["fit"]["parameters"]["mu"]["value"] = 7.654321
    path.write_text(json.dumps(result))
    page = report(tmp_path, analysis, inputs)
    assert "the Hessian is not positive definite" in page
    assert "7.65" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def without_networks() -> Analysis:
    return synthetic_analysis(ensembles={}, likelihoods={"binned": DOCUMENT["likelihoods"]["binned"]})  # type: ignore[index]


def without_bins() -> Analysis:
    return synthetic_analysis(likelihoods={"neural": DOCUMENT["likelihoods"]["neural"]}, publish={})  # type: ignore[index]


@pytest.mark.parametrize(
    ("analysis", "present", "absent"),
    [(without_networks(), "channel-m", "losses-ratios"), (without_bins(), "losses-ratios", "channel-m")],
    ids=["binned only", "neural only"],
)
def test_analyses_with_one_kind_of_likelihood_have_a_report(
    tmp_path: Path, analysis: Analysis, present: str, absent: str
) -> None:
    page = report(tmp_path, analysis, write_run(tmp_path, analysis))
    assert f'id="{present}"' in page
    assert f'id="{absent}"' not in page


def with_published_histogram(folder: Path) -> tuple[Analysis, dict[str, Path]]:
    """A run whose peak is normalised and calibrated to a histogram that was fetched."""
    source = {"url": "https://example.org/h.root", "sha256": "0" * 64, "size_bytes": 1, "license": "CC0-1.0"}
    term = {"source": "hist", "object": "h", "luminosity_fb": 1.0, "cross_section_pb": 1.0, "generated_events": 1000}
    calibration = {"observable": "m", "edges": [70.0, 120.0, 180.0]}
    normalisation = {"histogram": "peak_m", "region": "SR", "calibration": calibration}
    peak = {"files": [{"path": "peak.csv"}], "normalisation": normalisation}
    analysis = synthetic_analysis(
        sources={"hist": source},
        histograms={"peak_m": {"observable": "m", "terms": [term]}},
        samples=DOCUMENT["samples"] | {"peak": peak},  # type: ignore[operator]
    )
    inputs = write_run(folder, analysis)
    fetched = folder / "fetch-hist"
    fetched.mkdir()
    with uproot.recreate(fetched / "h.root") as file:
        file["h"] = (np.array([5.0, 30.0, 40.0, 8.0]), np.array([70.0, 100.0, 120.0, 140.0, 180.0]))
    summary = json.loads((inputs["selection/peak"] / "summary.json").read_text())
    summary["normalisation"]["bin_factors"] = [0.5, 2.0]
    (inputs["selection/peak"] / "summary.json").write_text(json.dumps(summary))
    return analysis, inputs | {"fetch/hist": fetched}


def test_simulation_is_compared_with_the_histogram_that_normalises_it(tmp_path: Path) -> None:
    analysis, inputs = with_published_histogram(tmp_path)
    page = report(tmp_path, analysis, inputs)
    assert '<figure id="shape-peak"' in page
    assert "grey points show the shape before" in page


def test_pseudo_data_runs_have_no_published_histograms_and_a_report_all_the_same(tmp_path: Path) -> None:
    analysis, inputs = with_published_histogram(tmp_path)
    del inputs["fetch/hist"]
    assert 'id="shapes"' not in report(tmp_path, analysis, inputs, pseudo=True)


def test_results_that_were_not_computed_are_left_out(tmp_path: Path) -> None:
    analysis = without_networks()
    inputs = write_run(tmp_path, analysis)
    path = inputs["fit/binned"] / "result.json"
    result = json.loads(path.read_text())
    result["expected"] = None
    result["observed"] |= {"interval": None, "significance": None, "scan": {"values": [], "t": []}}
    path.write_text(json.dumps(result))
    page = report(tmp_path, analysis, inputs)
    assert "0.90 +0.40 −0.40" in page
    assert 'id="profiles"' not in page


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    analysis = without_networks()
    inputs = write_run(tmp_path, analysis)
    (inputs["fit/binned"] / "result.json").write_text('{"poi": NaN}')
    with pytest.raises(IntegrityError, match=r"result\.json is not valid JSON"):
        report(tmp_path, analysis, inputs)
