"""Asimov data of both kinds, and intensities with morphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.blinding import blind_channels, refuse_blind
from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import AnchorMorph, EventSet, LikelihoodModel, ParameterModel
from statistics_inputs import counting_model, gaussian_mixture


def learned(*, bias: float = 0.1) -> LikelihoodModel:
    """Return T1 with a signal ratio that is too large by `bias`, on events of the background as reference."""
    base = gaussian_mixture()
    channel = base.channels[0]
    x = np.linspace(-9.0, 10.0, 4001)
    wrong = np.asarray(channel.simulation.log_ratio) + np.array([bias, 0.0])
    simulation = replace(channel.simulation, log_ratio=wrong)
    reference = EventSet(log_ratio=wrong, weight=np.exp(-0.5 * x**2))
    changed = replace(channel, events=simulation, simulation=simulation, reference=reference)
    return replace(base, channels=(changed,))


def test_the_generating_point_is_an_exact_minimum_of_the_self_closure_only() -> None:
    likelihood = Likelihood(learned())
    point = np.array([1.7])
    own = asimov_model(likelihood, point, source="reference")
    assert own.asimov == "reference"
    closure = Likelihood(own)
    assert abs(closure.gradient(point)[0]) < 1e-6  # rounding of sums of 1e3 events
    assert fit(closure).theta[0] == pytest.approx(1.7, abs=1e-6)
    external = asimov_model(likelihood, point)
    assert external.asimov == "simulation"
    assert abs(fit(Likelihood(external)).theta[0] - 1.7) > 0.01  # the bias of the ratio shows


def test_without_a_reference_there_is_no_self_closure() -> None:
    likelihood = Likelihood(gaussian_mixture())
    with pytest.raises(InvalidInput, match="no reference events"):
        asimov_model(likelihood, likelihood.initial, source="reference")


def test_with_morphs_the_generating_point_is_a_minimum_too() -> None:
    """A mean shift by anchors: between them log-linear morphs lose their unit integral, Z restores it."""
    base = learned(bias=0.0)
    channel = base.channels[0]
    x = np.linspace(-9.0, 10.0, 4001)
    shift = 0.3

    def with_anchor(events: EventSet) -> EventSet:
        zero = (shift * (x - 1.0) - 0.5 * shift**2)[:, None]
        return replace(events, log_up=zero, log_down=(-shift * (x - 1.0) - 0.5 * shift**2)[:, None])

    for interpolation in ("log_linear", "code4"):
        morphed = replace(
            channel, anchors=(AnchorMorph(process="S", parameter="alpha", interpolation=interpolation),),
            events=with_anchor(channel.events), simulation=with_anchor(channel.simulation),
            reference=with_anchor(channel.reference),
        )  # fmt: skip
        parameters = (*base.parameters, ParameterModel(name="alpha", bounds=(-5.0, 5.0), constraint="normal"))
        likelihood = Likelihood(replace(base, parameters=parameters, channels=(morphed,)))
        point = np.array([1.3, 0.5])
        asimov = Likelihood(asimov_model(likelihood, point, source="reference"))
        np.testing.assert_allclose(asimov.gradient(point), 0.0, atol=1e-5)  # rounding of sums of 1e3 events


def test_blind_channels_are_named_and_asimov_data_are_not_blind() -> None:
    base = counting_model()
    blind = replace(base, channels=(replace(base.channels[0], blind=True),))
    assert blind_channels(blind) == ("SR",)
    assert blind_channels(asimov_model(Likelihood(blind), np.array([1.0]))) == ()
    with pytest.raises(InvalidInput, match="blind are 'SR'") as caught:
        refuse_blind(blind)
    assert caught.value.code == "likelihood.blind"
    refuse_blind(base)
