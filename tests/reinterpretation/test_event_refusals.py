"""Files of events that a request cannot be answered with are refused before anything is run, with both numbers."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyhepmc
import pytest
import uproot
from small_events import (
    FLAT,
    csv,
    hepmc,
    lhe,
    momenta,
    point,
    stated,
    write_analysis,
    write_request,
)

from evercast.artifacts.arrays import write_arrays
from evercast.cli import main
from evercast.errors import EvercastError
from evercast.events.identity import content_digest
from evercast.reinterpretation.requests import event_reading, event_worker
from evercast.reinterpretation.requests.event_headers import Beams, stated_beams
from evercast.reinterpretation.requests.event_scan import ScannedFile
from evercast.reinterpretation.requests.model import EventSample, SampleFile
from evercast.reinterpretation.requests.particle_codes import is_known, is_undecayed
from evercast.spec.codec import from_json

EVENTS = momenta(40)
VALUES = [20.5 + 7.3 * number for number in range(40)]
Points = Callable[[Path], Mapping[str, object]]


@pytest.fixture(scope="session")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("selected"))


@pytest.fixture(scope="session")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("flat"), selection=FLAT)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader runs here; that it has a process of its own is a test of its own."""
    monkeypatch.setattr(
        event_reading, "_asked", lambda task: json.loads(json.dumps(event_worker.main(json.loads(json.dumps(task)))))
    )


def one(name: str, content: str | bytes, events: int = 40, **more: object) -> Points:
    """Return what makes a request with one file of events."""
    file = {key: more.pop(key) for key in ("sha256", "size_bytes", "path", "format") if key in more}

    def points(folder: Path) -> Mapping[str, object]:
        place = folder / name
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return {"mine": point([{**stated(place, events), **file}], **more)}

    return points


def check(folder: Path, analysis: Path, points: Points, **more: object) -> int:
    folder.mkdir(exist_ok=True)
    write_request(folder, points(folder), **more)
    return main(["request", "check", str(folder), "--analysis", str(analysis), "--json"])


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return json.loads(capsys.readouterr().out)["error"]


def weighted(values: list[float], **more: object) -> Points:
    return one("a.lhe", lhe(EVENTS[: len(values)], weights=values), events=len(values), **more)


WHOLE, RECORD = lhe(EVENTS), hepmc(EVENTS)
AT_EVENT = RECORD.index("E 30 ")
FEW_NEGATIVE = [(-1.0 if number % 5 == 0 else 1.0) for number in range(40)]
SIGMA = {"value_pb": 0.5, "relative_uncertainty": 0.05}


@pytest.mark.parametrize(
    ("points", "exit_code", "code", "says"),
    [
        (one("a.lhe", WHOLE, 41), 5, "request.file-events", "has 40 events; the request states 41"),
        (one("a.lhe", WHOLE, sha256="0" * 64), 5, "request.file-digest", "the request states 000"),
        (one("a.lhe", WHOLE, size_bytes=7), 5, "request.file-size", "states 7"),
        (one("a.lhe", WHOLE, path="../a.lhe"), 5, "spec.unsafe-path", "not allowed"),
        (one("a.lhe", WHOLE, path="b.lhe"), 3, "request.no-file", "no such file"),
        (one("a.lhe", WHOLE, format="hepmc"), 3, "sample.format", "its content is lhe"),
        (one("a.hepmc", RECORD[: AT_EVENT + 40]), 3, "sample.truncated", "without HepMC::Asciiv3-END_EVENT_LISTING"),
        (one("a.hepmc", RECORD[:AT_EVENT], 30), 3, "sample.truncated", "event 30"),
        (one("a.hepmc", "\n".join(RECORD.splitlines()[:2]), 1), 3, "sample.truncated", "event 0"),
        (one("a.hepmc", hepmc([]), 1), 3, "sample.empty", "no events"),
        (one("a.hepmc", RECORD.replace("V -1 0 [1,2]", "V -1 0 [1,9]", 1)), 3, "sample.format", "is not there"),
        (one("a.hepmc", RECORD.replace("E 3 1 4", "E 3 1 999999999")), 3, "sample.format", "999999999"),
        (one("a.hepmc", RECORD + RECORD, 80), 3, "sample.format", "two files in one"),
        (one("a.lhe", WHOLE.removesuffix("</LesHouchesEvents>\n")), 3, "sample.truncated", "after event 40 without"),
        (one("a.lhe", WHOLE[: len(WHOLE) // 2]), 3, "sample.format", ""),
        (one("a.lhe", lhe([]), 1), 3, "sample.empty", "no events"),
        (one("a.lhe", b"\n"), 3, "sample.empty", "1 bytes"),
        (one("a.lhe", bytes(50)), 3, "sample.empty", "50 bytes"),
        (one("a.lhe", "<html>not found</html>"), 3, "sample.format", "an HTML page"),
        (one("a.lhe", "version https://git-lfs.github.com/spec/v1"), 3, "sample.format", "git-lfs"),
        (one("a.lhe", WHOLE.replace("<init>", "<!DOCTYPE a><init>")), 3, "sample.format", "document types"),
        (one("a.lhe.gz", gzip.compress(WHOLE.encode())[:-40]), 3, "sample.truncated", "gzip stream ends"),
        (one("a.lhe.gz", gzip.compress(gzip.compress(WHOLE.encode()))), 3, "sample.format", "gzip inside gzip"),
        (one("a.root", b"root" + bytes(100)), 3, "sample.tree", ""),
        (one("a.parquet", b"PAR1" + bytes(100)), 3, "sample.truncated", ""),
        (weighted([math.nan] * 40), 3, "sample.not-finite", "'weight' is not finite"),
        (one("a.lhe", lhe([(math.inf, 1.0, 1.0, math.inf)] * 40)), 3, "sample.not-finite", "first is event 0"),
        (weighted([0.0] * 40, weights="relative"), 3, "request.weight-sum", "all weights are 0"),
        (weighted([-1.0] * 40, weights="relative"), 3, "request.weight-sum", "their sum is -40"),
        (weighted([1.0, -1.0] * 20, weights="relative"), 3, "request.weight-sum", "their sum is 0"),
        (weighted([1e12, *[1.0] * 39], weights="relative"), 3, "request.effective-events", "are worth 1;"),
        (weighted([1.0]), 3, "request.effective-events", "1 events"),
        (weighted([2.0] * 40), 3, "request.weights", "does not say what they mean"),
        (weighted([2.0] * 40, weights="unit"), 3, "request.weights", "the largest is 2"),
        (weighted([-1.0] * 40, weights="unit"), 3, "request.weights", "their mean -1"),
        (weighted([2.0] * 40, weights="sum"), 3, "request.file-cross-section", "the sum of the weights gives 80 pb"),
        (weighted([2.0] * 40, weights="mean"), 3, "request.file-cross-section", "the mean of the weights gives 2 pb"),
        (one("a.lhe", lhe(EVENTS, cross_section=0.6)), 3, "request.file-cross-section", "the header gives 0.6 pb"),
        (one("a.hepmc", hepmc(EVENTS, cross_section=0.4)), 3, "request.file-cross-section", "states 0.5 pb"),
        (one("a.lhe", lhe(EVENTS, beam=4000.0)), 3, "request.file-collision", "8 TeV; the request is for 13 TeV"),
        (one("a.lhe", lhe(EVENTS, beams=(2212, -2212))), 3, "request.file-collision", "beams -2212, 2212"),
        (one("a.hepmc", hepmc(EVENTS, beam=3500.0)), 3, "request.file-collision", "at 7 TeV"),
        (one("a.hepmc", hepmc(EVENTS, unit="MEV")), 3, "request.file-collision", "0.013 TeV"),
        (one("a.lhe", lhe(momenta(40, low=9e3, high=9e4))), 3, "request.file-energy", "the beams have 13000"),
        (one("a.lhe", lhe(EVENTS, code=99)), 3, "request.particles", "do not exist: 99"),
        (one("a.hepmc", hepmc(EVENTS, code=24)), 3, "request.particles", "decay before they are seen: PDG -24, 24"),
        (one("a.hepmc", hepmc(EVENTS, code=521)), 3, "request.particles", "PDG -521, 521"),
        (one("a.lhe", lhe(EVENTS[:10] * 4)), 3, "request.duplicate-events", "30 of the 40"),
        (one("a.lhe", lhe(EVENTS[:1] * 40)), 3, "request.duplicate-events", "39 of the 40"),
        (
            one("a.hepmc", hepmc(EVENTS, names=("a", "b"), weights=[(1.0, 2.0)] * 40)),
            3, "request.nominal-weight", "none of them alone is named as the nominal one: a, b",
        ),
        (
            one("a.hepmc", hepmc(EVENTS, names=("a", "b"), weights=[(1.0, 2.0)] * 40), weight="c"),
            3, "request.nominal-weight", "no weight 'c'; the file has: a, b",
        ),
        (one("a.hepmc", hepmc(EVENTS, names=("a", "a"), weights=[(1.0, 2.0)] * 40)), 3, "sample.format", "weight"),
        (one("a.csv", csv(VALUES)), 3, "sample.column", "'particles'; the file has"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(
    selected: Path, tmp_path: Path, capsys, in_this_process, points: Points, exit_code: int, code: str, says: str
) -> None:
    assert check(tmp_path / "ask", selected, points) == exit_code
    found = error(capsys)
    assert found["code"] == code
    assert says in found["message"], found["message"]


@pytest.mark.parametrize(
    ("points", "exit_code", "code", "says"),
    [
        (one("a.csv", csv(VALUES, [3.0] * 40)), 3, "request.weights", "does not say what they mean"),
        (one("a.csv", csv(VALUES, [3.0] * 40), weight="w"), 3, "request.nominal-weight", "the file has: x, weight"),
        (one("a.csv", csv(VALUES).replace("x", "y")), 3, "sample.column", "no column 'x'"),
        (one("a.csv", "x,y\n1.5,2\n3.5\n4.5,6\n", 3), 3, "sample.format", ""),
        (one("a.csv", csv(VALUES).replace("20.5", "=cmd|x")), 3, "sample.format", ""),
        (one("a.csv", "x\n", 1), 3, "sample.empty", ""),
        (one("a.csv", csv([*VALUES[:-1], math.nan])), 3, "sample.not-finite", "event 39"),
    ],
)
def test_what_is_wrong_with_columns_is_named(
    flat: Path, tmp_path: Path, capsys, in_this_process, points: Points, exit_code: int, code: str, says: str
) -> None:
    assert check(tmp_path / "ask", flat, points) == exit_code
    found = error(capsys)
    assert found["code"] == code
    assert says in found["message"], found["message"]


@pytest.mark.parametrize(
    ("points", "exit_code", "code"),
    [
        (one("a.lhe", WHOLE, cross_section={**SIGMA, "value_pb": "1e-3 pb"}), 3, "spec.wrong-type"),
        (one("a.lhe", WHOLE, cross_section={**SIGMA, "value_pb": 0}), 3, "spec.out-of-range"),
        (one("a.lhe", WHOLE, cross_section={**SIGMA, "value_pb": math.nan}), 3, "spec.wrong-type"),
        (one("a.lhe", WHOLE, weights="guess"), 3, "spec.not-allowed"),
        (one("a.lhe", WHOLE, command="rm"), 3, "spec.unknown-key"),
        (one("a.lhe", WHOLE, path="https://x.org/a.lhe"), 5, "spec.unsafe-path"),
    ],
)
def test_what_cannot_be_stated_is_refused_by_the_schema(
    selected: Path, tmp_path: Path, capsys, points: Points, exit_code: int, code: str
) -> None:
    assert check(tmp_path / "ask", selected, points) == exit_code
    assert error(capsys)["code"] == code


@pytest.mark.parametrize(
    ("card", "code", "says"),
    [
        ({"settings": ["Beams:eCM = 8000."]}, "request.setting", "set by the engine"),
        ({"settings": ["SLHA:file = a.slha"]}, "request.setting", "SLHA:file"),
        ({"settings": ["PDF:pSet = LHAGrid1:/etc/passwd"]}, "request.setting", "/etc/passwd"),
        ({"settings": ["Random:seed = 5"]}, "request.setting", "seed"),
        ({"settings": ["PDF:pSet = LHAGrid1:others"]}, "request.setting", "LHAGrid1"),
        ({"settings": ["Vincia:MEplugin = others"]}, "request.setting", "MEplugin"),
        ({"settings": ["MultipartonInteractions:initFile = others"]}, "request.setting", "initFile"),
        ({"jobs": 7}, "request.parts", "7 equal parts"),
        (
            {"slha": {"path": "a.slha", "sha256": "0" * 64, "size_bytes": 4}},
            "request.file-digest",
            "the request states",
        ),
        (
            {"slha": {"path": "a.slha", "sha256": hashlib.sha256(b"BLK\n").hexdigest(), "size_bytes": 4}},
            "generator.slha",
            "states no masses",
        ),
        ({"container": "x"}, "spec.unknown-key", "container"),
    ],
)
def test_a_card_brings_nothing_but_the_signal(selected, tmp_path, capsys, card, code, says) -> None:
    (tmp_path / "ask").mkdir()
    (tmp_path / "ask" / "a.slha").write_text("BLK\n")
    generate = {"program": "pythia8", "settings": ["HardQCD:all = on"], "events": 100, "seed": 1, **card}
    points = {"mine": {"cross_section": SIGMA, "generate": generate}}
    assert check(tmp_path / "ask", selected, lambda _: points) in {3, 5}
    found = error(capsys)
    assert code in (found["code"], *(problem["code"] for problem in found.get("problems", ())))
    assert says in found["message"]


def test_two_files_with_the_same_events_are_refused(selected, tmp_path, capsys, in_this_process) -> None:
    def points(folder: Path) -> Mapping[str, object]:
        (folder / "a.lhe").write_text(WHOLE)
        (folder / "b.lhe").write_text(WHOLE.replace("</LesHouchesEvents>", "<!-- another -->\n</LesHouchesEvents>"))
        return {"mine": point([stated(folder / "a.lhe", 40), stated(folder / "b.lhe", 40)])}

    assert check(tmp_path / "ask", selected, points) == 3
    found = error(capsys)
    assert (found["code"], "40 of the 80" in found["message"]) == ("request.duplicate-events", True)


def test_a_file_named_twice_is_refused(selected, tmp_path, capsys) -> None:
    def points(folder: Path) -> Mapping[str, object]:
        (folder / "a.lhe").write_text(WHOLE)
        return {"mine": point([stated(folder / "a.lhe", 40)] * 2)}

    assert check(tmp_path / "ask", selected, points) == 3
    assert "request.duplicate-events" in str(error(capsys))


@pytest.mark.parametrize("kind", ["file", "folder", "fifo"])
def test_links_and_what_is_no_file_are_refused(selected, tmp_path, capsys, kind) -> None:
    folder = tmp_path / "ask"
    (folder / "in").mkdir(parents=True)
    (tmp_path / "a.lhe").write_text(WHOLE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.lhe").write_text(WHOLE)
    file = stated(tmp_path / "a.lhe", 40)
    if kind == "file":
        (folder / "a.lhe").symlink_to(tmp_path / "a.lhe")
    elif kind == "folder":
        (folder / "out").symlink_to(tmp_path / "out")
        file["path"] = "out/a.lhe"
    else:
        os.mkfifo(folder / "a.lhe")
    wanted = (3, "request.no-file") if kind == "fifo" else (5, "request.file-link")
    assert (check(folder, selected, lambda _: {"mine": point([file])}), error(capsys)["code"]) == wanted


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.lhe").write_text(WHOLE)
    file = from_json(SampleFile, stated(tmp_path / "a.lhe", 40))

    def read_and_change(task: dict[str, object]) -> dict[str, object]:
        answer = event_worker.main(json.loads(json.dumps(task)))
        (tmp_path / "a.lhe").write_text(WHOLE.replace("9.0", "8.0"))
        return answer

    monkeypatch.setattr(event_reading, "_asked", read_and_change)
    with pytest.raises(EvercastError) as caught:
        event_reading.read_events(tmp_path, EventSample(files=(file,)), wanted=["particles"])
    assert (caught.value.exit_code, caught.value.code) == (5, "request.file-changed")


def test_an_analysis_without_a_selection_takes_no_events(selected, tmp_path, capsys) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "BkgOnly.json").write_bytes((selected / "BkgOnly.json").read_bytes())
    text = (selected / "wrapped.yaml").read_text()
    (bare / "wrapped.yaml").write_text(text[: text.index("selection:\n")])
    assert check(tmp_path / "ask", bare, one("a.lhe", WHOLE)) == 3
    found = error(capsys)
    assert (found["code"], "patches or yields" in found["message"]) == ("request.no-selection", True)


def test_a_preserved_selection_that_was_changed_is_refused(tmp_path, capsys) -> None:
    analysis = write_analysis(tmp_path / "selected")
    with (analysis / "selection.yaml").open("a") as stream:
        stream.write("# one more line\n")
    assert check(tmp_path / "ask", analysis, one("a.lhe", WHOLE)) == 5
    assert error(capsys)["code"] == "wrapped.selection"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"wanted": {"toys": 5}}, "$.wanted.toys"),
        ({"wanted": {"neyman": True}}, "$.wanted.neyman"),
        ({"model_point": {"mu": 1.0}}, "$.signal.points.mine.model_point"),
        ({"process": {}}, "$.signal.points.mine.process"),
    ],
)
def test_what_only_an_archive_answers_is_refused(selected, tmp_path, capsys, more, where) -> None:
    asked = {key: more[key] for key in ("model_point", "process") if key in more}

    def points(folder: Path) -> Mapping[str, object]:
        return {"mine": {**one("a.lhe", WHOLE)(folder)["mine"], **asked}}

    beside = {key: part for key, part in more.items() if key not in asked}
    assert check(tmp_path / "ask", selected, points, **beside) == 3
    found = error(capsys)
    assert (found["code"], found["where"]) == ("request.archive-only", where)


def test_legitimate_samples_pass(selected, tmp_path, capsys, in_this_process) -> None:
    right = {
        "negative": weighted(FEW_NEGATIVE, weights="relative"),
        "mean": weighted([0.5] * 40, weights="mean"),
        "sum": weighted([0.5 / 40] * 40, weights="sum"),
        "unit": one("a.hepmc", RECORD),
        "named": one("a.hepmc", hepmc(EVENTS, names=("up", "Default"), weights=[(2.0, 1.0)] * 40)),
        "packed": one("a.lhe.gz", gzip.compress(WHOLE.encode())),
        "silent": one("a.hepmc", hepmc(EVENTS, cross_section=None)),
    }
    for name, points in right.items():
        assert check(tmp_path / name, selected, points) == 0, (name, capsys.readouterr())


def test_the_reader_has_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.lhe").write_text(WHOLE)
    file = from_json(SampleFile, stated(tmp_path / "a.lhe", 40))
    before = threading.active_count()
    (found,) = event_reading.read_events(tmp_path, EventSample(files=(file,)), wanted=["particles"])
    assert (found.events, found.sum_of_weights, found.sqrt_s_tev, found.beams) == (40, 40.0, 13.0, (2212, 2212))
    assert threading.active_count() == before
    with pytest.raises(EvercastError) as caught:
        event_reading.read_events(tmp_path, EventSample(files=(file,)), wanted=["jets"])
    assert (caught.value.exit_code, caught.value.code, caught.value.where) == (3, "sample.column", "a.lhe")


def test_codes_of_final_states() -> None:
    for code in (11, 22, 211, 2112, 130, 310, 3122, 1000020040, 1000022, 1000039, 51, 5000521):
        assert (is_known(code), is_undecayed(code)) == (True, False), code
    for code in (6, 15, 23, 24, 25, 421, 511, 5122, 1000021, 2000005):
        assert (is_known(code), is_undecayed(-code)) == (True, True), code
    for code in (0, 9, 20, 30, 99, 81, 120, 7777):
        assert not is_known(code), code


@pytest.mark.parametrize("kind", ["parquet", "root", "zarr", "csv"])
def test_every_flat_format_passes(flat, tmp_path, capsys, in_this_process, kind) -> None:
    folder = tmp_path / "ask"
    folder.mkdir()
    place = folder / f"a.{kind}"
    columns = {"x": np.asarray(VALUES), "w": np.full(40, 0.5)}
    if kind == "parquet":
        pq.write_table(pa.table(columns), place)
    elif kind == "root":
        with uproot.recreate(place) as file:
            file["events"] = columns
    elif kind == "zarr":
        write_arrays(place, columns, {})
    else:
        place.write_text(csv(VALUES, [0.5] * 40).replace("weight", "w"))
    inside = [item for item in place.rglob("*") if item.is_file()] if place.is_dir() else [place]
    size = sum(item.stat().st_size for item in inside)
    file = {"path": place.name, "sha256": content_digest(place), "size_bytes": size, "events": 40, "format": kind}
    points = {"mine": point([file], weight="w", weights="mean")}
    assert check(folder, flat, lambda _: points) == 0, capsys.readouterr().out
    for path in inside:
        if path.name not in {"zarr.json", "inventory.json"}:
            content = bytearray(path.read_bytes())
            content[-9] ^= 1
            path.write_bytes(bytes(content))
    assert check(folder, flat, lambda _: points) == 5, capsys.readouterr().out


@pytest.mark.parametrize(("name", "text"), [("a.lhe", WHOLE), ("a.hepmc", RECORD)])
def test_a_final_state_without_b_hadrons_is_named_where_they_are_needed(
    tmp_path, capsys, in_this_process, name, text
) -> None:
    analysis = write_analysis(tmp_path / "b-tags", requires=["b-hadrons"])
    assert check(tmp_path / "ask", analysis, one(name, text)) == 3
    found = error(capsys)
    assert (found["code"], "b hadrons" in found["message"]) == ("sample.no-b-hadrons", True)
    assert "$.signal.points.mine" in found["where"]


def test_a_table_without_particles_is_not_said_to_have_lost_its_b_hadrons(tmp_path, capsys, in_this_process) -> None:
    analysis = write_analysis(tmp_path / "b-tags", requires=["b-hadrons"])
    assert check(tmp_path / "ask", analysis, one("a.csv", csv(VALUES))) == 3
    found = error(capsys)
    assert (found["code"], "read as a table" in found["hint"]) == ("sample.column", True)


def test_events_without_a_cross_section_are_refused(selected, tmp_path, capsys) -> None:
    def points(folder: Path) -> Mapping[str, object]:
        found = one("a.lhe", WHOLE)(folder)["mine"]
        return {"mine": {"events": found["events"]}}

    assert check(tmp_path / "ask", selected, points) == 3
    assert "the cross-section to which the events are normalised is missing" in error(capsys)["message"]


def test_files_that_were_submitted_are_read_once(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.lhe").write_text(WHOLE)
    asked: list[int] = []

    def reader(task: dict[str, object]) -> dict[str, object]:
        asked.append(1)
        return event_worker.main(json.loads(json.dumps(task)))

    def read(*, remember: bool, weight: str | None = None) -> ScannedFile:
        file = from_json(SampleFile, stated(tmp_path / "a.lhe", 40))
        sample = EventSample(files=(file,), weight=weight)
        return event_reading.read_events(tmp_path, sample, wanted=["particles"], remember=remember)[0]

    monkeypatch.setattr(event_reading, "_asked", reader)
    first = read(remember=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.lhe"]
    assert [read(remember=True), read(remember=False)] == [first, first]
    assert len(asked) == 2
    assert (read(remember=True, weight="weight").weight, len(asked)) == ("weight", 3)
    (tmp_path / "a.lhe").write_text(WHOLE.replace("9.0", "8.0"))
    assert (read(remember=True), len(asked)) == (first, 4)


def test_hepmc2_says_the_same_as_hepmc3(selected, tmp_path, capsys, in_this_process) -> None:
    folder = tmp_path / "ask"
    folder.mkdir()
    (folder / "a.hepmc").write_text(RECORD)
    with pyhepmc.open(folder / "a.hepmc") as old, pyhepmc.open(folder / "b.hepmc", "w", format="hepmc2") as new:
        for event in old:
            new.write(event)
    text = (folder / "b.hepmc").read_text()
    assert check(folder, selected, one("b.hepmc", text)) == 0, capsys.readouterr().out
    told = json.loads(capsys.readouterr().out)["signals"]["mine"]
    assert (told["effective_events"], told["file_cross_section_pb"]) == (40.0, pytest.approx(0.5))
    assert check(folder, selected, one("b.hepmc", text), collision={"beams": "ppbar", "sqrt_s_tev": 13.0}) == 3
    assert error(capsys)["code"] == "request.collision"
    assert stated_beams(folder / "b.hepmc", format="hepmc") == Beams(pdg=(2212, 2212), sqrt_s_tev=13.0)
    assert check(folder, selected, one("b.hepmc", text[: text.rindex("E ")], 39)) == 3
    assert error(capsys)["code"] == "sample.truncated"
