"""The mixture of specs/interference with events of Pythia: its formula, its yields, its two solutions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float64

from evercast.artifacts.event_table import read_event_table
from evercast.inference.derivative_check import gradient_check
from evercast.inference.minima import find_minima
from evercast.inference.outcome import compute_outcome
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, LikelihoodModel, ParameterModel
from evercast.plan import make_plan
from evercast.plan.recipes import GenerationRecipe, SelectionRecipe, Task
from evercast.spec import load_analysis
from evercast.spec.model import Analysis, EventFile, Inference
from evercast.stages import generation, selection

DOCUMENT = Path(__file__).resolve().parents[2] / "specs" / "interference" / "analysis.yaml"
COUPLINGS = ("vd", "ad", "vu", "au", "ve", "ae")
EVENTS = 30_000
EDGES = np.array([150.0, 160.0, 170.0, 180.0, 195.0, 215.0, 240.0])


@dataclass(frozen=True)
class Selected:
    """Events in the signal region, with weights in expected events."""

    mass: Float64[np.ndarray, " events"]
    angle: Float64[np.ndarray, " events"]
    weight: Float64[np.ndarray, " events"]

    @property
    def total(self) -> float:
        return float(self.weight.sum())

    @property
    def error(self) -> float:
        return float(np.sqrt((self.weight**2).sum()))

    def histogram(self) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
        """Expected events in bins of the mass, and their variances."""
        return np.histogram(self.mass, EDGES, weights=self.weight)[0], np.histogram(
            self.mass, EDGES, weights=self.weight**2
        )[0]


def scaled(settings: tuple[str, ...], mu: float) -> tuple[str, ...]:
    """Every coupling of the Z' times mu^(1/4): the amplitude has two of them."""
    result = []
    for line in settings:
        key, _, value = line.partition(" = ")
        name = key.removeprefix("Zprime:")
        result.append(f"{key} = {float(value) * mu**0.25:.12g}" if name in COUPLINGS else line)
    return tuple(result)


def select(folder: Path, analysis: Analysis, name: str, *, mu: float = 1.0, seed: int = 900) -> Selected:
    """Generate and select events with the stages of the pipeline, weighted by the cross-section that Pythia finds."""
    declared = analysis.generators[name]
    generator = replace(declared, events=EVENTS, seed=seed, settings=scaled(declared.settings, mu))
    made, out = folder / f"{name}-{mu}-{seed}", folder / f"{name}-{mu}-{seed}-selected"
    made.mkdir()
    out.mkdir()
    recipe = GenerationRecipe(name=name, generator=generator, part=0)
    generation.run(Task(recipe=recipe, inputs={}, output=made, checkpoint=made))
    sample = replace(analysis.samples["zprime"], files=(EventFile(generator=name),))
    norm = replace(sample.normalisation, cross_section_pb=cross_section(made)) if sample.normalisation else None
    selected = SelectionRecipe(
        name=name, sample=replace(sample, normalisation=norm), selection=analysis.selection,
        luminosity_fb=analysis.metadata.luminosity_fb, sqrt_s_tev=analysis.metadata.sqrt_s_tev,
    )  # fmt: skip
    selection.run(Task(recipe=selected, inputs={"file_0": made}, output=out, checkpoint=out))
    table = read_event_table(out / "events.zarr").in_region("SR")
    columns = table.columns(("m_mumu", "cos_theta_cs"))
    return Selected(mass=columns[:, 0], angle=columns[:, 1], weight=table.weight)


def cross_section(folder: Path) -> float:
    return float(json.loads((folder / "summary.json").read_text())["cross_section_pb"])


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return load_analysis(DOCUMENT)


@pytest.fixture(scope="module")
def samples(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Selected]:
    folder = tmp_path_factory.mktemp("pythia")
    return {name: select(folder, analysis, name) for name in ("zprime", "all", "dy_high")}


def test_the_document_is_valid_and_can_be_planned(analysis: Analysis) -> None:
    plan = make_plan(analysis, document_folder=DOCUMENT.parent, pseudo=False)
    stages = {unit.stage for unit in plan.units}
    assert {"generation", "command", "selection", "training", "serialization", "fit", "toys", "study"} <= stages


def test_the_experiment_takes_the_settings_and_cross_sections_of_the_document(analysis: Analysis) -> None:
    """The script stands alone on purpose, as an experiment does; what it shares with the document must not drift."""
    text = (DOCUMENT.parent / "experiment.py").read_text()
    for line in analysis.generators["all"].settings:
        assert f'"{line}"' in text
    for line in analysis.generators["top"].settings:
        assert f'"{line}"' in text
    for name in ("all", "top"):
        normalisation = analysis.samples[name].normalisation
        assert normalisation is not None
        assert f"{normalisation.cross_section_pb}" in text


def test_the_tutorial_quotes_the_document() -> None:
    text = (DOCUMENT.parents[2] / "docs" / "tutorial" / "interference.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    lines = set(DOCUMENT.read_text(encoding="utf-8").splitlines())
    assert [line for block in blocks for line in block.splitlines() if line not in lines] == []


@pytest.mark.parametrize("mu", [0.25, 4.0])
def test_another_signal_strength_is_the_mixture_of_three_samples(
    analysis: Analysis, samples: dict[str, Selected], tmp_path: Path, mu: float
) -> None:
    """Pythia with couplings scaled by mu^(1/4) against (mu - q) S + q SBI + (1 - q) B with q = sqrt(mu)."""
    found, variance = select(tmp_path, analysis, "all", mu=mu, seed=901).histogram()
    q = np.sqrt(mu)
    mixed = np.zeros(len(found))
    for name, coefficient in (("zprime", mu - q), ("all", q), ("dy_high", 1 - q)):
        content, squares = samples[name].histogram()
        mixed += coefficient * content
        variance = variance + coefficient**2 * squares
    chi2 = float(((found - mixed) ** 2 / variance).sum())
    assert chi2 < 24.1  # 6 bins: exceeded once in 2000
    assert chi2 > 0.2  # and smaller as rarely: not the same events on both sides


def test_the_interference_is_negative_everywhere_in_the_region(samples: dict[str, Selected]) -> None:
    (s, _), (sbi, _), (b, _) = (samples[name].histogram() for name in ("zprime", "all", "dy_high"))
    interference = sbi - s - b
    assert (interference < 0).all()
    assert (np.abs(interference) < 2 * np.sqrt(s * b)).all()  # Cauchy and Schwarz: the total is positive for every mu


def test_the_interference_is_asymmetric_in_the_collins_soper_angle(samples: dict[str, Selected]) -> None:
    """Axial couplings interfere with the photon with a term linear in cos theta; S, SBI and B differ in it."""
    mean = {name: float(np.average(one.angle, weights=one.weight)) for name, one in samples.items()}
    error = {name: float(one.angle.std() / np.sqrt(len(one.angle))) for name, one in samples.items()}
    assert mean["dy_high"] > 5 * error["dy_high"]  # the forward-backward asymmetry of Drell-Yan above the Z, known > 0
    assert abs(mean["all"] - mean["dy_high"]) > 5 * np.hypot(error["all"], error["dy_high"])


def rate_model(yields: dict[str, float], initial: float) -> LikelihoodModel:
    """One bin with the expected events at mu = 1 in it."""
    formulas = {"zprime": "mu - sqrt(mu)", "all": "sqrt(mu)", "dy_high": "1 - sqrt(mu)"}
    parts = tuple(
        BinnedSample(name=name, nominal=np.array([yields[name]]), coefficient=formula)
        for name, formula in formulas.items()
    )
    channel = BinnedChannelModel(name="SR", samples=parts, observed=np.array([yields["all"]]))
    mu = ParameterModel(name="mu", initial=initial, bounds=(0.0, 4.0), poi=True)
    return LikelihoodModel(name="rate", parameters=(mu,), channels=(channel,))


@pytest.mark.parametrize("initial", [0.05, 1.0, 3.0])
def test_the_rate_has_two_solutions_and_both_are_reported(samples: dict[str, Selected], initial: float) -> None:
    """sqrt(mu) S + I = const: the second solution is sqrt(mu') = |I| / S - 1."""
    yields = {name: sample.total for name, sample in samples.items()}
    interference = yields["all"] - yields["zprime"] - yields["dy_high"]
    second = (abs(interference) / yields["zprime"] - 1) ** 2
    likelihood = Likelihood(rate_model(yields, initial))
    profile = Profile(likelihood, "mu")
    scan = profile.scan(np.linspace(0.0, 1.8, 61).tolist())
    minima = find_minima(likelihood, profile, scan.minima)
    np.testing.assert_allclose(sorted(one.value for one in minima), sorted((second, 1.0)), rtol=1e-3)
    assert max(one.t for one in minima) < 1e-6  # the same rate: the data cannot tell one from the other
    interval = profile.interval(0.6827, scan=scan)
    assert len(interval.segments) == 2
    for value, segment in zip(sorted((second, 1.0)), interval.segments, strict=True):
        assert segment.low < value < segment.high


def test_both_solutions_lie_inside_of_the_contours(samples: dict[str, Selected]) -> None:
    """The best fit alone and its uncertainty would leave the other one out."""
    model = rate_model({name: sample.total for name, sample in samples.items()}, 1.0)
    peak = BinnedSample(name="peak", nominal=np.array([1000.0]), coefficient="k")
    control = BinnedChannelModel(name="CR", samples=(peak,), observed=np.array([1000.0]))
    k = ParameterModel(name="k", initial=1.0, bounds=(0.5, 1.5))
    both = replace(model, parameters=(*model.parameters, k), channels=(*model.channels, control))
    inference = Inference(scan_range=(0.0, 1.8), scan_points=61, contours=(("mu", "k"),), impacts=False)
    outcome = compute_outcome(Likelihood(both), inference=inference)
    assert len(outcome.minima) == 2
    lines = outcome.contours[0].levels[0].lines
    for minimum in outcome.minima:
        around = [line for line in lines if line[:, 0].min() < minimum.value < line[:, 0].max()]
        assert around
        assert all(np.allclose(line[0], line[-1]) for line in around)  # closed: not cut by the edge of the grid


@pytest.mark.parametrize("mu", [0.0, 1e-4, 0.01, 0.3, 4.0])
def test_the_gradient_check_holds_next_to_the_bound_of_a_square_root(samples: dict[str, Selected], mu: float) -> None:
    likelihood = Likelihood(rate_model({name: sample.total for name, sample in samples.items()}, 1.0))
    found = gradient_check(likelihood, np.array([mu]), scale=np.array([0.6]))
    assert found.directions == 1
    assert found.difference < 1e-5  # what the check calls green; (step / distance)^4 = 1e-8 and rounding


def test_the_second_solution_is_where_the_document_says(samples: dict[str, Selected]) -> None:
    """mu' = 0.134 from 1.5 million events of each sample; here within the statistics of these."""
    s, sbi, b = (samples[name] for name in ("zprime", "all", "dy_high"))
    ratio = (b.total + s.total - sbi.total) / s.total
    error = np.sqrt(b.error**2 + sbi.error**2 + ((b.total - sbi.total) / s.total) ** 2 * s.error**2) / s.total
    assert ratio - 1 == pytest.approx(np.sqrt(0.134), abs=4 * error)
