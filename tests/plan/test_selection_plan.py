"""The plan of selections alone: the same units with the same keys, and nothing that comes after them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evercast.plan.graph import make_plan, make_selection_plan
from evercast.spec import load_analysis

TOY = Path(__file__).parents[2] / "specs" / "toy" / "analysis.yaml"


def test_selections_have_the_keys_of_the_whole_plan() -> None:
    analysis = load_analysis(TOY)
    whole = make_plan(analysis, document_folder=TOY.parent, pseudo=False)
    part = make_selection_plan(analysis, document_folder=TOY.parent)
    known = {unit.id: unit.key for unit in whole.units}
    assert {unit.stage for unit in part.units} == {"command", "selection"}
    assert {unit.id: unit.key for unit in part.units}.items() <= known.items()
    assert len(part.of_stage("selection")) == len(analysis.samples)
    assert part.digest != whole.digest


def test_a_sample_that_may_be_empty_is_another_unit_and_the_others_stay() -> None:
    analysis = load_analysis(TOY)
    free = replace(analysis.samples["signal"], may_be_empty=True)
    changed = replace(analysis, samples={**analysis.samples, "signal": free})
    before, after = (
        {unit.name: unit.key for unit in make_selection_plan(one, document_folder=TOY.parent).of_stage("selection")}
        for one in (analysis, changed)
    )
    assert [name for name in before if before[name] != after[name]] == ["signal"]


def test_selections_need_neither_data_nor_likelihoods() -> None:
    analysis = load_analysis(TOY)
    bare = replace(
        analysis, samples={"signal": analysis.samples["signal"]}, processes={}, likelihoods={}, parameters={},
        ensembles={}, systematics={},
    )  # fmt: skip
    (unit,) = make_selection_plan(bare, document_folder=TOY.parent).of_stage("selection")
    assert unit.name == "signal"
