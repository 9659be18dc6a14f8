"""Content decides: false time stamps change nothing, changed content is named, refused, and made good by a repair."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from evercast.runtime.folders import RunFolder
from workflow_documents import evercast, receipts

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("small")]


SAYS_WHEN = ("provenance.json", "report.html")
"""Files of the report that name the times of units: two of the same content differ in them."""


@pytest.fixture
def finished(small_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(small_run, folder, symlinks=True)
    return folder


def verify(folder: Path) -> tuple[int, dict[str, Any]]:
    done = evercast("status", "analysis.yaml", "--verify", "--json", cwd=folder)
    body: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, body


def table(folder: Path) -> Path:
    """The table of events of the signal, which other units need."""
    return next((folder / "results" / "toy" / "work" / "command").glob("events-signal-*/events.csv"))


def without_times(results: RunFolder) -> dict[str, Any]:
    """The provenance of a run, but for when its units were made and what that took."""
    (path,) = results.work.glob("report/report-*/provenance.json")
    body: dict[str, Any] = json.loads(path.read_text())
    for unit in body["units"]:
        for name in ("started", "ended", "seconds", "max_rss_mb"):
            assert unit.pop(name), (unit["name"], name)
    return body


def change(path: Path) -> None:
    """Flip one bit, and keep size and time stamps."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


STAMPS = {"all in 2099": (4_070_908_800, 0), "all at the beginning of time": (0, 0), "reversed": (2_000_000_000, -3600)}
"""Name -> time stamp of the oldest file and what each younger one gets more, s."""


@pytest.mark.parametrize("stamps", STAMPS)
def test_time_stamps_decide_nothing(finished: Path, stamps: str) -> None:
    before = receipts(RunFolder(finished / "results" / "toy"))
    files = sorted((path for path in finished.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    for index, path in enumerate(files):
        first, step = STAMPS[stamps]
        os.utime(path, (first + step * index,) * 2)
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", cwd=finished)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["ran"] == []
    assert receipts(RunFolder(finished / "results" / "toy")) == before


def test_an_untouched_run_is_as_it_must_be(finished: Path) -> None:
    code, body = verify(finished)
    assert (code, body["findings"], body["next"]) == (0, [], None)
    assert body["verified"] == len(receipts(RunFolder(finished / "results" / "toy")))
    text = evercast("status", "analysis.yaml", "--verify", cwd=finished).stdout
    assert "every file of them is what its receipt says" in text


def test_what_is_changed_missing_or_too_much_is_named(finished: Path) -> None:
    events = table(finished)
    change(events)
    report = next((finished / "results" / "toy" / "work" / "report").glob("*/report.html"))
    report.unlink()
    (report.parent / "more.txt").write_text("x")
    damaged = next((finished / "results" / "toy" / "work" / "fit").glob("*/receipt.json"))
    damaged.write_text("{")
    code, body = verify(finished)
    assert code == 5
    kinds = {(finding["kind"], Path(finding["path"]).name) for finding in body["findings"]}
    assert kinds == {
        ("changed", "events.csv"), ("missing", "report.html"), ("extra", "more.txt"), ("receipt", "receipt.json")
    }  # fmt: skip
    assert body["wrong"] == sorted({events.parent.name, report.parent.name, damaged.parent.name})
    assert body["next"] == "evercast run analysis.yaml --cores 2 --repair"
    done = evercast("status", "analysis.yaml", "--verify", cwd=finished)
    assert done.returncode == 5
    assert "events.csv: changed: sha256 " in done.stdout
    assert "to make them anew: evercast run analysis.yaml --cores 2 --repair" in done.stdout


def test_units_of_other_versions_and_images_are_named(finished: Path) -> None:
    current = finished / "results" / "toy" / "work" / "current.json"
    settings = json.loads(current.read_text())
    settings["images"] = {"evercast": {"file": "/images/a.sif", "sha256": "a" * 64}}
    current.write_text(json.dumps(settings))
    first, second = sorted((finished / "results" / "toy" / "work" / "selection").glob("*/receipt.json"))[:2]
    older, inside = json.loads(first.read_text()), json.loads(second.read_text())
    older["versions"]["numpy"] = "1.0.0"
    first.write_text(json.dumps(older))
    inside["container"] = {"image": "evercast", "sha256": "b" * 64, "apptainer": "1.4.5", "flags": []}
    second.write_text(json.dumps(inside))
    code, body = verify(finished)
    assert code == 5
    found = {(finding["kind"], finding["unit"], finding["found"]) for finding in body["findings"]}
    assert found == {
        ("versions", older["unit"], "numpy 1.0.0"),
        ("image", inside["unit"], f"evercast sha256 {'b' * 64}"),
    }


def test_results_are_verified_and_written_anew(finished: Path) -> None:
    root = finished / "results" / "toy"
    change(root / "fit.json")
    change(root / "report.html")
    change(root / "accounting.json")
    (root / "diagnostics.json").unlink()
    (root / "likelihood" / "more.txt").write_text("x")
    (root / "provenance.json").unlink()
    (root / "provenance.json").symlink_to(next((root / "work" / "report").glob("*/provenance.json")))
    code, body = verify(finished)
    assert code == 5
    assert {finding["stage"] for finding in body["findings"]} == {"results"}
    kinds = {(finding["kind"], Path(finding["path"]).name) for finding in body["findings"]}
    assert kinds == {
        ("changed", "fit.json"), ("changed", "report.html"), ("changed", "accounting.json"),
        ("missing", "diagnostics.json"), ("extra", "more.txt"), ("changed", "provenance.json"),
    }  # fmt: skip
    assert (body["wrong"], body["next"]) == ([], "evercast run analysis.yaml --cores 2")
    done = evercast("run", "analysis.yaml", "--json", cwd=finished)
    assert json.loads(done.stdout)["ran"] == []
    assert verify(finished)[0] == 0


def test_a_damaged_receipt_ends_with_5_and_names_the_repair(finished: Path) -> None:
    next((finished / "results" / "toy" / "work" / "fit").glob("binned-*/receipt.json")).write_text("{")
    for words in ((), ("--dry-run",)):
        done = evercast("run", "analysis.yaml", "--results", "results/toy", *words, "--json", cwd=finished)
        assert done.returncode == 5, words
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "unit.receipt-damaged"
        assert "evercast run analysis.yaml --results results/toy --repair" in error["hint"]
    told = json.loads(evercast("status", "analysis.yaml", "--json", cwd=finished).stdout)
    assert told["stages"]["fit"]["failed"] == 1
    assert not told["complete"]


def test_a_repair_says_what_it_would_do_and_counts_what_it_does(finished: Path) -> None:
    (damaged,) = (finished / "results" / "toy" / "work" / "fit").glob("binned-*/receipt.json")
    damaged.write_text("{")
    dry = evercast("run", "analysis.yaml", "--repair", "--dry-run", cwd=finished).stdout
    assert f"fit           {damaged.parent.name}  anew: " in dry
    assert "1 of 11 units would be run, 1 of them anew because they are damaged" in dry
    assert "2 units that follow from these would be made anew too" in dry
    assert damaged.read_text() == "{"
    done = evercast("run", "analysis.yaml", "--cores", "2", "--repair", cwd=finished)
    counts = [line.split("]")[0] for line in done.stderr.splitlines() if line.startswith("[")]
    assert counts == ["[11/11", "[10/11", "[11/11"]
    assert f"damaged, to be made anew: fit {damaged.parent.name}" in done.stderr


def test_results_that_cannot_be_written_are_said_as_such(finished: Path) -> None:
    root = finished / "results" / "toy"
    (root / "fit.json").unlink()
    (root / "fit.json").mkdir()
    done = evercast("run", "analysis.yaml", "--json", cwd=finished)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (6, "disk.in-the-way")
    assert "writing the results" in error["where"]
    told = json.loads(evercast("status", "analysis.yaml", "--json", cwd=finished).stdout)
    assert told["export_error"]["code"] == "disk.in-the-way"
    (root / "fit.json").rmdir()
    change(next((root / "work" / "report").glob("*/fit.json")))
    done = evercast("run", "analysis.yaml", "--json", cwd=finished)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (5, "unit.file-changed")
    assert "evercast run analysis.yaml --repair" in error["hint"]


def test_a_run_leaves_a_changed_file_alone_until_something_needs_it(finished: Path) -> None:
    work = finished / "results" / "toy" / "work"
    events = table(finished)
    change(events)
    changed = events.read_bytes()
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", cwd=finished)
    assert json.loads(done.stdout)["ran"] == []
    shutil.rmtree(next(work.glob("selection/signal-*")))
    done = evercast("run", "analysis.yaml", "--cores", "2", "--json", cwd=finished)
    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["code"] == "unit.file-changed"
    assert "--repair" in json.loads(done.stdout)["error"]["hint"]
    assert events.read_bytes() == changed


def test_a_repair_makes_anew_what_is_damaged_and_keeps_the_old(finished: Path) -> None:
    results = RunFolder(finished / "results" / "toy")
    before = receipts(results)
    events = table(finished)
    change(events)
    changed = events.read_bytes()
    done = evercast("run", "analysis.yaml", "--cores", "2", "--repair", "--json", cwd=finished)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["ran"] == [events.parent.name]
    assert receipts(results) == before
    assert verify(finished)[0] == 0
    (kept,) = (finished / "results" / "toy" / "work" / "damaged").glob("events-signal-*/events.csv")
    assert kept.read_bytes() == changed


def test_what_follows_from_a_repaired_unit_is_made_anew_where_its_content_was_another(finished: Path) -> None:
    """Of a unit whose receipt is damaged nobody knows what the others were made from."""
    results = RunFolder(finished / "results" / "toy")
    before, provenance = receipts(results), without_times(results)
    next((finished / "results" / "toy" / "work" / "fit").glob("binned-*/receipt.json")).write_text("{")
    done = evercast("run", "analysis.yaml", "--cores", "2", "--repair", "--json", cwd=finished)
    assert done.returncode == 0, done.stderr + done.stdout
    stages = {unit.rpartition("-")[0] for unit in json.loads(done.stdout)["ran"]}
    assert stages == {"binned", "diagnostics", "report"}
    after = receipts(results)
    for files in (*before.values(), *after.values()):
        for name in SAYS_WHEN:
            files.pop(name, None)
    assert after == before
    assert without_times(results) == provenance
