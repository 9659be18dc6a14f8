"""Validation channels are in the background of a record, but in no fit: patches of requests remove them."""

import json

import pytest
from small_events import lhe, momenta, point, stated, write_analysis, write_request

from evercast.cli import main
from evercast.errors import InvalidDocument, InvalidInput
from evercast.reinterpretation.requests.model import Events, Yields
from evercast.reinterpretation.requests.signals import patch_of_yields
from evercast.reinterpretation.wrapped.read import read_wrapped


def background():
    sample = {"name": "b", "data": [10.0], "modifiers": []}
    return {
        "version": "1.0.0",
        "channels": [{"name": name, "samples": [sample]} for name in ("VR1", "SR", "VR2", "CR")],
        "observations": [{"name": name, "data": [10.0]} for name in ("VR1", "SR", "VR2", "CR")],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }


def test_the_patch_removes_them_after_the_signal_is_added():
    yields = Yields(channels={"SR": Events(events=(1.0,))})
    patch = patch_of_yields(background(), yields, poi="mu", where="$", validation=("VR1", "VR2"))
    assert [(step["op"], step["path"]) for step in patch] == [
        ("add", "/channels/1/samples/0"), ("remove", "/channels/2"), ("remove", "/channels/0"),
    ]  # fmt: skip
    assert [step["op"] for step in patch_of_yields(background(), yields, poi="mu", where="$")] == ["add"]


def test_a_signal_in_one_is_refused():
    yields = Yields(channels={"VR1": Events(events=(1.0,))})
    with pytest.raises(InvalidInput, match="no channel 'VR1' that is fitted; it has SR, CR") as caught:
        patch_of_yields(background(), yields, poi="mu", where="$", validation=("VR1", "VR2"))
    assert caught.value.code == "request.channel"


def validated(folder, channels):
    place = write_analysis(folder) / "wrapped.yaml"
    place.write_text(place.read_text().replace("    poi: mu_SIG\n", f"    poi: mu_SIG\n    validation: {channels}\n"))
    return place


def test_a_selection_may_fill_one_that_no_signal_is_in(tmp_path, capsys):
    place = validated(tmp_path / "analysis", "[CR]")
    assert dict(read_wrapped(place).likelihoods["all"].fitted) == {"SR": 3}
    folder = tmp_path / "ask"
    folder.mkdir()
    (folder / "a.lhe").write_text(lhe(momenta(40), cross_section=2e-4))
    cross_section = {"value_pb": 2e-4, "relative_uncertainty": 0.05}
    write_request(folder, {"mine": point([stated(folder / "a.lhe", 40)], cross_section=cross_section)})
    assert main(["request", "run", str(folder), "--analysis", str(place.parent), "--cores", "1", "--json"]) == 0
    (answer,) = (folder / "responses").glob("*/response.json")
    (found,) = json.loads(answer.read_text())["points"]
    assert set(found["events"]) == {"SR"}
    assert {step["name"] for step in found["selection"]["cut_flow"]} >= {"SR", "CR"}


def test_something_must_be_fitted(tmp_path):
    with pytest.raises(InvalidDocument, match="no channel is left") as caught:
        read_wrapped(validated(tmp_path, "[SR, CR]"))
    assert caught.value.problems[0].code == "wrapped.nothing-fitted"
