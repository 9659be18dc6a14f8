"""The toy analysis from its document to its results, through Snakemake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evercast.runtime.folders import RunFolder
from workflow_documents import body, changed, evercast, receipts, write_document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("toy")]


def run(folder: Path) -> dict[str, object]:
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    outcome: dict[str, object] = json.loads(done.stdout)
    return outcome


@pytest.fixture
def copied(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    shutil.copytree(toy_run, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_everything_comes_out(toy_run: Path) -> None:
    outcome = json.loads((toy_run / "stdout.json").read_text())
    assert outcome["units"] == len(outcome["ran"]) == 16
    results = toy_run / "results" / "toy"
    for name in (
        "likelihood/workspace.json",
        "likelihood/neural/manifest.json",
        "fit.json",
        "diagnostics.json",
        "report.html",
    ):
        assert (results / name).stat().st_size > 0
    assert not list((results / "work").glob("attempts/*"))


def test_both_likelihoods_find_the_signal_that_was_put_in(toy_run: Path) -> None:
    fits = json.loads((toy_run / "results" / "toy" / "fit.json").read_text())["results"]
    widths = {}
    for name in ("binned", "neural"):
        assert fits[name]["status"] == "ok"
        interval = fits[name]["observed"]["interval"]
        value = fits[name]["observed"]["fit"]["parameters"]["mu"]["value"]
        widths[name] = interval["high"] - interval["low"]
        assert abs(value - 1.0) < 3 * widths[name] / 2  # three standard deviations of one experiment
    assert widths["neural"] < widths["binned"]  # two observables unbinned know more than one in bins


def test_a_second_run_does_nothing(copied: Path) -> None:
    before = receipts(RunFolder(copied / "results" / "toy"))
    assert run(copied)["ran"] == []
    assert receipts(RunFolder(copied / "results" / "toy")) == before


def test_time_stamps_decide_nothing(copied: Path) -> None:
    import os  # noqa: PLC0415

    for index, path in enumerate(sorted((copied / "results").rglob("*"))):
        when = (0, 4_000_000_000, 1_600_000_000)[index % 3]
        os.utime(path, (when, when))
    os.utime(copied / "make_events.py", (4_000_000_000, 4_000_000_000))
    assert run(copied)["ran"] == []


def test_another_scan_trains_and_serializes_nothing(copied: Path) -> None:
    before = receipts(RunFolder(copied / "results" / "toy"))
    write_document(copied, changed(body(), "inference.scan_points", 11))
    ran = run(copied)["ran"]
    assert isinstance(ran, list)
    assert sorted(unit.rsplit("-", 1)[0] for unit in ran) == ["binned", "diagnostics", "neural", "report"]
    after = receipts(RunFolder(copied / "results" / "toy"))
    assert all(after[unit] == files for unit, files in before.items())
    fits = json.loads((copied / "results" / "toy" / "fit.json").read_text())["results"]
    assert len(fits["binned"]["observed"]["scan"]["values"]) == 11


def test_going_back_to_the_old_document_runs_nothing(copied: Path) -> None:
    write_document(copied, changed(body(), "title", "another title"))
    planned = evercast("run", "analysis.yaml", "--dry-run", "--json", cwd=copied)
    stages = {unit["stage"] for unit in json.loads(planned.stdout)["units"]}
    assert stages == {"serialization", "fit", "training_statistics", "diagnostics", "report"}
    write_document(copied, body())
    planned = evercast("run", "analysis.yaml", "--dry-run", "--json", cwd=copied)
    assert json.loads(planned.stdout)["units"] == []


def test_a_block_that_was_lost_is_trained_again_bit_for_bit(copied: Path) -> None:
    before = receipts(RunFolder(copied / "results" / "toy"))
    block = next((copied / "results" / "toy" / "work" / "training").glob("ratios-S-0-*"))
    shutil.rmtree(block)
    ran = run(copied)["ran"]
    assert isinstance(ran, list)
    assert [unit.rsplit("-", 1)[0] for unit in ran] == ["ratios-S-0"], "what follows was made from the same bits"
    assert receipts(RunFolder(copied / "results" / "toy")) == before


def test_published_files_that_were_damaged_are_put_right(copied: Path) -> None:
    report = copied / "results" / "toy" / "report.html"
    content = report.read_bytes()
    report.write_bytes(b"damaged")
    assert run(copied)["ran"] == []
    assert report.read_bytes() == content


def test_status_says_complete(toy_run: Path) -> None:
    done = evercast("status", "analysis.yaml", "--json", cwd=toy_run)
    status = json.loads(done.stdout)
    assert status["complete"] is True
    assert status["stages"]["training"] == {"done": 2, "running": 0, "failed": 0, "waiting": 0}
