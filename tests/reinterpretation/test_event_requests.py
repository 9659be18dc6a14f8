"""From files of events and a card to limits: the preserved selection is run, once for each signal."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_events import CHANNELS, hepmc, lhe, momenta, point, stated, write_analysis, write_request

from evercast.cli import main
from evercast.reinterpretation.requests.model import Events, Yields
from evercast.reinterpretation.requests.signals import patch_of_yields
from evercast.reinterpretation.requests.states import read_history
from evercast.reinterpretation.wrapped.data import json_digest
from response_checks import assert_shown, page_of, response_of
from small_record import background

SIGMA = {"value_pb": 2e-4, "relative_uncertainty": 0.05, "k_factor": 1.5, "filter_efficiency": 0.8}
PRODUCED = 2e-4 * 1.5 * 0.8 * 1000.0 * 100.0
NLO = [-1.0 if number % 5 == 0 else 1.0 for number in range(200)]
SOFT = momenta(100, seed=5, low=1.0, high=15.0)
TABLE = {"collections": {"particles": {"px": ["px"], "py": ["py"], "pz": ["pz"], "energy": ["e"], "pdg": ["id"]}}}


def table(events: Sequence[tuple[float, ...]]) -> str:
    return "\n".join(["px,py,pz,e,id", *(",".join([*map(repr, event), "13"]) for event in events), ""])


def run(folder: Path, analysis: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["request", "run", str(folder), "--analysis", str(analysis), "--cores", "2", "--json"])
    return code, json.loads(capsys.readouterr().out)


def response(told: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads((Path(told["response"]) / "response.json").read_text())


def by_name(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in body["points"]}


def expected_bins(events: Sequence[tuple[float, ...]], weights: Sequence[float]) -> dict[str, list[list[float]]]:
    """Return channel -> expected events and uncertainty of each bin, of one muon in each event."""
    factor, found = PRODUCED / sum(weights), {}
    for name, binning in CHANNELS.items():
        edges = binning["edges"]
        sums = [[0.0, 0.0] for _ in edges[1:]]
        for (px, py, pz, _), weight in zip(events, weights, strict=True):
            pt = math.hypot(px, py)
            if pt <= max(edges[0], 10.0) or abs(math.asinh(pz / pt)) >= 2.5:
                continue
            place = next((number for number, high in enumerate(edges[1:]) if pt < high), None)
            place = len(sums) - 1 if place is None and binning.get("overflow") else place
            if place is not None:
                sums[place][0] += factor * weight
                sums[place][1] += (factor * weight) ** 2
        found[name] = [[part[0] for part in sums], [math.sqrt(part[1]) for part in sums]]
    return found


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("selected"))


@pytest.fixture(scope="module")
def signals() -> dict[str, tuple[list[tuple[float, ...]], list[float]]]:
    return {
        "lhe": (momenta(200, seed=1), [1.0] * 200),
        "hepmc": (momenta(200, seed=2), NLO),
        "csv": (momenta(100, seed=3), [1.0] * 100),
        "soft": (SOFT, [1.0] * 100),
    }


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, signals) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("ask")
    at = {"cross_section": SIGMA["value_pb"]}
    texts = {
        "a.lhe": lhe(signals["lhe"][0], **at),
        "b.hepmc": hepmc(signals["hepmc"][0], weights=[[weight] for weight in NLO], **at),
        "c.csv": table(signals["csv"][0]),
        "d.lhe": lhe(SOFT, **at),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    points = {
        "lhe": point([stated(folder / "a.lhe", 200)], cross_section=SIGMA, systematic=0.1),
        "hepmc": point([stated(folder / "b.hepmc", 200)], cross_section=SIGMA, weights="relative"),
        "csv": point([stated(folder / "c.csv", 100, **TABLE)], cross_section=SIGMA),
        "soft": point([stated(folder / "d.lhe", 100)], cross_section=SIGMA),
    }
    for number, entry in enumerate(points.values()):
        entry["values"] = [100.0 * (number + 1)]
    return write_request(folder, points), points


@pytest.fixture(scope="module")
def answered(asked, selected) -> tuple[Path, dict[str, Any]]:
    folder, _ = asked
    assert main(["request", "run", str(folder), "--analysis", str(selected), "--cores", "2"]) == 0
    (place,) = (folder / "responses").iterdir()
    return folder, json.loads((place / "response.json").read_text())


def test_events_become_the_yields_of_the_selection(answered, signals) -> None:
    points = by_name(answered[1])
    for name, (events, weights) in signals.items():
        found, wanted = points[name]["selection"]["bins"], expected_bins(events, weights)
        for channel, (sums, spread) in wanted.items():
            assert found[channel]["events"] == pytest.approx(sums, rel=1e-9, abs=1e-12)
            assert found[channel]["uncertainty"] == pytest.approx(spread, rel=1e-9, abs=1e-12)
            assert points[name]["events"].get(channel, [0.0] * len(sums)) == pytest.approx(sums, rel=1e-9, abs=1e-12)


def test_the_patch_is_that_of_the_same_yields(answered) -> None:
    entry = by_name(answered[1])["lhe"]
    channels = {
        name: Events(events=tuple(bins["events"]), uncertainty=tuple(bins["uncertainty"]))
        for name, bins in entry["selection"]["bins"].items()
    }
    patch = patch_of_yields(background(), Yields(channels=channels, systematic=0.1), poi="mu_SIG", where="")
    assert entry["patch_sha256"] == json_digest(patch)
    assert {modifier["type"] for modifier in patch[0]["value"]["modifiers"]} >= {"normsys", "shapesys", "lumi"}
    assert entry["status"] in {"ok", "at-bound"}
    assert entry["limit"]["observed"] > 0


def test_the_cut_flow_ends_in_the_regions(answered, signals) -> None:
    points = by_name(answered[1])
    flow = points["lhe"]["selection"]["cut_flow"]
    assert [step["name"] for step in flow] == ["all", "one muon", "SR", "CR"]
    assert (flow[0]["events"], flow[0]["expected"]) == (200, pytest.approx(PRODUCED))
    assert all(step["events"] <= flow[1]["events"] <= 200 for step in flow[2:])
    negative = points["hepmc"]["selection"]
    assert negative["cut_flow"][0]["sum_of_weights"] == 120.0
    assert any("are worth 72 equal ones" in remark for remark in points["hepmc"]["remarks"])


def test_a_signal_without_events_is_an_answer(answered) -> None:
    entry = by_name(answered[1])["soft"]
    assert (entry["status"], entry["excluded"], entry["limit"]) == ("no-events", None, None)
    assert entry["efficiency_limit"] == pytest.approx(1.0 - 0.05**0.01)
    assert entry["selection"]["cut_flow"][-1]["events"] == 0
    assert answered[1]["counts"]["no_events"] == 1


def test_files_and_units_are_told_with_their_digests(answered, asked) -> None:
    body = answered[1]
    files = by_name(body)["csv"]["selection"]["files"]
    assert [(file["name"], file["sha256"], file["events"]) for file in files] == [
        ("c.csv", asked[1]["csv"]["events"]["files"][0]["sha256"], 100)
    ]
    assert [unit["stage"] for unit in body["units"]] == ["selection"] * 4
    assert {unit["origin"] for unit in body["units"]} == {"computed"}
    assert len({unit["key"] for unit in body["units"]}) == 4


def test_the_same_request_again_computes_nothing(answered, selected, capsys) -> None:
    folder, body = answered
    code, told = run(folder, selected, capsys)
    assert (code, told["computed"], told["run"]) == (0, 0, body["request"]["run"])


def test_an_added_point_is_made_alone_also_one_of_a_card(answered, asked, selected, tmp_path, capsys) -> None:
    folder = tmp_path / "ask"
    shutil.copytree(answered[0], folder, copy_function=shutil.copy2)
    units = folder / "work" / "work"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in units.glob("*/*/receipt.json")}
    settings = ["WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 13", "PhaseSpace:mHatMin = 60."]
    card = {"program": "pythia8", "settings": settings, "events": 20, "seed": 3, "jobs": 2, "systematic": 0.2}
    write_request(folder, {**asked[1], "card": {"values": [900.0], "cross_section": SIGMA, "generate": card}})
    code, told = run(folder, selected, capsys)
    body = response(told)
    assert (code, told["computed"]) == (0, 1)
    origins = {(unit["stage"], unit["origin"]) for unit in body["units"]}
    assert origins == {("selection", "present"), ("selection", "computed"), ("generation", "computed")}
    assert sum(unit["origin"] == "computed" for unit in body["units"]) == 3
    assert len(body["reused"]["units"]) == len(before) == 4
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    made = by_name(body)["card"]
    assert (made["origin"], made["selection"]["generated_events"], made["selection"]["files"]) == ("generate", 20, [])
    assert made["selection"]["cut_flow"][0]["expected"] == pytest.approx(PRODUCED)
    assert made["selection"]["cut_flow"][1]["events"] > 0


def test_a_file_changed_after_it_was_submitted_is_refused(asked, selected, tmp_path, capsys) -> None:
    folder = tmp_path / "ask"
    folder.mkdir()
    shutil.copy2(asked[0] / "a.lhe", folder / "a.lhe")
    write_request(folder, {"lhe": asked[1]["lhe"]})
    assert main(["request", "submit", str(folder), "--analysis", str(selected)]) == 0
    capsys.readouterr()
    assert main(["respond", str(folder), "--profile", "nowhere", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "run.no-profile"
    assert read_history(folder)[-1].state == "running"  # it can be run again, with another profile
    with (folder / "a.lhe").open("a") as stream:  # the one that was kept is the same file
        stream.write("\n")
    capsys.readouterr()
    assert main(["respond", str(folder), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "request.frozen"
    assert main(["request", "status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], "a.lhe" in told["reason"]) == ("refused", True)


def test_a_signal_with_a_negative_bin_is_refused_when_it_is_known(selected, tmp_path, capsys) -> None:
    folder = tmp_path / "ask"
    folder.mkdir()
    events = momenta(60, seed=9, low=60.0, high=90.0) + momenta(10, seed=8, low=120.0, high=190.0)
    (folder / "a.lhe").write_text(lhe(events, weights=[1.0] * 60 + [-1.0] * 10, cross_section=SIGMA["value_pb"]))
    write_request(folder, {"mine": point([stated(folder / "a.lhe", 70)], cross_section=SIGMA, weights="relative")})
    code, told = run(folder, selected, capsys)
    assert (code, told["error"]["code"], told["error"]["where"]) == (3, "request.negative-bin", "$.signal.points.mine")
    assert main(["request", "status", str(folder), "--json"]) == 0
    assert "bin 1 of 'SR'" in json.loads(capsys.readouterr().out)["reason"]


def test_the_page_shows_how_the_events_were_selected(answered) -> None:
    (folder,) = (answered[0] / "responses").glob(answered[1]["request"]["run"][:12])
    body = response_of(folder)
    page, cells = page_of(folder)
    assert 'id="selection"' in page
    for entry in body["points"]:
        assert f"Cut flow of {entry['name']}" in page
        for step in entry["selection"]["cut_flow"]:
            assert_shown(cells, step["expected"])
            assert str(step["events"]) in cells
    for unit in body["units"]:
        assert unit["id"] in cells
        assert unit["key"][:16] in cells
    assert any(cell.startswith("no event expected, efficiency below 0.0295") for cell in cells)
    assert any("are worth 72 equal ones" in cell for cell in cells)
