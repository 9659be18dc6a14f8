"""Dataclasses become JSON and come back; what is not of the form is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evercast.errors import InvalidInput
from evercast.plan.recipes import CommandRecipe, FitRecipe, GenerationRecipe, ReportRecipe, SerializationRecipe
from evercast.spec import analysis_from_json, load_analysis
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis, Inference, LikelihoodSpec, UnbinnedChannel

FULL = Path(__file__).parent / "documents" / "valid" / "full.yaml"
FIT = {"likelihood": "a", "inference": {"scan_range": [0, 1]}}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return load_analysis(FULL)


def test_recipes_come_back(analysis: Analysis) -> None:
    recipes = [
        FitRecipe(likelihood="a", inference=analysis.inference),
        GenerationRecipe(name="zz", generator=analysis.generators["zz"], part=1),
        CommandRecipe(name="s", run="r", inputs={}, outputs={"o": "x"}, point={"a": 1, "b": "x", "c": 1.5}),
        ReportRecipe(analysis=analysis, pseudo=True),
        SerializationRecipe(
            analysis="a", title="t", metadata=analysis.metadata, selection=analysis.selection,
            parameters=analysis.parameters, processes=analysis.processes, morphing_bases=analysis.morphing_bases,
            systematics=analysis.systematics,
            ensembles=analysis.ensembles, histograms=analysis.histograms, likelihoods=analysis.likelihoods,
            publish=analysis.publish, data_sample="observed", pseudo=analysis.pseudo_data,
        ),
    ]  # fmt: skip
    for recipe in recipes:
        body = json.loads(json.dumps(to_json(recipe), allow_nan=False))
        assert from_json(type(recipe), body) == recipe


def test_union_is_told_apart_by_kind() -> None:
    body = {"channels": {"SR": {"kind": "unbinned", "ensemble": "e"}}, "title": None}
    likelihood = from_json(LikelihoodSpec, body)
    assert likelihood == LikelihoodSpec(channels={"SR": UnbinnedChannel(kind="unbinned", ensemble="e")})
    channel = {**body["channels"]["SR"], "interpolation": "code4", "training_statistics": 0, "blind": False}
    assert to_json(likelihood) == {**body, "channels": {"SR": channel}}


def test_whole_numbers_become_floats_where_those_are_declared() -> None:
    inference = from_json(Inference, {"scan_range": [0, 3], "scan_points": 5.0})
    assert [type(value) for value in (*inference.scan_range, inference.scan_points)] == [float, float, int]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "must be an object, found list"),
        ({}, "required field missing @ FitRecipe.likelihood"),
        ({**FIT, "likelihood": 3}, "FitRecipe.likelihood"),
        ({**FIT, "extra": 3}, "extra"),
        ({**FIT, "inference": {"scan_range": ["0", 1]}}, r"scan_range\[0\]"),
        ({**FIT, "inference": {"scan_range": [0, float("nan")]}}, r"scan_range\[1\]"),
        ({**FIT, "inference": {"scan_range": [0, 1], "scan_points": True}}, "scan_points"),
        ({**FIT, "inference": {"scan_range": [0, 1], "scan_points": 1.5}}, "scan_points"),
        ({**FIT, "inference": None}, "inference"),
    ],
)
def test_what_is_not_of_the_form_is_refused(body: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        from_json(FitRecipe, body)
    assert caught.value.code == "json.structure"


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({"a": {1}})


def test_another_schema_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"found the text 'analysis/2\.0\.0', expected analysis/1\.0\.0"):
        analysis_from_json({"schema": "analysis/2.0.0"})
