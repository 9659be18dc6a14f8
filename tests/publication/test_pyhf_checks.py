"""Workspaces and patchsets that must not be published, most of which pyhf accepts; and sound ones, with pyhf itself."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from evercast.errors import EvercastError, InvalidInput
from evercast.publication.pyhf_checks import require_sound_patchset, require_sound_workspace, workspace_digest
from evercast.publication.pyhf_patchset import background_and_patchset
from evercast.spec.model import SignalPoint, SignalPoints

Change = Callable[[Any], None]


def workspace(mass: int = 300, scale: float = 1.0) -> dict[str, Any]:
    """Two channels with a signal of its own for each mass, on the same background."""
    mu = {"name": "mu", "type": "normfactor", "data": None}
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    tilt = {"name": "tilt", "type": "histosys", "data": {"hi_data": [22.0, 8.0], "lo_data": [18.0, 12.0]}}
    errors = {"name": "mc", "type": "staterror", "data": [1.0, 0.8]}
    return {
        "version": "1.0.0",
        "channels": [
            {"name": "SR", "samples": [
                {"name": f"S{mass}", "data": [1.0 * scale, 5.0 * scale], "modifiers": [mu]},
                {"name": "B", "data": [20.0, 10.0], "modifiers": [rate, tilt, errors]},
            ]},
            {"name": "CR", "samples": [{"name": "B", "data": [100.0], "modifiers": [rate]}]},
        ],
        "observations": [{"name": "SR", "data": [22, 14]}, {"name": "CR", "data": [97]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }  # fmt: skip


def signal() -> SignalPoints:
    points = {f"m{mass}": SignalPoint(likelihood=f"m{mass}", values=(mass,)) for mass in (300, 400)}
    return SignalPoints(labels=("mass_gev",), points=points)


def patched() -> tuple[dict[str, Any], dict[str, Any]]:
    workspaces = {"m300": workspace(300), "m400": workspace(400, scale=0.5)}
    return background_and_patchset(workspaces, signal(), description="a search", inspire_id=1234567)


def sample(body: Any, channel: int = 0, number: int = 1) -> Any:
    return body["channels"][channel]["samples"][number]


def set_bin(place: Callable[[Any], Any], value: float) -> Change:
    def change(body: Any) -> None:
        place(body)[0] = value

    return change


BAD: dict[str, tuple[Change, str]] = {
    "a NaN bin": (set_bin(lambda b: sample(b)["data"], float("nan")), "holds nan in bin 0"),
    "an infinite bin": (set_bin(lambda b: sample(b)["data"], float("inf")), "holds inf in bin 0"),
    "a negative bin": (set_bin(lambda b: sample(b)["data"], -1.0), "holds -1 in bin 0"),
    "a negative count": (set_bin(lambda b: b["observations"][0]["data"], -1.0), "observation 'SR' holds -1"),
    "a negative variation": (
        set_bin(lambda b: sample(b)["modifiers"][1]["data"]["hi_data"], -0.1), "histosys 'tilt', hi_data holds -0.1"),
    "a negative uncertainty": (set_bin(lambda b: sample(b)["modifiers"][2]["data"], -1.0), "staterror 'mc' holds -1"),
    "a factor of zero": (lambda b: sample(b)["modifiers"][0]["data"].update(lo=0.0), "lo holds 0 in bin 0"),
    "a channel twice": (lambda b: b["channels"].append(copy.deepcopy(b["channels"][0])), "'SR' stands twice"),
    "a sample twice": (lambda b: b["channels"][0]["samples"].append(sample(b)), "the sample 'B' stands twice"),
    "a modifier twice": (
        lambda b: sample(b)["modifiers"].append(sample(b)["modifiers"][0]), "normsys 'rate' of 'B' stands twice"),
    "an observation twice": (lambda b: b["observations"].append(b["observations"][0]), "observations: 'SR' stands"),
    "a signal of no events": (
        lambda b: sample(b, 0, 0).update(data=[0.0, 0.0]), "the parameter of interest 'mu' of 'm' scales no events"),
    "no expected events": (set_bin(lambda b: sample(b, 1, 0)["data"], 0.0), "channel 'CR' expects no events"),
    "data in an empty bin": (
        lambda b: (sample(b)["data"].__setitem__(1, 0.0), sample(b, 0, 0)["data"].__setitem__(1, 0.0),
                   sample(b)["modifiers"][1]["data"].update(hi_data=[22.0, 0.0], lo_data=[18.0, 0.0])),
        "has data in a bin where no event is expected"),
    "an unknown key": (lambda b: sample(b).update(color="red"), "pyhf does not accept it"),
    "another version": (lambda b: b.update(version="9.9.9"), "pyhf does not accept it"),
    "a parameter of interest that is not there": (
        lambda b: b["measurements"][0]["config"].update(poi="nu"), "pyhf does not accept it"),
    "bins of different number": (lambda b: sample(b)["data"].append(1.0), "pyhf does not accept it"),
}  # fmt: skip


def test_a_sound_workspace_passes() -> None:
    require_sound_workspace(workspace(), where="workspace.json")


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_workspace_is_refused(case: str) -> None:
    body = workspace()
    change, message = BAD[case]
    change(body)
    with pytest.raises(InvalidInput) as caught:
        require_sound_workspace(body, where="workspace.json")
    assert caught.value.code == "publication.workspace"
    assert caught.value.exit_code == 3
    assert message in caught.value.message


def test_each_patch_gives_the_workspace_of_its_point() -> None:
    background, patchset = patched()
    require_sound_workspace(background, where="background_only.json", complete=False)
    require_sound_patchset(background, patchset, where="patchset.json")
    assert [one["name"] for one in background["channels"][0]["samples"]] == ["B"]
    for patch, mass, scale in zip(patchset["patches"], (300, 400), (1.0, 0.5), strict=True):
        found = jsonpatch.apply_patch(background, patch["patch"])
        expected = workspace(mass, scale)
        for channel in (*found["channels"], *expected["channels"]):
            channel["samples"].sort(key=lambda one: str(one["name"]))
        assert found == expected
        assert patch["metadata"] == {"name": f"m{mass}", "values": [mass]}


WRONG_SETS: dict[str, tuple[Change, str]] = {
    "another workspace": (lambda p: p["metadata"]["digests"].update(sha256="0" * 64), "publication.patchset"),
    "no digest": (lambda p: p["metadata"].update(digests={}), "publication.patchset"),
    "values twice": (lambda p: p["patches"][1]["metadata"].update(values=[300]), "publication.patchset"),
    "a name twice": (lambda p: p["patches"][1]["metadata"].update(name="m300"), "publication.patchset"),
    "values without labels": (lambda p: p["patches"][0]["metadata"].update(values=[300, 1]), "publication.patchset"),
    "a path that is not there": (
        lambda p: p["patches"][0]["patch"][0].update(path="/channels/7/samples/-"), "workspace.patch"),
    "a test that fails": (
        lambda p: p["patches"][0]["patch"].insert(
            0, {"op": "test", "path": "/version", "value": 2}), "workspace.patch"),
    "a patch with a negative signal": (
        lambda p: p["patches"][0]["patch"][0]["value"].update(data=[-1.0, 5.0]), "publication.workspace"),
    "a patch without a signal": (lambda p: p["patches"][0].update(patch=[]), "publication.workspace"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_SETS)
def test_a_wrong_patchset_is_refused(case: str) -> None:
    background, patchset = patched()
    change, code = WRONG_SETS[case]
    change(patchset)
    with pytest.raises(EvercastError) as caught:
        require_sound_patchset(background, patchset, where="patchset.json")
    assert caught.value.code == code
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["observations"][0]["data"].__setitem__(0, 23), "other channels, observations or measurements"),
        (lambda b: b["channels"][0]["samples"].pop(0), "it has no signal"),
        (lambda b: b["channels"][1]["samples"][0]["data"].__setitem__(0, 90.0), "share no sample in the channel 'CR'"),
    ],
)
def test_points_that_do_not_go_together_are_refused(change: Change, message: str) -> None:
    other = workspace(400)
    change(other)
    with pytest.raises(InvalidInput, match=message) as caught:
        background_and_patchset(
            {"m300": workspace(300), "m400": other}, signal(), description="a search", inspire_id=1234567
        )
    assert caught.value.code == "publication.signal-points"


def pyhf_command(*words: str, cwd: Path) -> str:
    program = str(Path(sys.executable).with_name("pyhf"))
    done = subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_programs_of_pyhf_accept_what_is_published(tmp_path: Path) -> None:
    background, patchset = patched()
    for name, body in (("background_only", background), ("patchset", patchset), ("workspace", workspace())):
        (tmp_path / f"{name}.json").write_text(json.dumps(body))
    assert "normfactor" in pyhf_command("inspect", "workspace.json", cwd=tmp_path)
    assert "All good" in pyhf_command("patchset", "verify", "background_only.json", "patchset.json", cwd=tmp_path)
    assert (
        pyhf_command("digest", "background_only.json", cwd=tmp_path).strip() == f"sha256:{workspace_digest(background)}"
    )
