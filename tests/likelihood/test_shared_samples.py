"""Patches of one workspace share what they leave alone: nothing read or checked once may hide what is new."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import KnownSample, apply_patch, read_workspace


def _sample(name: str, *, data: list[float], up: float) -> dict[str, object]:
    modifiers = [
        {"name": "alpha", "type": "normsys", "data": {"hi": up, "lo": 0.9}},
        {"name": "stat", "type": "staterror", "data": [1.0, 2.0]},
    ]
    return {"name": name, "data": data, "modifiers": modifiers}


def _workspace() -> dict[str, object]:
    return {
        "channels": [
            {"name": "A", "samples": [_sample("bkg", data=[50.0, 40.0], up=1.1)]},
            {"name": "B", "samples": [_sample("bkg", data=[30.0, 20.0], up=1.2)]},
        ],
        "observations": [{"name": "A", "data": [52.0, 38.0]}, {"name": "B", "data": [29.0, 25.0]}],
        "measurements": [{"name": "fit", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def _patch(*, channel: int, up: float = 1.05, nominal: float = 5.0) -> list[object]:
    signal = _sample("signal", data=[nominal, 3.0], up=up)
    signal["modifiers"] = [*signal["modifiers"], {"name": "mu", "type": "normfactor", "data": None}]  # type: ignore[misc]
    return [{"op": "add", "path": f"/channels/{channel}/samples/0", "value": signal}]


def _known(workspace: dict[str, object]) -> dict[int, KnownSample | None]:
    channels: list[dict[str, list[object]]] = workspace["channels"]  # type: ignore[assignment]
    return {id(sample): None for channel in channels for sample in channel["samples"]}


@pytest.mark.parametrize("channels", [(0, 1), (1, 0), (1, 1)])
def test_patches_read_one_after_the_other_are_as_read_alone(channels: tuple[int, int]) -> None:
    workspace = _workspace()
    known = _known(workspace)
    for channel in channels:
        patched = apply_patch(workspace, _patch(channel=channel, up=1.0 + 0.1 * (channel + 1)))
        shared, alone = Likelihood(read_workspace(patched, known=known)), Likelihood(read_workspace(patched))
        assert shared.names == alone.names
        theta = alone.initial + 0.01 * np.arange(len(alone.names))
        assert shared.twice_nll(theta) == alone.twice_nll(theta)
        assert [p.width for p in shared.model.parameters] == [p.width for p in alone.model.parameters]
    assert all(known.values())


def test_a_patch_that_changes_what_it_added_is_left_as_it_was() -> None:
    workspace, patch = _workspace(), _patch(channel=0)
    patch.append({"op": "replace", "path": "/channels/0/samples/0/data/0", "value": 7.0})
    patch.append({"op": "replace", "path": "/channels/0/samples/1/data", "value": [49.0, 41.0]})
    before = copy.deepcopy((workspace, patch))
    patched = read_workspace(apply_patch(workspace, patch))
    assert [sample.nominal.tolist() for sample in patched.channels[0].samples] == [[7.0, 3.0], [49.0, 41.0]]  # type: ignore[union-attr]
    assert (workspace, patch) == before


def test_what_is_new_is_checked_where_the_rest_is_shared() -> None:
    workspace = _workspace()
    known = _known(workspace)
    good = Likelihood(read_workspace(apply_patch(workspace, _patch(channel=0)), known=known))
    bad = read_workspace(apply_patch(workspace, _patch(channel=0, nominal=-9.0)), known=known)
    with pytest.raises(InvalidInput) as caught:
        Likelihood(bad, like=good)
    assert caught.value.code == "likelihood.negative-yield"


def test_a_name_used_for_two_kinds_is_found_where_the_background_was_read_before() -> None:
    workspace = _workspace()
    known = _known(workspace)
    read_workspace(apply_patch(workspace, _patch(channel=0)), known=known)
    patch = _patch(channel=1)
    signal: dict[str, list[object]] = patch[0]["value"]  # type: ignore[index]
    signal["modifiers"][0] = {"name": "alpha", "type": "normfactor", "data": None}
    with pytest.raises(InvalidInput) as caught:
        read_workspace(apply_patch(workspace, patch), known=known)
    assert caught.value.code == "workspace.name-reuse"
