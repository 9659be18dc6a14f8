"""Bad input to the whole engine ends with one clear error, the documented exit code, and nothing lost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = [sys.executable, "-m", "evercast"]


def numbers(*, start: float, step: float, count: int) -> str:
    return "x,w\n" + "".join(f"{start + step * (index % 17)},{1 + index % 3}\n" for index in range(count))


def counting(region: str, edges: list[float]) -> dict[str, Any]:
    return {"kind": "binned", "region": region, "observable": "x1", "edges": edges, "processes": ["S", "B"]}


def document() -> dict[str, Any]:
    """A small valid analysis: two samples in CSV files, a counting channel and an unbinned one."""
    return {
        "schema": "analysis/1.0.0",
        "name": "small",
        "title": "Small analysis",
        "metadata": {"experiment": "toy", "sqrt_s_tev": [13], "luminosity_fb": 1, "license": "CC0-1.0"},
        "samples": {
            "signal": {
                "files": [{"path": "signal.csv"}],
                "weight": "w",
                "normalisation": {"yield_events": 20, "region": "SR"},
            },
            "background": {
                "files": [{"path": "background.csv"}],
                "normalisation": {"yield_events": 100, "region": "SR"},
            },
            "observed": {"role": "data", "files": [{"path": "observed.csv"}]},
        },
        "selection": {
            "columns": ["x", "w"],
            "preselection": {"positive": "x > -100"},
            "observables": {"x1": {"expression": "x", "unit": "GeV"}},
            "regions": {"SR": {"cut": "x1 > 0"}, "CR": {"cut": "x1 <= 0"}},
            "seed": 1,
        },
        "parameters": {"mu": {"poi": True, "initial": 1, "bounds": [0, 10]}},
        "processes": {"S": {"sample": "signal", "coefficient": "mu"}, "B": {"sample": "background"}},
        "ensembles": {
            "ratios": {
                "region": "SR",
                "processes": ["S", "B"],
                "reference": {"signal": 1, "background": 1},
                "observables": ["x1"],
                "model": {"kind": "mlp", "width": 4, "depth": 1},
                "training": {"epochs": 1, "batch": 64},
                "members": 1,
                "folds": 2,
                "seed": 3,
            }
        },
        "likelihoods": {
            "binned": {
                "channels": {
                    "SR": counting("SR", [0, 5, 20]),
                    "CR": counting("CR", [-20, 0]),
                }
            }
        },
        "inference": {"scan_points": 5, "scan_range": [0, 3]},
        "publish": {"pyhf": {"likelihood": "binned", "measurement": "small"}},
    }


class Case:
    """A folder with the document and its files; `run` calls the program in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = document()
        (folder / "signal.csv").write_text(numbers(start=-1.5, step=1.0, count=200))
        (folder / "background.csv").write_text(numbers(start=-3.5, step=0.7, count=300))
        (folder / "observed.csv").write_text(numbers(start=-3.5, step=0.8, count=100))

    def run(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Return exit code, error as JSON and what was printed on stderr."""
        (self.folder / "analysis.yaml").write_text(yaml.safe_dump(self.document, sort_keys=False))
        command = [*PROGRAM, *words, "analysis.yaml", "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)
        assert "Traceback" not in done.stderr + done.stdout
        answer = json.loads(done.stdout)
        return done.returncode, answer.get("error", answer), done.stderr

    def inputs(self) -> dict[str, bytes]:
        """Return the input files as they are now."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_document_of_these_tests_is_valid(case: Case) -> None:
    code, answer, _ = case.run("validate")

    assert code == 0, answer


def test_typos_and_unknown_names_are_all_reported_at_once(case: Case) -> None:
    case.document["metadata"]["lumniosity_fb"] = case.document["metadata"].pop("luminosity_fb")
    case.document["processes"]["S"]["sample"] = "signl"
    case.document["inference"]["scan_points"] = "5"

    code, answer, _ = case.run("validate")

    text = json.dumps(answer)
    assert code == 3
    assert "did you mean 'luminosity_fb'" in text
    assert "did you mean 'signal'" in text
    assert "$.inference.scan_points" in text


def test_a_missing_file_is_named_before_anything_runs(case: Case) -> None:
    case.document["samples"]["observed"]["files"] = [{"path": "nowhere.csv"}]

    code, answer, _ = case.run("run")

    assert code == 3
    assert "nowhere.csv" in json.dumps(answer)
    assert not (case.folder / "results").exists()


def test_a_file_with_another_checksum_is_refused(case: Case, tmp_path: Path) -> None:
    case.document["samples"]["observed"]["files"] = [{"path": "observed.csv", "sha256": "0" * 64}]

    code, answer, _ = case.run("run")

    assert code in {3, 5}
    assert "0000" in json.dumps(answer)
    assert "sha256" in json.dumps(answer)


RUNS = {
    "an empty selection": (
        lambda d, _: d["selection"]["preselection"].update(positive="x > 1000"),
        3,
        "selection.empty",
        ["positive", "0"],
    ),
    "all weights zero": (
        lambda d, _: d["samples"]["signal"].update(weight="w * 0"),
        3,
        "sample.weights",
        ["signal", "zero"],
    ),
    "a negative total weight": (
        lambda d, _: d["samples"]["signal"].update(weight="1 - w"),
        3,
        "sample.weights",
        ["signal", "-199"],
    ),
    "no simulated event in a channel": (
        lambda d, _: d["selection"]["regions"]["CR"].update(cut="x1 < -3.2"),
        3,
        "likelihood",
        ["CR"],
    ),
    "NaN in a column": (
        lambda _, f: (f / "observed.csv").write_text("x,w\n1.0,1\nnan,1\n"),
        3,
        "sample.not-finite",
        ["observed.csv", "x"],
    ),
    "a damaged CSV": (
        lambda _, f: (f / "observed.csv").write_text("x,w\n1.0,1\n2.0\n"),
        3,
        "sample.",
        ["observed.csv", "3"],
    ),
    "a damaged gzip": (
        lambda d, f: (
            (f / "o.csv.gz").write_bytes(gzip.compress(b"x,w\n" + b"0.1234,1\n" * 9000)[:60]),
            d["samples"]["observed"].update(files=[{"path": "o.csv.gz"}]),
        ),
        3,
        "sample.truncated",
        ["o.csv.gz", "gzip"],
    ),
    "a damaged ROOT file": (
        lambda d, f: (
            (f / "o.root").write_bytes(b"root\x00\x00\xf2\x4e" + bytes(120)),
            d["samples"]["observed"].update(files=[{"path": "o.root"}]),
        ),
        3,
        "sample.",
        ["o.root"],
    ),
    "a damaged HepMC file": (
        lambda d, f: (
            (f / "o.hepmc").write_text(
                "HepMC::Version 3.02.00\nHepMC::Asciiv3-START_EVENT_LISTING\nE 0 1 2\nU GEV MM\nP 1 0 11 1 2 3 4 0 1\n"
            ),
            d["samples"]["observed"].update(files=[{"path": "o.hepmc"}]),
        ),
        3,
        "sample.truncated",
        ["o.hepmc", "END_EVENT_LISTING"],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_on_bad_events_ends_with_a_clear_error(case: Case, name: str) -> None:
    damage, expected_exit, expected_code, words = RUNS[name]
    damage(case.document, case.folder)

    code, answer, _ = case.run("run")
    before = case.inputs()

    text = json.dumps(answer, ensure_ascii=False)
    assert code == expected_exit, text
    assert answer["code"].startswith(expected_code), text
    for word in words:
        assert word in text
    assert not (case.folder / "results/small/likelihood").exists()
    assert case.inputs() == before


def test_a_mended_input_lets_the_run_go_on_from_where_it_failed(case: Case) -> None:
    good = (case.folder / "observed.csv").read_text()
    (case.folder / "observed.csv").write_text("x,w\nnan,1\n")
    failed, _, _ = case.run("run")
    (case.folder / "observed.csv").write_text(good)
    receipts = {path: path.read_bytes() for path in case.folder.glob("results/small/work/selection/*/receipt.json")}

    code, answer, _ = case.run("run")

    assert failed == 3
    assert receipts, "the other samples were selected before the failure"
    assert code == 0, answer
    assert all(path.read_bytes() == content for path, content in receipts.items())
    assert (case.folder / "results/small/likelihood/workspace.json").is_file()
