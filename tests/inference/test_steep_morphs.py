"""Code 4 is a polynomial within +-1: far apart factors of an event pull it below 0, where there is no density."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.goodness import goodness_of_fit
from evercast.inference.morph_checks import intensity
from evercast.inference.outcome import compute_outcome, outcome_to_json
from evercast.likelihood.diagnose import why_undefined
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import AnchorMorph, EventSet, LikelihoodModel, ParameterModel
from evercast.spec.model import Inference
from statistics_inputs import gaussian_mixture

ALPHA = -0.4
"""There code 4 of up = e^4, down = e^-4 is -1.04."""


def steep(*, background: float = 2000.0, where: float = 4.0, seen: bool = False) -> LikelihoodModel:
    """T1 on a grid, where beyond `where` the signal is e^4 at +1 and e^-4 at -1; alpha is measured at -0.4."""
    base = gaussian_mixture(n_grid=801, n_background=background)
    channel = base.channels[0]
    x = np.linspace(-9.0, 10.0, 801)

    def moved(events: EventSet, *, keep: np.ndarray | slice = slice(None)) -> EventSet:
        up = np.where(x > where, 4.0, 0.01 * x)[keep, None]
        return EventSet(log_ratio=events.log_ratio[keep], weight=events.weight[keep], log_up=up, log_down=-up)

    near = slice(None) if seen else x <= where
    reference = EventSet(log_ratio=channel.events.log_ratio, weight=np.exp(-0.5 * x**2))
    changed = replace(
        channel, events=moved(channel.events, keep=near), simulation=moved(channel.simulation),
        reference=moved(reference), anchors=(AnchorMorph(process="S", parameter="alpha"),),
    )  # fmt: skip
    alpha = ParameterModel(name="alpha", bounds=(-5.0, 5.0), constraint="normal", global_observable=ALPHA)
    return replace(base, parameters=(*base.parameters, alpha), channels=(changed,))


def test_results_say_where_a_factor_is_not_positive_and_hold_no_nan() -> None:
    likelihood = Likelihood(steep(background=1.0))
    outcome = compute_outcome(likelihood, inference=Inference(scan_points=5, scan_range=(0.8, 1.2)))
    json.dumps(outcome_to_json(outcome), allow_nan=False)
    named = [text for text in outcome.problems if text.startswith("goodness of fit")]
    assert len(named) == 1
    assert "channel 'SR'" in named[0]
    assert "'S' along 'alpha'" in named[0]
    assert "SR" not in outcome.goodness_of_fit.channels


def test_asimov_data_with_a_factor_that_is_not_positive_fail_by_name() -> None:
    likelihood = Likelihood(steep(background=1.0))
    with pytest.raises(NumericalFailure, match=r"channel 'SR'.*'S' along 'alpha' \(-1.04 at -0.4") as caught:
        asimov_model(likelihood, np.array([1.0, ALPHA]))
    assert caught.value.code == "asimov.negative"


def test_observed_events_with_such_a_factor_are_named() -> None:
    likelihood = Likelihood(steep(background=1.0, seen=True))
    point = np.array([1.0, ALPHA])
    assert likelihood.twice_nll(point) == np.inf
    assert "'S' along 'alpha'" in (why_undefined(likelihood, point) or "")


def test_a_negative_share_of_a_positive_total_is_kept_with_its_sign() -> None:
    """At x = 5 the signal is e^4.5 / 10 of the background, times -1.04: the sum stays positive up to there."""
    likelihood = Likelihood(steep(background=4e6, where=5.0))
    point = np.array([1.0, ALPHA])
    model = asimov_model(likelihood, point)
    channel = likelihood.model.channels[0]
    factor = model.channels[0].events.weight / channel.simulation.weight
    x = np.linspace(-9.0, 10.0, 801)
    assert np.all(factor > 0)
    assert np.all(factor[(x > 5.0) & (x < 5.5)] < 1.0)
    assert np.isfinite(goodness_of_fit(likelihood).channels["SR"].statistic)
    expected = likelihood.expected_events(point)["SR"]
    checked = intensity(channel, channel.simulation, expected, {"mu": 1.0, "alpha": ALPHA})
    before = intensity(channel, channel.simulation, expected, {"mu": 1.0, "alpha": 0.0})
    assert np.all((checked < before)[(x > 5.0) & (x < 5.5)])
