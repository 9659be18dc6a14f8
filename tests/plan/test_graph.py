from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evercast.errors import InvalidInput
from evercast.plan import FILE_PREFIX, make_plan, plan_from_json, plan_to_json, used_sources
from evercast.plan.recipes import CommandRecipe
from evercast.plan.table import plan_summary, plan_table, unit_table
from evercast.spec import load_analysis
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis
from workflow_documents import ROOT, body, changed, plan_of, small_body, with_stage, write_document


def test_the_units_of_the_toy_analysis(tmp_path: Path) -> None:
    units = [(unit.stage, unit.name) for unit in plan_of(tmp_path, body()).units]
    assert units == [
        ("command", "events-signal"),
        ("command", "events-background"),
        ("command", "events-observed"),
        ("command", "events-reduce"),
        ("selection", "signal"),
        ("selection", "background"),
        ("selection", "observed"),
        ("training", "ratios-S-0"),
        ("training", "ratios-B-0"),
        ("evaluation", "ratios"),
        ("serialization", "likelihood"),
        ("fit", "binned"),
        ("fit", "neural"),
        ("training_statistics", "neural"),
        ("diagnostics", "diagnostics"),
        ("report", "report"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["toy", "h4l"])
def test_every_unit_stands_after_those_it_needs(name: str) -> None:
    document = ROOT / "specs" / name / "analysis.yaml"
    plan = make_plan(load_analysis(document), document_folder=document.parent, pseudo=False)
    seen: set[str] = set()
    for unit in plan.units:
        assert set(unit.needs()) <= seen
        seen.add(unit.id)
    assert len(seen) == len(plan.units)


def test_blocks_of_ensembles_and_processes_with_alike_names_are_told_apart(tmp_path: Path) -> None:
    """Ensemble a with process H_ZZ, and ensemble a_H with process ZZ."""
    content = body()
    content["processes"] |= {"H_ZZ": content["processes"]["S"], "ZZ": content["processes"]["B"]}
    content["pseudo_data"]["yields"] |= {"H_ZZ": 1, "ZZ": 1}
    whole = content["ensembles"]["ratios"]
    content["ensembles"] |= {"a": whole | {"processes": ["S", "H_ZZ"]}, "a_H": whole | {"processes": ["S", "ZZ"]}}
    plan = plan_of(tmp_path, content)
    (serialization,) = plan.of_stage("serialization")
    blocks = {name: unit for name, unit in serialization.inputs.items() if name.startswith("block")}
    assert set(blocks.values()) == {unit.id for unit in plan.of_stage("training")}
    names = {unit.id: unit.name for unit in plan.units}
    assert names[blocks["block.a.H_ZZ.0"]] == "a-H_ZZ-0"
    assert names[blocks["block.a_H.ZZ.0"]] == "a_H-ZZ-0"


def test_parts_of_a_generator_are_inputs_of_their_own() -> None:
    document = ROOT / "specs" / "h4l" / "analysis.yaml"
    plan = make_plan(load_analysis(document), document_folder=document.parent, pseudo=False)
    higgs = next(unit for unit in plan.of_stage("selection") if unit.name == "higgs")
    assert [name for name in higgs.inputs if name.startswith("file_")] == ["file_0_0", "file_0_1"]


def test_nothing_is_fetched_for_pseudo_data() -> None:
    document = ROOT / "specs" / "h4l" / "analysis.yaml"
    analysis = load_analysis(document)
    assert len(used_sources(make_plan(analysis, document_folder=document.parent, pseudo=False))) == 20
    assert used_sources(make_plan(analysis, document_folder=document.parent, pseudo=True)) == ()


def test_pseudo_data_must_be_declared(tmp_path: Path) -> None:
    content = body()
    del content["pseudo_data"]
    with pytest.raises(InvalidInput) as caught:
        plan_of(tmp_path, content, pseudo=True)
    assert caught.value.code == "plan.no-pseudo-data"


def test_a_matrix_is_the_product_of_its_axes_and_reduce_sees_all_jobs(tmp_path: Path) -> None:
    stage = {
        "run": "echo {matrix.mass} {matrix.tune} > {outputs.text}",
        "outputs": {"text": "out.txt"},
        "matrix": {"mass": [1.5, 2], "tune": ["a+b", "c"]},
        "reduce": {"run": "cat {all.text} > {outputs.all}", "outputs": {"all": "all.txt"}},
    }
    plan = plan_of(tmp_path, with_stage("scan", stage))
    jobs = [unit for unit in plan.of_stage("command") if unit.name.startswith("scan")]
    points = [unit.recipe.point for unit in jobs if isinstance(unit.recipe, CommandRecipe)]
    assert points == [
        {"mass": 1.5, "tune": "a+b"},
        {"mass": 1.5, "tune": "c"},
        {"mass": 2, "tune": "a+b"},
        {"mass": 2, "tune": "c"},
        {},
    ]
    assert [unit.name for unit in jobs] == ["scan-1.5-a_b", "scan-1.5-c", "scan-2-a_b", "scan-2-c", "scan-reduce"]
    assert list(jobs[-1].inputs.values()) == [f"{unit.id}:out.txt" for unit in jobs[:-1]]


def test_values_that_look_alike_as_file_names_stay_apart(tmp_path: Path) -> None:
    stage = {
        "run": "echo {matrix.cut} > {outputs.text}",
        "outputs": {"text": "out.txt"},
        "matrix": {"cut": ["a+b", "a_b", "a-b"]},
    }
    names = [
        unit.name for unit in plan_of(tmp_path, with_stage("s", stage)).of_stage("command") if unit.name[:2] == "s-"
    ]
    assert names == ["s-a_b", "s-a_b-2", "s-a_b-3"]


def test_a_stage_may_read_a_later_one(tmp_path: Path) -> None:
    content = with_stage(
        "early", {"run": "cp {inputs.x} {outputs.y}", "inputs": {"x": "stage:late.y"}, "outputs": {"y": "y"}}
    )
    content["stages"]["late"] = {"run": "echo 1 > {outputs.y}", "outputs": {"y": "y"}}
    names = [unit.name for unit in plan_of(tmp_path, content).of_stage("command")]
    assert names.index("late") < names.index("early")


def _in_a_circle() -> Analysis:
    analysis = from_json(Analysis, body())
    stages = to_json(analysis.stages)
    for name, other in (("one", "two"), ("two", "one")):
        stages[name] = {"run": "x", "inputs": {"x": f"stage:{other}.y"}, "outputs": {"y": "y"}}
    return from_json(Analysis, to_json(analysis) | {"stages": stages})


def test_a_circle_of_stages_is_refused_also_without_the_checks_of_the_document(tmp_path: Path) -> None:
    write_document(tmp_path, body())
    with pytest.raises(InvalidInput, match="one -> two -> one") as caught:
        make_plan(_in_a_circle(), document_folder=tmp_path, pseudo=False)
    assert caught.value.code == "plan.cycle"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    document = write_document(tmp_path, body())
    analysis = load_analysis(document)
    (tmp_path / "make_events.py").unlink()
    with pytest.raises(InvalidInput, match=r"make_events\.py") as caught:
        make_plan(analysis, document_folder=tmp_path, pseudo=False)
    assert caught.value.code == "plan.file-missing"


def test_files_beside_the_document_enter_with_their_digest(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, body())
    assert set(plan.files) == {"make_events.py"}
    assert plan.units[0].inputs == {"script": f"{FILE_PREFIX}make_events.py"}
    assert len(plan.files["make_events.py"]) == 64


def test_a_plan_survives_json(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, body())
    assert plan_from_json(plan_to_json(plan)) == plan


def test_the_networks_are_counted_with_their_formula(tmp_path: Path) -> None:
    content = changed(changed(body(), "ensembles.ratios.members", 50), "ensembles.ratios.folds", 10)
    plan = plan_of(tmp_path, changed(content, "ensembles.ratios.members_per_block", 8))
    text = plan_table(plan)
    assert "1000 networks = 2 processes x (1 + 2 x 0 systematics) x 50 members x 10 folds" in text
    assert "14 blocks of up to 8 members" in text
    assert sum(unit.networks for unit in plan.units) == 1000
    assert plan_summary(plan)["networks"][0]["networks"] == 1000


def test_the_table_sums_its_stages(tmp_path: Path) -> None:
    summary = plan_summary(plan_of(tmp_path, body()))
    assert summary["total"]["jobs"] == sum(stage["jobs"] for stage in summary["stages"].values()) == 16
    assert "ratios-S-0" in unit_table(plan_of(tmp_path, body()))


def test_a_document_without_networks_is_planned(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, small_body())
    assert plan.networks == ()
    assert "training" not in plan.stages()


def test_planning_loads_no_numerical_library() -> None:
    code = (
        "import sys; from pathlib import Path; from evercast.runtime.plans import plan_document;"
        "plan_document(Path('specs/h4l/analysis.yaml'), pseudo=False);"
        "print(sorted({'jax','numpy','zarr','snakemake','pyhf','awkward','scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
