"""Systematics, replicas and pseudo-experiments in the plan: which units there are, and what a change reruns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from evercast.plan import Plan, make_plan, plan_from_json, plan_to_json
from evercast.plan.blocks import choose_variation_blocks
from evercast.plan.model import Unit
from evercast.plan.recipes import (
    EvaluationRecipe,
    EventVariation,
    FitRecipe,
    LearnedVariation,
    SelectionRecipe,
    SerializationRecipe,
    ToysRecipe,
    TrainingRecipe,
    TrainingStatisticsRecipe,
)
from evercast.plan.table import plan_table
from evercast.spec.model import Morphing
from evercast.spec.reader import parse_document
from evercast.spec.schema import check_document
from workflow_documents import ROOT, changed

DOCUMENTS = ROOT / "tests" / "spec" / "documents" / "valid"
TEXT = (DOCUMENTS / "systematics.yaml").read_text(encoding="utf-8")
LAST = {"diagnostics", "report"}
AFTER_FIT = {"toys", "study", "training_statistics", *LAST}
AFTER_SERIALIZATION = {"fit", *AFTER_FIT}


def body() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(TEXT)
    return copy.deepcopy(content)


def plan_of(content: dict[str, Any]) -> Plan:
    analysis = check_document(parse_document(yaml.safe_dump(content, sort_keys=False).encode()))
    return make_plan(analysis, document_folder=DOCUMENTS, pseudo=False)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(body())


def unit(plan: Plan, stage: str, name: str) -> Unit:
    (found,) = (one for one in plan.units if (one.stage, one.name) == (stage, name))
    return found


def names(plan: Plan, stage: str) -> list[str]:
    return [one.name for one in plan.units if one.stage == stage]


def inputs(plan: Plan, stage: str, name: str) -> dict[str, str]:
    """Input -> stage and name of the unit behind it."""
    units = plan.by_id()
    return {
        key: f"{units[value].stage}/{units[value].name}"
        for key, value in unit(plan, stage, name).inputs.items()
        if not value.startswith("file:")
    }


def keys(content: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(one.stage, one.name): one.key for one in plan_of(content).units}


def differing(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    return {at for at in before if before[at] != after.get(at)}


def test_a_varied_selection_is_made_once_per_sample_and_only_where_events_change(plan: Plan) -> None:
    varied = [name for name in names(plan, "selection") if "-" in name]
    samples = ["sbi_1", "sbi_5", "background", "continuum"]
    assert varied == [
        *(f"{sample}-scale-{way}" for sample in samples for way in ("up", "down")),
        *(f"continuum-resolution-{way}" for way in ("up", "down")),
        *(f"{sample}-pdf-{way}" for sample in samples[:3] for way in ("up", "down")),
        *(f"continuum-jets-{way}" for way in ("up", "down")),
    ]


def test_two_processes_of_one_sample_share_its_varied_selection() -> None:
    content = body()
    content["processes"]["D"] = {"sample": "continuum"}
    assert names(plan_of(content), "selection").count("continuum-scale-up") == 1


def test_a_varied_selection_knows_the_nominal_one_and_its_change(plan: Plan) -> None:
    recipe = unit(plan, "selection", "sbi_1-pdf-down").recipe
    nominal = unit(plan, "selection", "sbi_1").recipe
    assert isinstance(recipe, SelectionRecipe)
    assert isinstance(nominal, SelectionRecipe)
    assert recipe.variation == EventVariation(
        weight="w_pdf_down * (1 + 0.01 * m / 100)", meaning="weight", name="pdf down"
    )
    assert (recipe.name, recipe.sample, recipe.selection) == ("sbi_1", nominal.sample, nominal.selection)
    assert inputs(plan, "selection", "sbi_1-pdf-down") == {"nominal": "selection/sbi_1"}
    assert "file_0" in unit(plan, "selection", "sbi_1-pdf-down").inputs
    scale = unit(plan, "selection", "continuum-scale-up").recipe
    assert isinstance(scale, SelectionRecipe)
    assert scale.variation == EventVariation(transform={"muons.pt": 1.01}, name="scale up")


def test_a_variation_is_learned_against_the_nominal_sample_of_its_process(plan: Plan) -> None:
    recipe = unit(plan, "training", "ratios-B-tune-up-0").recipe
    assert isinstance(recipe, TrainingRecipe)
    assert recipe.variation == LearnedVariation(parameter="tune", direction="up")
    assert (recipe.ensemble.reference, recipe.members) == ({"background": 1.0}, (0, 1))
    assert inputs(plan, "training", "ratios-B-tune-up-0") == {
        "varied": "selection/background_up", "sample_background": "selection/background",
    }  # fmt: skip
    assert inputs(plan, "training", "ratios-C-scale-down-0") == {
        "varied": "selection/continuum-scale-down", "sample_continuum": "selection/continuum",
    }  # fmt: skip


def test_a_two_point_systematic_is_learned_one_way_only(plan: Plan) -> None:
    assert [name for name in names(plan, "training") if "generator" in name] == ["ratios-B-generator-up-0"]
    found = inputs(plan, "evaluation", "ratios-generator")
    assert {key: value for key, value in found.items() if not key.startswith("sample")} == {
        "block.B.up.0": "training/ratios-B-generator-up-0", "varied.B.up": "selection/background_other",
    }  # fmt: skip


def test_what_changes_yields_only_or_acts_in_no_channel_of_the_ensemble_needs_no_networks(plan: Plan) -> None:
    trained = names(plan, "training")
    assert not [name for name in trained if any(word in name for word in ("jets", "lumi", "xsec_b"))]
    content = changed(body(), "systematics.scale.channels", ["CR"])
    assert not [name for name in names(plan_of(content), "training") if "scale" in name]
    content = changed(body(), "systematics.scale.effect", "normalisation")
    assert not [name for name in names(plan_of(content), "training") if "scale" in name]
    assert "continuum-scale-up" in names(plan_of(content), "selection")


def test_the_evaluation_of_a_parameter_sees_all_processes_that_follow_it(plan: Plan) -> None:
    recipe = unit(plan, "evaluation", "ratios-pdf").recipe
    assert isinstance(recipe, EvaluationRecipe)
    assert (recipe.learned, recipe.parameter, recipe.processes) == ("variation", "pdf", ("SBI1", "SBI5", "B"))
    assert recipe.ensemble.members == 2
    assert recipe.samples == ("sbi_1", "sbi_5", "background", "continuum", "observed")
    found = inputs(plan, "evaluation", "ratios-pdf")
    assert {key for key in found if key.startswith(("block", "varied"))} == {
        f"{kind}.{process}.{way}{end}"
        for process in ("SBI1", "SBI5", "B")
        for way in ("up", "down")
        for kind, end in (("block", ".0"), ("varied", ""))
    }
    assert found["varied.B.down"] == "selection/background-pdf-down"


def test_a_polynomial_is_one_network_per_process_through_all_its_points(plan: Plan) -> None:
    recipe = unit(plan, "training", "polynomials-B-polynomial-0").recipe
    assert isinstance(recipe, TrainingRecipe)
    assert [(point.parameter, point.direction) for point in recipe.points] == [
        ("scale", "up"), ("scale", "down"), ("pdf", "up"), ("pdf", "down"), ("tune", "up"), ("tune", "down"),
    ]  # fmt: skip
    assert recipe.ensemble.morphing == Morphing(kind="parametric", degree=2)
    assert inputs(plan, "training", "polynomials-B-polynomial-0")["varied.tune.down"] == "selection/background_down"
    evaluation = unit(plan, "evaluation", "polynomials-polynomial").recipe
    assert isinstance(evaluation, EvaluationRecipe)
    assert evaluation.processes == ("B", "C")
    assert evaluation.points["B"] == recipe.points
    assert set(inputs(plan, "evaluation", "polynomials-polynomial")) >= {"block.B.0", "block.C.0"}


def test_replicas_are_small_ensembles_of_their_own(plan: Plan) -> None:
    replicas = [name for name in names(plan, "training") if "replica" in name]
    assert len(replicas) == 4 * 4
    recipe = unit(plan, "training", "ratios-C-replica-3-0").recipe
    assert isinstance(recipe, TrainingRecipe)
    assert (recipe.replica, recipe.members, recipe.ensemble.bootstrap) == (3, (0,), None)
    evaluation = unit(plan, "evaluation", "ratios-replicas")
    assert isinstance(evaluation.recipe, EvaluationRecipe)
    assert evaluation.recipe.ensemble.members == 1
    assert inputs(plan, "evaluation", "ratios-replicas")["block.3.C.0"] == "training/ratios-C-replica-3-0"


def test_the_serialization_gets_everything_that_varies_under_its_name(plan: Plan) -> None:
    found = inputs(plan, "serialization", "likelihood")
    assert found["varied.pdf.B.up"] == "selection/background-pdf-up"
    assert found["varied.tune.B.down"] == "selection/background_down"
    assert found["varied.tune_high.B.down"] == "selection/background_down"
    assert found["varied.jets.C.up"] == "selection/continuum-jets-up"
    assert found["varied.generator.B.up"] == "selection/background_other"
    assert "varied.generator.B.down" not in found
    assert not [key for key in found if key.startswith("varied.lumi")]
    assert found["variation.ratios.tune"] == "evaluation/ratios-tune"
    assert found["polynomial.polynomials"] == "evaluation/polynomials-polynomial"
    assert found["replicas.ratios"] == "evaluation/ratios-replicas"
    assert found["variation_block.ratios.pdf.B.down.0"] == "training/ratios-B-pdf-down-0"
    assert found["polynomial_block.polynomials.C.0"] == "training/polynomials-C-polynomial-0"
    assert not [key for key in found if key.startswith("variation") and "polynomials" in key]


def test_a_parameter_may_have_the_name_of_another_unit() -> None:
    content = changed(body(), "systematics.tune.parameter", "replicas")
    plan = plan_of(changed(content, "systematics.pdf.parameter", "polynomial"))
    units = plan.by_id()
    learned = {}
    for key in ("variation.ratios.replicas", "variation.ratios.polynomial", "replicas.ratios", "evaluation_ratios"):
        recipe = units[unit(plan, "serialization", "likelihood").inputs[key]].recipe
        assert isinstance(recipe, EvaluationRecipe)
        learned[key] = (recipe.learned, recipe.parameter)
    assert list(learned.values()) == [
        ("variation", "replicas"), ("variation", "polynomial"), ("replicas", None), ("ratio", None),
    ]  # fmt: skip


def test_studies_are_cut_in_jobs_in_the_order_of_values_and_numbers(plan: Plan) -> None:
    jobs = [one.recipe for one in plan.of_stage("toys") if one.name.startswith("interval")]
    assert [(job.value, job.first, job.count) for job in jobs if isinstance(job, ToysRecipe)] == [
        (value, first, count) for value in (0.0, 0.5, 1.0) for first, count in ((0, 120), (120, 120), (240, 60))
    ]
    study = inputs(plan, "study", "interval-neural")
    assert study["toys_4"] == "toys/interval-neural-4"
    assert study["likelihood"] == "serialization/likelihood"
    fits = [one.recipe for one in plan.of_stage("toys") if one.name.startswith("gof")]
    assert [(job.likelihood, job.value) for job in fits if isinstance(job, ToysRecipe)] == [
        ("neural", None), ("binned", None),
    ]  # fmt: skip


def test_training_statistics_are_found_of_likelihoods_with_networks(plan: Plan) -> None:
    (found,) = plan.of_stage("training_statistics")
    recipe = found.recipe
    assert isinstance(recipe, TrainingStatisticsRecipe)
    assert (recipe.likelihood, list(recipe.ensembles)) == ("neural", ["ratios", "polynomials"])
    given = inputs(plan, "training_statistics", "neural")
    assert given["replicas.ratios"] == "evaluation/ratios-replicas"
    assert "replicas.polynomials" not in given
    assert {"likelihood", "evaluation_ratios", "block.ratios.B.0", "sample_observed"} <= set(given)


def test_diagnostics_and_report_see_every_unit(plan: Plan) -> None:
    others = {f"{one.stage}/{one.name}" for one in plan.units if one.stage not in LAST}
    assert set(inputs(plan, "diagnostics", "diagnostics")) == others
    assert set(inputs(plan, "report", "report")) == {*others, "diagnostics/diagnostics"}


def test_networks_are_counted_as_they_are_trained(plan: Plan) -> None:
    ratios, polynomials = plan.networks
    trained = {
        name: [
            one
            for one in plan.of_stage("training")
            if isinstance(one.recipe, TrainingRecipe) and one.recipe.name == name
        ]
        for name in ("ratios", "polynomials")
    }
    for count in (ratios, polynomials):
        units = trained[count.ensemble]
        assert count.networks == sum(one.networks for one in units)
        assert count.blocks == len(units)
    assert "19 variations of 5 systematics x 2 members x 2 folds" in ratios.formula()
    assert "4 replicas x 4 processes x 1 members x 2 folds" in ratios.formula()
    assert "2 polynomials x 2 members x 2 folds" in polynomials.formula()
    text = plan_table(plan)
    assert "coverage: 2000 pseudo-experiments (coverage), 2 likelihoods, 1 value, 8 jobs" in text


def test_the_formula_is_the_short_one_where_everything_varies_both_ways() -> None:
    content = body()
    content["systematics"] = {key: content["systematics"][key] for key in ("lumi", "scale")}
    content["ensembles"]["ratios"] |= {"morphing": {}, "members": 5, "folds": 3}
    count = plan_of(content).networks[0]
    wanted = (
        "4 processes x (1 + 2 x 1 systematics) x 5 members x 3 folds + 4 replicas x 4 processes x 1 members x 3 folds"
    )
    assert count.formula() == f"228 networks = {wanted}"


def test_a_plan_of_everything_survives_json(plan: Plan) -> None:
    assert plan_from_json(plan_to_json(plan)) == plan


def test_a_new_systematic_leaves_networks_and_evaluations_alone() -> None:
    before = keys(body())
    new = {"kind": "weight", "processes": ["B"], "up": "1 + m", "down": "1 - 0.1 * m", "channels": ["SR", "CR"]}
    after = keys(changed(body(), "systematics.new", new))
    assert {stage for stage, _ in differing(before, after)} == {"serialization", *AFTER_SERIALIZATION}
    added = {at for at in after if at not in before}
    assert {at for at in added if at[0] == "selection"} == {
        ("selection", "background-new-up"), ("selection", "background-new-down"),
    }  # fmt: skip
    assert ("training", "ratios-B-new-up-0") in added
    assert ("evaluation", "ratios-new") in added


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("inference.contours", [["mu", "lumi"]], {"fit", *LAST}),
        ("inference.scan_points", 11, {"fit", *LAST}),
        ("inference.limit", 0.9, {"fit", "study", *LAST}),
        ("inference.toys.gof.toys", 20, {"toys", "study", *LAST}),
        ("inference.toys.coverage.values", [1, 2], {"study", *LAST}),
        ("inference.toys.limit.seed", 9, {"toys", "study", *LAST}),
        ("inference.unblind", True, {"fit", *AFTER_FIT}),
        ("publish.overrides", {}, LAST),
        ("systematics.xsec_b.up", 1.2, {"serialization", *AFTER_SERIALIZATION}),
        ("systematics.scale.title", "muon scale", {"serialization", *AFTER_SERIALIZATION}),
        ("systematics.generator.symmetrise", False, {"serialization", *AFTER_SERIALIZATION}),
        ("likelihoods.neural.channels.SR.blind", False, {"serialization", *AFTER_SERIALIZATION}),
        ("ensembles.ratios.members_per_block", 3, LAST),
    ],
)  # fmt: skip
def test_a_change_of_what_is_inferred_trains_nothing(path: str, value: object, stages: set[str]) -> None:
    before = keys(body())
    after = keys(changed(body(), path, value))
    assert {stage for stage, _ in differing(before, after)} == stages


def test_more_pseudo_experiments_leave_those_alone_that_are_there() -> None:
    before = keys(changed(body(), "inference.toys.interval.toys", 240))
    after = keys(changed(body(), "inference.toys.interval.toys", 480))
    jobs = {at for at in before if at[0] == "toys" and at[1].startswith("interval")}
    kept = {before[at] for at in jobs} & set(after.values())
    assert len(kept) == len(jobs) == 6


def test_a_change_of_one_variation_reaches_its_networks_alone() -> None:
    before = keys(body())
    after = keys(changed(body(), "systematics.pdf.up", "1.1 * w_pdf_up"))
    changed_units = differing(before, after)
    assert {name for stage, name in changed_units if stage == "selection"} == {
        "sbi_1-pdf-up", "sbi_5-pdf-up", "background-pdf-up",
    }  # fmt: skip
    assert {name for stage, name in changed_units if stage == "training"} == {
        "ratios-SBI1-pdf-up-0", "ratios-SBI5-pdf-up-0", "ratios-B-pdf-up-0", "polynomials-B-polynomial-0",
    }  # fmt: skip
    assert {name for stage, name in changed_units if stage == "evaluation"} == {"ratios-pdf", "polynomials-polynomial"}


@pytest.mark.parametrize("change", [{"replicas": 6}, {"replicas": 4, "members": 2}])
def test_replicas_leave_the_ensemble_and_one_another_alone(change: dict[str, int]) -> None:
    before, after = keys(body()), keys(changed(body(), "ensembles.ratios.bootstrap", change))
    trained = {name for stage, name in differing(before, after) if stage == "training"}
    assert all("replica" in name for name in trained)
    assert len(trained) == (0 if "members" not in change else 16)
    evaluated = {name for stage, name in differing(before, after) if stage == "evaluation"}
    assert evaluated == {"ratios-replicas"}


def test_more_members_of_the_morphs_leave_the_ratios_alone() -> None:
    before, after = keys(body()), keys(changed(body(), "ensembles.ratios.morphing.members", 4))
    evaluated = {name for stage, name in differing(before, after) if stage == "evaluation"}
    assert evaluated == {"ratios-scale", "ratios-resolution", "ratios-pdf", "ratios-tune", "ratios-generator"}


def test_fits_know_nothing_of_studies_and_likelihoods_nothing_of_overrides(plan: Plan) -> None:
    fit, made = unit(plan, "fit", "neural").recipe, unit(plan, "serialization", "likelihood").recipe
    assert isinstance(fit, FitRecipe)
    assert isinstance(made, SerializationRecipe)
    assert fit.inference.toys == {}
    assert fit.inference.contours == (("mu", "scale"), ("mu", "norm_continuum"))
    assert made.publish.overrides == {}


def _many_systematics() -> dict[str, Any]:
    content = body()
    ensemble = content["ensembles"]["ratios"]
    ensemble |= {
        "members": 20,
        "folds": 5,
        "model": {"kind": "mlp", "width": 128, "depth": 4},
        "training": {"epochs": 50},
    }
    ensemble |= {"morphing": {}, "bootstrap": {"replicas": 20}, "processes": ["SBI1", "SBI5", "B", "C", "D"]}
    content["processes"]["D"] = {"sample": "continuum"}
    for channel in content["likelihoods"]["binned"]["channels"].values():
        channel["processes"].append("D")
    one = {"kind": "kinematic", "processes": "all", "up": {"muons.pt": 1.01}, "down": {"muons.pt": 0.99}}
    content["systematics"] = {f"scale_{number}": one for number in range(50)}
    content["inference"]["contours"] = []
    del content["ensembles"]["polynomials"], content["likelihoods"]["neural"]["channels"]["high"]
    return content


def test_fifty_systematics_make_a_thousand_jobs_not_ten_thousand() -> None:
    content = _many_systematics()
    content["samples"]["sbi_1"]["files"][0].pop("path")
    for sample in content["samples"].values():
        sample["files"] = [{"generator": "events", "collections": {}}]
    content["generators"] = {"events": {"program": "pythia8", "settings": [], "events": 1_000_000, "seed": 1}}
    content["systematics"] = {
        name: one | {"up": {"particles.pt": 1.01}, "down": {"particles.pt": 0.99}}
        for name, one in content["systematics"].items()
    }
    content["selection"]["objects"]["tight"]["collection"] = "particles"
    plan = plan_of(content)
    count = plan.networks[0]
    assert count.networks == 5 * (1 + 2 * 50) * 20 * 5 + 20 * 5 * 5
    assert len(plan.of_stage("training")) == count.blocks < 3000
    assert max(one.resources.seconds for one in plan.of_stage("training")) < 5 * 3600


def test_blocks_of_variations_start_large() -> None:
    assert [len(block) for block in choose_variation_blocks(20, seconds_per_member=300)] == [8, 8, 4]
    assert [len(block) for block in choose_variation_blocks(3, seconds_per_member=20000)] == [1, 1, 1]
    assert choose_variation_blocks(2, seconds_per_member=0.1) == ((0, 1),)


@pytest.mark.parametrize("members", [3, 20, 47])
def test_more_members_leave_the_blocks_of_variations_alone(members: int) -> None:
    fewer = choose_variation_blocks(members, seconds_per_member=700)
    more = choose_variation_blocks(members + 30, seconds_per_member=700)
    assert more[: len(fewer) - 1] == fewer[:-1]
