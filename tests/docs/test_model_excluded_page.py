"""The how-to "Answer: is my model excluded?" is run as it stands, from LHE files to the contour."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evercast.artifacts.files import sha256_file
from evercast.cli import main
from evercast.reinterpretation.requests.read import read_request

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "is-my-model-excluded.md").read_text()
BLOCKS: dict[str, str] = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL))
PROGRAMS = {"evercast": (sys.executable, "-m", "evercast"), "python": (sys.executable,)}


def run(title: str, folder: Path) -> list[str]:
    """Run the commands of a block and return what each printed."""
    environment = os.environ | {
        "EVERCAST_CONFIG": str(folder / "config"), "EVERCAST_CACHE": str(folder / "cache"), "EVERCAST_OFFLINE": "1",
    }  # fmt: skip
    printed = []
    for line in BLOCKS[title].replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line, comments=True)
        done = subprocess.run(
            [*PROGRAMS[program], *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        printed.append(done.stdout)
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who did what the page says, with the last answer in ``answer.txt``."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("make_search.py", "selection.yaml", "make_signals.py"):
        (folder / name).write_text(BLOCKS[name])
    run("preserve", folder)
    (folder / "answer.txt").write_text(run("ask", folder)[-1])
    return folder


def test_the_answer_is_the_one_on_the_page(folder: Path) -> None:
    answer = (folder / "answer.txt").read_text()
    assert " ".join(BLOCKS["answer"].split()) in answer
    assert "computed 8 of 8 points" in answer


def test_the_response_has_limits_a_contour_and_the_cut_flow_of_every_point(folder: Path) -> None:
    (response,) = (folder / "my-scan" / "responses").glob("*/response.json")
    body = json.loads(response.read_text())
    assert body["contour"] is not None
    assert body["axes"] == [
        {"name": "m_smuon", "title": None, "unit": "GeV"}, {"name": "m_neutralino", "title": None, "unit": "GeV"},
    ]  # fmt: skip
    for point in body["points"]:
        assert point["limit"]["observed"] > 0
        steps = [step["name"] for step in point["selection"]["cut_flow"]]
        assert steps == ["all", "two muons", "SR"]
        events = [step["events"] for step in point["selection"]["cut_flow"]]
        assert events[0] == 400
        assert events == sorted(events, reverse=True)
        assert point["excluded"] == (point["limit"]["observed"] < 1)
    page = response.with_name("response.html").read_text()
    assert "m_smuon" in page
    assert "<svg" in page


@pytest.mark.public_data
def test_the_signal_of_an_slha_file_is_a_request_that_passes(
    real_data: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    for name in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"EVERCAST_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("EVERCAST_DATA", str(real_data))
    monkeypatch.setenv("EVERCAST_OFFLINE", "1")
    analysis = repository / "specs" / "atlas-susy-2018-31"
    folder = tmp_path / "my-sbottom"
    assert main(["request", "new", str(folder), "--analysis", str(analysis)]) == 0
    card = folder / "point.slha"
    card.write_bytes((analysis / "sbottom_1000_450_60.slha").read_bytes())
    signal = BLOCKS["signal of my-sbottom"].replace("DIGEST", sha256_file(card))
    signal = signal.replace("SIZE", str(card.stat().st_size))
    document = folder / "request.yaml"
    head, _, rest = document.read_text().partition("signal:\n")
    document.write_text(head + signal + rest[rest.index("wanted:") :])
    capsys.readouterr()
    assert main(["request", "check", str(folder), "--analysis", str(analysis), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == ["my_sbottom"]


def test_the_request_to_a_neural_likelihood_is_one_that_is_shipped(repository: Path) -> None:
    shipped = re.findall(r"cp (specs/[^ ]+\.yaml) [a-z-]+/request\.yaml", BLOCKS["neural"])
    assert len(shipped) == 1
    request = read_request(repository / shipped[0])
    assert f"evercast catalogue describe {request.analysis.name} " in BLOCKS["neural"]
    (point,) = request.signal.points.values()
    assert point.process is not None
