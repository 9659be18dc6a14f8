"""HistFactory workspaces: the same -2 ln L as pyhf, and what pyhf accepts although it is wrong."""

from __future__ import annotations

import copy
import math

import jsonpatch
import numpy as np
import pyhf
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, patch_of_set, read_workspace
from statistics_inputs import synthetic_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it


def compare_with_pyhf(
    workspace, *, n_points: int, seed: int, settings=None, largest: float = 2.5
) -> list[tuple[float, float]]:
    """Return (ours, theirs) in -2 ln L at random points, after the parameter settings were found equal."""
    peer = pyhf.Workspace(workspace, validate=False)
    model = peer.model(validate=False, **({"modifier_settings": settings} if settings else {}))
    data = peer.data(model)
    ours = Likelihood(read_workspace(workspace, modifier_settings=settings))
    assert sorted(ours.names) == sorted(model.config.par_names)
    order = [ours.index(name) for name in model.config.par_names]
    start, bounds = np.array(model.config.suggested_init()), np.array(model.config.suggested_bounds())
    np.testing.assert_array_equal(ours.initial[order], start)
    np.testing.assert_array_equal(np.stack([ours.lower, ours.upper], axis=1)[order], bounds)
    np.testing.assert_array_equal(ours.fixed[order], model.config.suggested_fixed())
    rng = np.random.default_rng(seed)
    pairs = []
    for point in range(n_points):
        size = 0.15 * point / max(n_points - 1, 1) * np.where(start == 0, 4.0, 1.0)
        theta = np.clip(start + rng.normal(size=len(start)) * size, bounds[:, 0], bounds[:, 1])
        theta = np.where(start == 0, np.clip(theta, -largest, largest), theta)
        theta = np.where(model.config.suggested_fixed(), start, theta)
        mine = np.empty(len(theta))
        mine[order] = theta
        pairs.append((ours.twice_nll(mine), float(-2 * model.logpdf(theta.tolist(), data)[0])))
    return pairs


@pytest.mark.parametrize("seed", range(4))
def test_every_modifier_type_gives_the_number_of_pyhf(seed: int) -> None:
    pairs = compare_with_pyhf(synthetic_workspace(seed=seed), n_points=8, seed=seed)
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, abs=1e-8)
    assert len({round(ours, 3) for ours, _ in pairs}) == 8


def test_huge_auxiliary_counts_lose_no_accuracy() -> None:
    """A shapesys of 1e-7 relative has 1e14 auxiliary counts: the plain Poisson formula is wrong by 1e-2 there."""
    workspace = synthetic_workspace()
    other = workspace["channels"][0]["samples"][2]
    spread = (1e-7 * np.array(other["data"])).tolist()
    next(m for m in other["modifiers"] if m["type"] == "shapesys")["data"] = spread
    likelihood = Likelihood(read_workspace(workspace))
    theta = likelihood.initial.copy()
    base = likelihood.twice_nll(theta)
    index = likelihood.index("other_stat[0]")
    theta[index] = 1 + 2e-7  # two standard deviations of the constraint; its effect on the rates is below 1e-6
    assert likelihood.twice_nll(theta) - base == pytest.approx(4.0, abs=1e-5)


SETTINGS = [
    {"name": "jes", "inits": [0.3], "bounds": [[-2.0, 3.0]], "auxdata": [0.25]},
    {"name": "top", "fixed": True, "inits": [0.5]},
    {"name": "mu", "inits": [1.5], "bounds": [[-1.0, 5.0]]},
    {"name": "stat_SR", "inits": [1.1, 0.9, 1.0], "sigmas": [0.2, 0.3, 0.1], "auxdata": [1.0, 1.1, 0.9],
     "bounds": [[0.1, 3.0], [0.2, 3.0], [0.1, 4.0]]},
    {"name": "other_stat", "inits": [1.0, 1.2, 0.8], "auxdata": [30.0, 40.0, 50.0], "factors": [31.0, 39.0, 50.0]},
    {"name": "free_shape", "inits": [0.9, 1.1], "bounds": [[0.0, 2.0], [0.0, 3.0]]},
]  # fmt: skip


def test_the_settings_of_a_measurement_are_those_of_pyhf() -> None:
    workspace = synthetic_workspace(seed=3)
    workspace["measurements"][0]["config"]["parameters"] += SETTINGS
    for ours, theirs in compare_with_pyhf(workspace, n_points=6, seed=4):
        assert ours == pytest.approx(theirs, rel=1e-11)


@pytest.mark.parametrize("normsys", ["code1", "code4"])
@pytest.mark.parametrize("histosys", ["code0", "code2", "code4p"])
def test_interpolation_codes_give_the_number_of_pyhf(normsys: str, histosys: str) -> None:
    """Within one standard deviation for code2, which pyhf continues by a formula that jumps at +-1."""
    workspace = synthetic_workspace(seed=5)
    settings = {"normsys": {"interpcode": normsys}, "histosys": {"interpcode": histosys}}
    largest = 0.9 if histosys == "code2" else 2.5
    for ours, theirs in compare_with_pyhf(workspace, n_points=8, seed=2, settings=settings, largest=largest):
        assert ours == pytest.approx(theirs, rel=1e-11)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normsys": {"interpcode": "code2"}}, "unknown interpolation: normsys code2"),
        ({"lumi": {"interpcode": "code0"}}, "'lumi' have no settings"),
    ],
)
def test_an_unknown_interpolation_is_refused(settings, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_workspace(synthetic_workspace(), modifier_settings=settings)


def broken(change) -> dict[str, object]:
    workspace = copy.deepcopy(synthetic_workspace())
    change(workspace)
    return workspace


def first_modifier(workspace, kind: str):
    found = [m for c in workspace["channels"] for s in c["samples"] for m in s["modifiers"] if m["type"] == kind]
    return found[0]


def sample(workspace, channel: int = 0, position: int = 0):
    return workspace["channels"][channel]["samples"][position]


BROKEN = {
    "nan": (lambda w: sample(w)["data"].__setitem__(1, math.nan), r"channels\[0\].samples\[0\].data\[1\].*finite"),
    "nan in a variation": (
        lambda w: first_modifier(w, "histosys")["data"]["lo_data"].__setitem__(1, math.nan),
        r"modifiers\[\d+\].data.lo_data\[1\].*finite",
    ),
    "text in a variation": (
        lambda w: first_modifier(w, "histosys")["data"]["hi_data"].__setitem__(0, "3"),
        r"expected a number, found str '3'",
    ),
    "text": (lambda w: sample(w)["data"].__setitem__(1, "3"), r"expected a number, found str '3'"),
    "no samples": (lambda w: w["channels"][0].update(samples=[]), "expected a list of objects"),
    "duplicate channel": (lambda w: w["channels"].append(w["channels"][0]), "twice|used as"),
    "duplicate sample": (lambda w: w["channels"][1]["samples"].append(sample(w, 1, 0)), "sample 'top' stands twice"),
    "duplicate observation": (lambda w: w["observations"].append(w["observations"][0]), "'SR' stands twice"),
    "no observation": (lambda w: w["observations"].pop(), "channel 'CR' has no observation"),
    "observed bins": (lambda w: w["observations"][0]["data"].append(1.0), "nominal has 3 bins, the channel has 4"),
    "negative observed": (lambda w: w["observations"][0]["data"].__setitem__(0, -1.0), "found -1.0 in bin 0"),
    "negative total": (lambda w: sample(w).update(data=[-5.0, 1.0, 1.0]), "total yield is negative: -3"),
    "unknown modifier": (lambda w: first_modifier(w, "lumi").update(type="weightsys"), "modifier type 'weightsys'"),
    "normsys zero": (lambda w: first_modifier(w, "normsys")["data"].update(lo=0.0), "'jes' has up 1.1, down 0.0"),
    "name reuse": (lambda w: first_modifier(w, "normfactor").update(name="jes"), "'jes' is used as"),
    "shapesys twice": (lambda w: sample(w, 0, 1)["modifiers"].append(first_modifier(w, "shapesys")), "as shapesys"),
    "staterror bins": (lambda w: first_modifier(w, "staterror").update(data=[0.1]), "has 1 uncertainties for 3 bins"),
    "unknown poi": (lambda w: w["measurements"][0]["config"].update(poi="mu_SIG"), "'mu_SIG' acts on no sample"),
    "no lumi settings": (lambda w: w["measurements"][0]["config"].update(parameters=[]), "'lumi' needs inits"),
    "bounds": (lambda w: w["measurements"][0]["config"]["parameters"][0].update(bounds=[[1.1, 0.9]]), "not in order"),
    "settings": (lambda w: w["measurements"][0]["config"]["parameters"][0].update(inits=[1.0, 1.0]), "2 values for 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_workspace_is_refused_with_the_place(name: str) -> None:
    change, message = BROKEN[name]
    with pytest.raises(InvalidInput, match=message) as failure:
        Likelihood(read_workspace(broken(change)))
    assert failure.value.exit_code == 3


def test_whole_numbers_among_varied_templates_are_read_like_floats() -> None:
    workspace = synthetic_workspace()
    data = first_modifier(workspace, "histosys")["data"]
    data["hi_data"] = [float(round(value)) for value in data["hi_data"]]
    as_floats = Likelihood(read_workspace(workspace))
    data["hi_data"] = [int(value) for value in data["hi_data"]]
    as_integers = Likelihood(read_workspace(workspace))
    theta = as_floats.initial + 0.1
    assert as_integers.twice_nll(theta) == as_floats.twice_nll(theta)


def test_the_measurement_can_be_chosen() -> None:
    workspace = synthetic_workspace()
    other = copy.deepcopy(workspace["measurements"][0])
    other["name"] = "other"
    other["config"]["parameters"].append({"name": "mu", "inits": [2.0], "bounds": [[-1.0, 5.0]]})
    other["config"]["parameters"].append({"name": "top", "fixed": True})
    workspace["measurements"].append(other)
    chosen = {p.name: p for p in read_workspace(workspace, measurement="other").parameters}
    assert (chosen["mu"].initial, chosen["mu"].bounds, chosen["top"].fixed) == (2.0, (-1.0, 5.0), True)
    with pytest.raises(InvalidInput, match="no measurement 'third'; found: fit, other"):
        read_workspace(workspace, measurement="third")


def test_patches_apply_to_a_copy_and_fit_or_are_refused() -> None:
    workspace = synthetic_workspace()
    patch = [{"op": "replace", "path": "/channels/0/samples/0/data", "value": [9.0, 9.0, 9.0]}]
    patched = apply_patch(workspace, patch)
    assert patched["channels"][0]["samples"][0]["data"] == [9.0, 9.0, 9.0]
    assert workspace == synthetic_workspace()
    patch += [
        {"op": "copy", "from": "/channels/0/samples/1", "path": "/channels/0/samples/0"},
        {"op": "replace", "path": "/channels/0/samples/0/data/1", "value": 7.0},
        {"op": "remove", "path": "/channels/0/samples/2"},
        {"op": "move", "from": "/channels/1/samples/1/data/0", "path": "/channels/1/samples/0/data/1"},
        {"op": "add", "path": "/channels/-", "value": {"name": "new", "samples": []}},
        {"op": "add", "path": "/channels/2/samples/0", "value": {"name": "s"}},
    ]
    expected = jsonpatch.JsonPatch(patch).apply(workspace)
    before = copy.deepcopy(patch)
    assert apply_patch(workspace, patch) == expected
    assert workspace == synthetic_workspace()
    assert patch == before
    for wrong in (
        [{"op": "remove", "path": "/channels/7"}],
        [{"op": "test", "path": "/version", "value": "2"}],
        [{"op": "jump"}],
        ["x"],
    ):
        with pytest.raises(InvalidInput, match=r"patch|expected an object"):
            apply_patch(workspace, wrong)
    patchset = {"patches": [{"metadata": {"name": "m_300", "values": [300]}, "patch": patch}]}
    assert patch_of_set(patchset, "m_300") == patch
    with pytest.raises(InvalidInput, match="patchset of 1 patches has no 'm_400'; for example: m_300"):
        patch_of_set(patchset, "m_400")


def test_a_staterror_without_uncertainty_in_a_bin_is_fixed_there() -> None:
    workspace = synthetic_workspace()
    for entry in workspace["channels"][0]["samples"]:
        for modifier in entry["modifiers"]:
            if modifier["type"] == "staterror":
                modifier["data"][1] = 0.0
    parameters = {p.name: p for p in read_workspace(workspace).parameters}
    assert [parameters[f"stat_SR[{i}]"].fixed for i in range(3)] == [False, True, False]
    for ours, theirs in compare_with_pyhf(workspace, n_points=3, seed=1):
        assert ours == pytest.approx(theirs, abs=1e-8)
