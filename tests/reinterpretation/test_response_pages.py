"""The page of a response to a published likelihood: figures, tables and numbers of response.json, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyhf
import pytest

from evercast.cli import main
from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, read_workspace
from evercast.reinterpretation.requests.answers import gather
from evercast.reinterpretation.requests.backgrounds import channel_contents
from evercast.reinterpretation.requests.frozen import FrozenRequest, read_frozen
from evercast.reinterpretation.requests.points import compute_points
from evercast.reinterpretation.requests.response import write_response
from response_checks import assert_shown, page_of, response_of

HOSTILE = '</title><script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" \\e[31m'
OWN = """\
  points:
    mine:
      cross_section: {value_pb: 0.01, relative_uncertainty: 0.1}
      yields: {channels: {SR: {events: [4.0, 2.0, 1.0], uncertainty: [0.2, 0.1, 0.1]}}, systematic: 0.1}
"""


def answered(draft: Path, capsys: pytest.CaptureFixture[str], *changes: tuple[str, str]) -> tuple[FrozenRequest, Path]:
    """The response to a changed draft, computed here without the workflow around it."""
    document = draft / "request.yaml"
    text = document.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    document.write_text(text)
    capsys.readouterr()
    assert main(["request", "submit", str(draft), "--json"]) == 0
    frozen = read_frozen(draft, str(json.loads(capsys.readouterr().out)["run"]))
    keys = [point.key for point in frozen.points]
    compute_points(frozen, keys)
    return frozen, write_response(frozen, gather(frozen), computed=set(keys[1:]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pyhf")
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
def test_a_plane_with_points_of_the_requester(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title = ("# title: what is asked, for people", "title: " + json.dumps(HOSTILE))
    frozen, folder = answered(draft, capsys, ("published: all", f"published: all\n{OWN}"), title)
    body = response_of(folder)
    page, cells = page_of(folder)
    assert "<script" not in page.split("</style>")[1].replace("&lt;script", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt;" in page
    for figure in ("contour", "line-0", "line-1", "channel-0", "shape-0"):
        assert f'id="{figure}"' in page
    for point in body["points"]:
        assert_shown(cells, point["cls"]["observed"], point["cls"]["expected"][2], point["limit"]["observed"])
    assert_shown(cells, body["points"][-1]["limit_pb"])
    for file, digest in body["reused"]["files"].items():
        assert f"{file}, sha256 {digest}, as it is" in cells
    assert body["reused"]["results"] == [frozen.points[0].name]
    assert (cells[cells.index("points computed in this run") + 1]) == str(len(frozen.points) - 1)
    opened = pyhf.PatchSet(json.loads((folder / "patchset.json").read_text()))
    opened.verify(pyhf.Workspace(json.loads((folder / "background.json").read_text())))
    assert len(opened) == len(body["points"])


def test_backgrounds_are_those_of_the_fit_without_signal(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen, folder = answered(draft, capsys, ("published: all", "published: [P_100_10, P_200_10, P_300_10]"))
    (content,) = channel_contents(frozen)  # the signal reaches the signal region alone
    likelihood = Likelihood(read_workspace(apply_patch(frozen.background(), frozen.patch(frozen.points[0]))))
    best = fit(likelihood, fixed={"mu_SIG": 0.0})
    assert content.expected == pytest.approx(likelihood.expected_events(best.theta)["SR"], rel=1e-6)
    # the spread of the expectation over parameters drawn from the covariance of the fit
    free = np.diag(best.covariance) > 0
    random = np.random.default_rng(3)
    drawn = random.multivariate_normal(best.theta[free], best.covariance[np.ix_(free, free)], size=2000)
    rates = []
    for row in drawn:
        theta = best.theta.copy()
        theta[free] = row
        rates.append(likelihood.expected_events(theta)["SR"])
    assert content.uncertainty == pytest.approx(np.std(rates, axis=0), rel=0.08)  # 2000 draws: 1.6 %; interpolation
    body = response_of(folder)
    (channel,) = body["backgrounds"]
    assert channel["observed"] == [5.0, 8.0, 22.0]
    assert [sample["name"] for sample in channel["samples"]] == ["top"]
    page, _ = page_of(folder)
    assert 'id="line-0"' in page  # points on one line: no plane, the limits along it
    assert 'id="contour"' not in page


def test_data_that_were_left_out_are_nowhere(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = ("published: all", "published: [P_200_10]"), ("observed: true", "observed: false")
    _, folder = answered(draft, capsys, *change)
    body = response_of(folder)
    (channel,) = body["backgrounds"]
    assert (channel["observed"], channel["uncertainty"]) == (None, None)
    assert channel["samples"] == [{"name": "top", "events": [4.0, 9.0, 20.0]}]
    (point,) = body["points"]
    page, cells = page_of(folder)
    assert_shown(cells, *point["cls"]["expected"], *point["limit"]["expected"])
    assert "the data not looked at" in str(body["verdict"])
    assert not re.search(r">\s*Data\s*<", page)
    assert 'id="limits"' in page


def test_control_characters_reach_neither_page_nor_terminal(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = draft / "request.yaml"
    text = document.read_text()
    document.write_text(text.replace("# title: what is asked, for people", 'title: "\\u001b[31mred\\u202e"'))
    assert main(["request", "check", str(draft)]) == 3
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert "request.yaml:5: " in said.err
    assert "U+001B" in said.err
