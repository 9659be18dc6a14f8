"""A change in the document gives a new key to the units that depend on it, and to no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evercast import __version__
from evercast.plan import make_plan
from evercast.plan.keys import FORMATS, canonical_digest, unit_key
from evercast.plan.recipes import SelectionRecipe
from evercast.spec import analysis_from_json
from evercast.spec.model import PseudoData
from workflow_documents import ROOT, body, changed, plan_of

H4L = ROOT / "specs" / "h4l" / "analysis.yaml"

LAST = {"diagnostics", "report"}
AFTER_EVALUATION = {"serialization", "fit", "training_statistics", *LAST}
AFTER_SELECTION = {"training", "evaluation", *AFTER_EVALUATION}
ALL = {"command", "selection", *AFTER_SELECTION}


def keys(folder: Path, content: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(unit.stage, unit.name): unit.key for unit in plan_of(folder, content).units}


def stages_that_differ(first: dict[tuple[str, str], str], second: dict[tuple[str, str], str]) -> set[str]:
    return {
        stage for stage, name in first.keys() | second.keys() if first.get((stage, name)) != second.get((stage, name))
    }


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("title", "another title", AFTER_EVALUATION),
        ("inference.scan_points", 31, {"fit", *LAST}),
        ("inference.scan_range", [0, 3], {"fit", *LAST}),
        ("expected", {"binned.mu_hat": {"value": 1.0, "abs": 0.5}}, LAST),
        ("parameters.mu.bounds", [0, 6], AFTER_EVALUATION),
        ("systematics.norm_b.up", 1.2, AFTER_EVALUATION),
        ("processes.S.title", "a signal", AFTER_EVALUATION),
        ("likelihoods.binned.channels.CR.edges", [-8, -0.5], AFTER_EVALUATION),
        ("samples.signal.title", "a signal", LAST),
        ("selection.observables.x.label", "$X$", AFTER_EVALUATION),
        ("ensembles.ratios.combine", "mean_ratio", {"evaluation", *AFTER_EVALUATION}),
        ("ensembles.ratios.calibration", "histogram", {"evaluation", *AFTER_EVALUATION}),
        ("ensembles.ratios.training.epochs", 3, AFTER_SELECTION),
        ("ensembles.ratios.seed", 6, AFTER_SELECTION),
        ("selection.regions.SR.cut", "(x > -0.5) & (x < 9)", {"selection", *AFTER_SELECTION}),
        ("metadata.luminosity_fb", 2, {"selection", *AFTER_SELECTION}),
        ("stages.events.run", "python {inputs.script}  events --kind {matrix.kind} --output {outputs.table}", ALL),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(
    tmp_path: Path, path: str, value: object, stages: set[str]
) -> None:
    before = keys(tmp_path / "a", body())
    after = keys(tmp_path / "b", changed(body(), path, value))
    assert stages_that_differ(before, after) == stages


def test_resources_and_block_size_are_no_part_of_what_is_computed(tmp_path: Path) -> None:
    before = keys(tmp_path / "a", body())
    after = keys(tmp_path / "b", changed(body(), "stages.events.resources.memory_mb", 900))
    assert stages_that_differ(before, after) == LAST


def test_more_members_leave_the_trained_blocks_alone(tmp_path: Path) -> None:
    two = changed(body(), "ensembles.ratios.members_per_block", 1)
    before = keys(tmp_path / "a", two)
    after = keys(tmp_path / "b", changed(two, "ensembles.ratios.members", 5))
    trained = {name for stage, name in before if stage == "training"}
    assert trained == {"ratios-S-0", "ratios-S-1", "ratios-B-0", "ratios-B-1"}
    assert all(before["training", name] == after["training", name] for name in trained)
    assert sum(stage == "training" for stage, _ in after) == 10


def test_the_content_of_a_file_beside_the_document_counts_and_its_time_does_not(tmp_path: Path) -> None:
    before = keys(tmp_path, body())
    script = tmp_path / "make_events.py"
    script.touch()
    assert keys(tmp_path, body()) == before
    script.write_text(script.read_text() + "# a comment\n")
    assert stages_that_differ(before, keys(tmp_path, body())) == ALL


def test_the_folder_of_the_document_does_not_count(tmp_path: Path) -> None:
    assert keys(tmp_path / "here", body()) == keys(tmp_path / "there" / "deep", body())


def test_the_order_of_cuts_counts(tmp_path: Path) -> None:
    cuts = {"first": "x_reco > -5", "second": "y_reco > -5"}
    before = keys(tmp_path / "a", changed(body(), "selection.preselection", cuts))
    after = keys(tmp_path / "b", changed(body(), "selection.preselection", dict(reversed(cuts.items()))))
    assert "selection" in stages_that_differ(before, after)


def test_one_sample_changes_alone(tmp_path: Path) -> None:
    before = keys(tmp_path / "a", body())
    after = keys(tmp_path / "b", changed(body(), "samples.signal.normalisation.yield_events", 120))
    differing = {name for (stage, name), key in before.items() if stage == "selection" and after[stage, name] != key}
    assert differing == {"signal"}


def test_pseudo_data_replace_the_observed_sample_only(tmp_path: Path) -> None:
    real, pseudo = plan_of(tmp_path, body()), plan_of(tmp_path, body(), pseudo=True)
    by_name = {(unit.stage, unit.name): unit.key for unit in real.units}
    differing = {(unit.stage, unit.name) for unit in pseudo.units if by_name[unit.stage, unit.name] != unit.key}
    assert ("selection", "observed") in differing
    assert not {("selection", "signal"), ("selection", "background"), ("training", "ratios-S-0")} & differing


def h4l_keys(content: dict[str, Any], *, pseudo: bool = False) -> dict[tuple[str, str], str]:
    plan = make_plan(analysis_from_json(content), document_folder=H4L.parent, pseudo=pseudo)
    return {(unit.stage, unit.name): unit.key for unit in plan.units}


@pytest.mark.parametrize(
    ("key", "value"),
    [("license", "LicenseRef-other"), ("doi", "10.1000/182"), ("url", "https://example.org/other/{name}")],
)
def test_where_a_public_file_comes_from_and_its_licence_reach_no_result(key: str, value: str) -> None:
    before = body("h4l")
    source = next(iter(before["sources"]))
    name = before["sources"][source].get("filename") or before["sources"][source]["url"].rsplit("/", 1)[-1]
    after = changed(before, f"sources.{source}.{key}", value.format(name=name))
    assert stages_that_differ(h4l_keys(before), h4l_keys(after)) == LAST


def test_another_digest_of_a_public_file_reaches_everything_behind() -> None:
    before = body("h4l")
    source = next(iter(before["sources"]))
    after = changed(before, f"sources.{source}.sha256", "0" * 64)
    assert "fetch" in stages_that_differ(h4l_keys(before), h4l_keys(after))


def test_the_seed_of_pseudo_data_and_yields_of_others_leave_simulation_and_networks_alone() -> None:
    before = h4l_keys(body("h4l"), pseudo=True)
    seed = h4l_keys(changed(body("h4l"), "pseudo_data.seed", 4), pseudo=True)
    assert {name for (stage, name), key in before.items() if stage == "selection" and seed[stage, name] != key} == {
        "observed"
    }
    assert all(seed[at] == key for at, key in before.items() if at[0] == "training")
    other = h4l_keys(changed(body("h4l"), "pseudo_data.yields.H", 20), pseudo=True)
    assert {name for (stage, name), key in before.items() if stage == "selection" and other[stage, name] != key} == {
        "observed", "higgs"
    }  # fmt: skip


def test_a_fifth_member_trains_itself_alone() -> None:
    before = h4l_keys(body("h4l"))
    after = h4l_keys(changed(body("h4l"), "ensembles.ratios.members", 5))
    trained = {at for at in before if at[0] == "training"}
    assert len(trained) == 8
    assert all(after[at] == before[at] for at in trained)
    assert sum(stage == "training" for stage, _ in after) == 12


def test_another_process_leaves_the_trained_ones_alone() -> None:
    before = h4l_keys(changed(body("h4l"), "ensembles.ratios.processes", ["H", "DY"]))
    after = h4l_keys(body("h4l"))
    assert all(after[at] == key for at, key in before.items() if at[0] == "training")


def test_the_version_of_evercast_and_the_format_of_the_stage_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return unit_key(stage="fit", recipe={"a": 1}, inputs={})

    before, written = key(), FORMATS["fit"]
    major, minor, _ = __version__.split(".")
    monkeypatch.setattr("evercast.plan.keys._VERSION", f"{major}.{int(minor) + 1}")
    newer = key()
    monkeypatch.setitem(FORMATS, "fit", FORMATS["fit"] + 1)  # type: ignore[arg-type]
    assert len({before, newer, key()}) == 3
    version = {"evercast": f"{major}.{minor}", "stage": "fit", "format": written}
    assert before == canonical_digest(version | {"recipe": {"a": 1}, "inputs": {}})


def test_simulation_knows_its_own_pseudo_yield_alone() -> None:
    plan = make_plan(analysis_from_json(body("h4l")), document_folder=H4L.parent, pseudo=True)
    recipes = {unit.name: unit.recipe for unit in plan.of_stage("selection")}
    zz, observed = recipes["zz"], recipes["observed"]
    assert isinstance(zz, SelectionRecipe)
    assert isinstance(observed, SelectionRecipe)
    assert zz.pseudo == PseudoData(region="SR", yields={"ZZ": 80.08}, seed=0)
    assert zz.processes == {"ZZ": "zz"}
    assert observed.pseudo is not None
    assert (observed.pseudo.seed, len(observed.pseudo.yields)) == (3, 4)


def with_a_new_process(content: dict[str, Any], **bootstrap: object) -> dict[str, Any]:
    """The document with a sample of a reinterpretation as a process of all channels and of the ensemble."""
    content["samples"]["new"] = {
        "files": [{"path": "new.csv", "format": "csv"}], "normalisation": {"cross_section_pb": 0.04},
    }  # fmt: skip
    content["parameters"]["mu"]["poi"] = False
    content["parameters"]["mu_new"] = {"poi": True, "initial": 1, "bounds": [0, 10]}
    content["processes"]["N"] = {"sample": "new", "coefficient": "mu_new"}
    content["ensembles"]["ratios"]["processes"] = ["S", "B", "N"]
    content["pseudo_data"]["yields"]["N"] = 0
    if bootstrap:
        content["ensembles"]["ratios"]["bootstrap"] = bootstrap
    for likelihood in content["likelihoods"].values():
        for channel in likelihood["channels"].values():
            if channel["kind"] == "binned":
                channel["processes"].append("N")
    return content


@pytest.mark.parametrize("pseudo", [False, True])
def test_a_new_process_selects_and_trains_nothing_of_the_others_again(tmp_path: Path, *, pseudo: bool) -> None:
    (tmp_path / "new.csv").write_text("x_reco,y_reco\n1.0,1.0\n")
    before = {(unit.stage, unit.name): unit.key for unit in plan_of(tmp_path, body(), pseudo=pseudo).units}
    after = plan_of(tmp_path, with_a_new_process(body()), pseudo=pseudo)
    found = {(unit.stage, unit.name): unit.key for unit in after.units}
    kept = {place for place in before if place[0] in {"command", "selection", "training"}}
    assert {place for place in kept if found[place] == before[place]} == kept
    added = {place for place in found if place not in before}
    assert added == {("selection", "new"), ("training", "ratios-N-0")}


def test_replicas_of_one_process_train_that_one_alone(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("x_reco,y_reco\n1.0,1.0\n")
    content = with_a_new_process(body(), replicas=2, processes=["N"])
    plan = plan_of(tmp_path, content)
    trained = {unit.name for unit in plan.of_stage("training") if "replica" in unit.name}
    assert trained == {"ratios-N-replica-0-0", "ratios-N-replica-1-0"}
    (evaluated,) = (unit for unit in plan.of_stage("evaluation") if unit.name == "ratios-replicas")
    (nominal,) = (unit for unit in plan.of_stage("evaluation") if unit.name == "ratios")
    assert evaluated.inputs["nominal"] == nominal.id
