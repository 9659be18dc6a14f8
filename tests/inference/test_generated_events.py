"""Signals put in with the simulated events of their own process, whatever was learned of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_supports, nominal_point
from evercast.inference.generated_events import generated_supports
from evercast.inference.studies import study_block, study_data
from evercast.inference.study_results import injection_study
from evercast.inference.toy_statistics import ToySample
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    AnchorMorph,
    Component,
    EventSet,
    LikelihoodModel,
    ParameterModel,
    UnbinnedChannelModel,
)
from evercast.spec.model import ToyStudy

SIGNAL, BACKGROUND = 60.0, 300.0
ORIGINS = {"SR": np.repeat(np.array([0, 1], dtype=np.int32), [4000, 8000])}


def _events(x: np.ndarray, weight: np.ndarray, *, bias: float) -> EventSet:
    """Signal N(1, 1) on background N(0, 1), the reference; `bias` is added to what is known of the signal."""
    signal = x - 0.5 + bias * (x - 1.0)
    return EventSet(log_ratio=np.stack([signal, np.zeros_like(x)], axis=1).astype(np.float32), weight=weight)


def _model(*, bias: float = 0.0, initial: float = 1.0) -> LikelihoodModel:
    random = np.random.default_rng(3)
    own, other = random.normal(1.0, 1.0, 4000), random.normal(0.0, 1.0, 8000)
    weight = np.concatenate([np.full(4000, initial * SIGNAL / 4000), np.full(8000, BACKGROUND / 8000)])
    data = np.concatenate([random.normal(1.0, 1.0, 60), random.normal(0.0, 1.0, 300)])
    channel = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="new", yield_events=SIGNAL, coefficient="mu"),
            Component(process="B", yield_events=BACKGROUND),
        ),
        events=_events(data, np.ones(len(data)), bias=bias),
        simulation=_events(np.concatenate([own, other]), weight, bias=bias),
    )
    return LikelihoodModel(
        name="one", parameters=(ParameterModel(name="mu", initial=initial, bounds=(0.0, 10.0), poi=True),),
        channels=(channel,),
    )  # fmt: skip


def test_each_event_follows_the_expectation_of_its_own_process() -> None:
    likelihood = Likelihood(_model())
    weight = np.asarray(generated_supports(likelihood, nominal_point(likelihood, mu=2.5), ORIGINS).events["SR"].weight)
    assert weight[:4000] == pytest.approx(2.5 * SIGNAL / 4000)
    assert weight[4000:] == pytest.approx(BACKGROUND / 8000)


def test_what_was_learned_does_not_weight_them() -> None:
    weights, learned = [], []
    for bias in (0.0, 0.4):
        likelihood = Likelihood(_model(bias=bias))
        theta = nominal_point(likelihood, mu=3.0)
        weights.append(np.asarray(generated_supports(likelihood, theta, ORIGINS).events["SR"].weight))
        learned.append(np.asarray(asimov_supports(likelihood, theta).events["SR"].weight))
    assert np.array_equal(weights[0], weights[1])
    assert not np.allclose(learned[0], learned[1], rtol=0.01)


@pytest.mark.parametrize(
    ("model", "origins", "code"),
    [
        (_model(initial=0.0), ORIGINS, "injection.no-weight"),
        (_model(), {}, "injection.origins"),
        (_model(), {"SR": ORIGINS["SR"][1:]}, "injection.origins"),
    ],
)
def test_what_cannot_be_put_in_is_said(model: LikelihoodModel, origins: dict[str, np.ndarray], code: str) -> None:
    likelihood = Likelihood(model)
    with pytest.raises((InvalidInput, NumericalFailure)) as refused:
        generated_supports(likelihood, nominal_point(likelihood, mu=2.0), origins)
    assert refused.value.code == code


def test_a_density_that_moved_is_refused() -> None:
    model = _model()
    (channel,) = model.channels
    assert isinstance(channel, UnbinnedChannelModel)
    assert channel.simulation is not None

    def morphed(events: EventSet) -> EventSet:
        column = np.full((len(events.weight), 1), 0.1, dtype=np.float32)
        return replace(events, log_up=column, log_down=-column)

    moving = replace(
        channel, anchors=(AnchorMorph(process="new", parameter="alpha"),), events=morphed(channel.events),
        simulation=morphed(channel.simulation), reference=morphed(channel.simulation),
    )  # fmt: skip
    alpha = ParameterModel(name="alpha", bounds=(-5.0, 5.0), constraint="normal")
    likelihood = Likelihood(replace(model, channels=(moving,), parameters=(*model.parameters, alpha)))
    with pytest.raises(InvalidInput) as refused:
        generated_supports(likelihood, nominal_point(likelihood, alpha=1.0), ORIGINS)
    assert refused.value.code == "injection.density"


def test_a_wrong_ratio_shows_in_what_is_recovered() -> None:
    """With the exact ratio 2 comes back; with one that is too steep it does not, which a learned weight would hide."""
    spec = ToyStudy(
        purpose="injection", seed=4, toys=60, values=(2.0,), nuisance="nominal", confidence_levels=(0.6827,)
    )
    found = {}
    for bias in (0.0, 0.6):
        data = study_data(_model(bias=bias), unblind=True)
        block = study_block(data, spec, study="injection", name="one", value=2.0, first=0, count=60, origins=ORIGINS)
        assert block.sources == {"SR": "generators"}
        sample = ToySample(**{name: block.arrays[name] for name in ("t", "poi_hat", "status", "seed")})
        body = injection_study(spec, {2.0: sample}, (0.0, 10.0))["injection"]
        assert isinstance(body, list)
        found[bias] = body[0]
    exact, steep = found[0.0], found[0.6]
    assert abs(exact["mean"] - 2.0) < 4.0 * exact["error"]
    assert abs(steep["mean"] - 2.0) > 4.0 * steep["error"]
    assert exact["coverage"][0]["share"] == pytest.approx(0.6827, abs=4.0 * exact["coverage"][0]["error"])
    assert exact["spread"] == pytest.approx(exact["error"] * np.sqrt(60))


def test_recovered_values_at_a_bound_are_counted() -> None:
    hat = np.array([0.0, 0.0, 1.0, 2.0])
    sample = ToySample(t=np.zeros(4), poi_hat=hat, status=np.array([1, 1, 0, 0]), seed=np.arange(4))
    spec = ToyStudy(purpose="injection", seed=1, nuisance="nominal", confidence_levels=(0.95,))
    (entry,) = injection_study(spec, {0.5: sample}, (0.0, 10.0))["injection"]  # type: ignore[misc]
    assert (entry["at_bound"], entry["mean"], entry["median"]) == (0.5, 0.75, 0.5)
    assert entry["coverage"][0]["share"] == 1.0
