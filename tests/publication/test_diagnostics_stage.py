"""The stage on a run with a real likelihood: morphs, bins, shifts, positivity, and all of it in one document."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from synthetic import synthetic_analysis, write_run

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import fit
from evercast.inference.outcome_json import fit_to_json
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    NormSys,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.plan.recipes import DiagnosticsRecipe, Task
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.likelihoods import likelihood_checks
from evercast.publication.diagnostics_stage import run
from evercast.publication.report.units import collect_units
from evercast.schemas import load_schema, registry
from evercast.spec.model import Analysis

SHIFT = 0.1
N = 4000


def model(*, background: str = "1") -> LikelihoodModel:
    """S = N(1, 1) and B = N(0, 1) with p_ref = B, exact ratios; `shape` moves B by +-SHIFT, log-linear in x."""
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(1, 1, N), rng.normal(0, 1, N)])

    def events(values: np.ndarray, weight: np.ndarray) -> EventSet:
        up = SHIFT * values - SHIFT**2 / 2
        down = -SHIFT * values - SHIFT**2 / 2
        return EventSet(
            log_ratio=np.column_stack([values - 0.5, np.zeros_like(values)]).astype(np.float32), weight=weight,
            log_up=up[:, None].astype(np.float32), log_down=down[:, None].astype(np.float32),
        )  # fmt: skip

    simulation = events(x, np.concatenate([np.full(N, 200 / N), np.full(N, 1000 / N)]))
    data = np.concatenate([rng.normal(1, 1, 200), rng.normal(0, 1, 1000)])
    channel = UnbinnedChannelModel(
        name="SR", events=events(data, np.ones(len(data))), simulation=simulation,
        reference=events(rng.normal(0, 1, 3 * N), np.ones(3 * N)),
        components=(
            Component(process="S", yield_events=200.0, coefficient="mu"),
            Component(
                process="B", yield_events=1000.0, coefficient=background,
                modifiers=(NormSys(parameter="norm_b", up=1.05, down=0.95),),
            ),
        ),
        anchors=(AnchorMorph(process="B", parameter="shape"),),
    )  # fmt: skip
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, 5.0), poi=True),
        *(ParameterModel(name=name, constraint="normal", bounds=(-5.0, 5.0)) for name in ("norm_b", "shape")),
    )
    return LikelihoodModel(name="neural", parameters=parameters, channels=(channel,))


def real_run(folder: Path, *, blind: bool = False) -> tuple[Analysis, dict[str, Path]]:
    """The synthetic run with this likelihood in place of its neural one, and its real fits."""
    likelihoods = {"neural": {"channels": {"SR": {"kind": "unbinned", "ensemble": "ratios", "blind": blind}}}}
    analysis = synthetic_analysis(likelihoods=likelihoods, systematics={}, publish={})
    inputs = write_run(folder, analysis)
    content = model()
    content = replace(content, channels=tuple(replace(channel, blind=blind) for channel in content.channels))
    target = folder / "serialization-real" / "likelihood"
    (target / "neural").mkdir(parents=True)
    write_likelihood(target / "neural", content)
    digest = sha256_file(target / "neural" / "likelihood.json")
    entry = IndexEntry(kind="folder", path="neural", sha256=digest)
    write_index(
        target,
        Index(schema="likelihood-index/1.0.0", analysis="synthetic", run_id="0" * 64, likelihoods={"neural": entry}),
    )
    inputs["serialization/all"] = target.parent
    likelihood = Likelihood(content)
    file = inputs["fit/neural"] / "result.json"
    body = json.loads(file.read_text())
    body["expected"]["fit"] = fit_to_json(fit(Likelihood(asimov_model(likelihood, likelihood.initial))))
    if not blind:
        body["observed"]["fit"] = fit_to_json(fit(likelihood))
    file.write_text(json.dumps(body))
    return analysis, inputs


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("stage")
    analysis, inputs = real_run(folder)
    analysis = replace(analysis, publish=replace(analysis.publish, overrides={"gradient.neural": "never red"}))
    (folder / "work" / "checkpoints" / "diagnostics").mkdir(parents=True)
    output = folder / "out"
    output.mkdir()
    checkpoint = folder / "work" / "checkpoints" / "diagnostics"
    run(Task(recipe=DiagnosticsRecipe(analysis=analysis), inputs=inputs, output=output, checkpoint=checkpoint))
    body = json.loads((output / "diagnostics.json").read_text())
    assert isinstance(body, dict)
    return body


def one(document: dict[str, object], identity: str) -> dict[str, object]:
    checks = document["checks"]
    assert isinstance(checks, list)
    return next(check for check in checks if check["id"] == identity)


def test_the_document_obeys_its_schema(document: dict[str, object]) -> None:
    Draft202012Validator(load_schema("diagnostics"), registry=registry()).validate(document)


def test_every_kind_of_check_is_there(document: dict[str, object]) -> None:
    checks = document["checks"]
    assert isinstance(checks, list)
    assert {check["number"] for check in checks} >= set(range(1, 15)) - {1}  # no weights, no holdout
    assert len({check["id"] for check in checks}) == len(checks)


def test_exact_morphs_have_unit_integral_at_the_anchors(document: dict[str, object]) -> None:
    check = one(document, "morph-norm.neural.SR.B")
    assert check["status"] == "green"
    figure = check["figure"]
    assert isinstance(figure, dict)
    values = dict(zip(figure["alpha"], figure["parameters"]["shape"]["value"], strict=True))
    # log-linear beyond the anchors: Z(2) = exp((2 d)^2 / 2 - 2 d^2 / 2) = exp(d^2) (code 4 outside of +-1)
    assert values[2.0] == pytest.approx(np.exp(SHIFT**2), abs=5 * 2 * SHIFT / np.sqrt(3 * N))


def test_gradient_shifts_bins_and_positivity_are_right_for_a_right_likelihood(document: dict[str, object]) -> None:
    for identity in ("gradient.neural", "injection.neural", "positivity.neural.SR", "binned.neural"):
        assert one(document, identity)["status"] == "green", one(document, identity)
    figure = one(document, "binned.neural")["figure"]
    assert isinstance(figure, dict)
    sigma = figure["sigma"]
    # more bins lose less; the unbinned uncertainty is the limit, up to the noise of the simulated events
    assert sigma[0] > sigma[1] > sigma[2] > 0.98 * figure["unbinned_sigma"]


def test_what_does_not_exist_is_not_applicable_and_says_why(document: dict[str, object]) -> None:
    for identity, reason in (
        ("parity.onnx", "no ONNX"), ("coverage.neural", "no study with purpose coverage"),
        ("factorisation.neural.SR.B", "fewer than two systematics"),
    ):  # fmt: skip
        check = one(document, identity)
        assert check["status"] == "not-applicable"
        assert reason in str(check["message"])


def test_an_override_without_need_is_reported(document: dict[str, object]) -> None:
    assert one(document, "override.gradient.neural")["status"] == "amber"


def test_a_blind_likelihood_is_checked_on_asimov_data_only(tmp_path: Path) -> None:
    analysis, inputs = real_run(tmp_path, blind=True)
    found = {
        check.id: check for check in likelihood_checks(RunContents(analysis=analysis, units=collect_units(inputs)))
    }
    assert "(expected data)" in found["gradient.neural"].message
    assert found["binned.neural"].figure["unbinned_observed"] is None
    assert found["binned.neural"].figure["observed"] == [None, None, None]
    assert "observed" not in found["positivity.neural.SR"].message


def test_an_intensity_that_is_not_positive_is_red(tmp_path: Path) -> None:
    analysis, inputs = real_run(tmp_path)
    folder = inputs["serialization/all"] / "likelihood"
    broken = model(background="-0.05")
    write_likelihood(folder / "neural", broken)
    digest = sha256_file(folder / "neural" / "likelihood.json")
    index = json.loads((folder / "index.json").read_text())
    index["likelihoods"]["neural"]["sha256"] = digest
    (folder / "index.json").write_text(json.dumps(index))
    found = {
        check.id: check for check in likelihood_checks(RunContents(analysis=analysis, units=collect_units(inputs)))
    }
    assert found["positivity.neural.SR"].status == "red"
