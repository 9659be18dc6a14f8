"""Validation channels are in the background of a record, but in no fit: patches of requests remove them."""

import pytest

from evercast.errors import InvalidInput
from evercast.reinterpretation.requests.model import Events, Yields
from evercast.reinterpretation.requests.signals import patch_of_yields


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
