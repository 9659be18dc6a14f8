"""All results on one data set, relative to one minimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evercast.errors import NumericalFailure
from evercast.inference import outcome as outcome_module
from evercast.inference.fit import FitResult, fit
from evercast.inference.outcome import compute_outcome, outcome_to_json
from evercast.inference.profile import Profile
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedSample, EventSet
from evercast.spec.model import Inference
from statistics_inputs import counting_model, gaussian_mixture

INFERENCE = Inference(scan_points=5, scan_range=(2.2, 2.8))
"""Around the shallow minimum of `two_minima` only."""


def two_minima() -> Likelihood:
    """A rate that meets the 30 observed events at mu = 0.05 and comes near again, from above, at mu = 2.46."""
    model = counting_model(observed=30.0)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="1 + (mu - 0.05)*((mu - 2.5)**2 + 0.2)"),
        BinnedSample(name="B", nominal=np.array([20.0])),
    )
    return Likelihood(replace(model, channels=(replace(model.channels[0], samples=samples),)))


def started_at(monkeypatch: pytest.MonkeyPatch, best: FitResult) -> None:
    monkeypatch.setattr(outcome_module, "Profile", lambda likelihood, poi: Profile(likelihood, poi, best=best))


def test_a_deeper_minimum_met_by_the_significance_changes_scan_and_interval_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    likelihood = two_minima()
    shallow = fit(likelihood, start=np.array([2.46]))
    assert shallow.theta[0] == pytest.approx(2.46, abs=0.02)
    started_at(monkeypatch, shallow)
    found = compute_outcome(likelihood, inference=INFERENCE)
    assert found.fit.theta[0] == pytest.approx(0.05, abs=1e-5)
    assert found.significance.fits[0] is found.fit
    held = [likelihood.twice_nll(np.array([value])) for value in found.scan.values]
    np.testing.assert_allclose(found.scan.t, np.array(held) - found.fit.twice_nll, atol=1e-9)
    assert found.interval is not None
    assert found.interval.low <= 0.05 <= found.interval.high


def test_ever_lower_minima_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restless(Profile):
        """Finds another best fit at each look."""

        def scan(self, values):
            self.best = replace(self.best, twice_nll=self.best.twice_nll - 1.0)
            return super().scan(values)

    monkeypatch.setattr(outcome_module, "Profile", Restless)
    with pytest.raises(NumericalFailure, match="ever lower minima") as failure:
        compute_outcome(Likelihood(counting_model()), inference=INFERENCE)
    assert failure.value.code == "fit.unstable"


def test_simulated_events_with_a_negative_total_at_the_best_fit_are_reported() -> None:
    """T1 at mu = -0.5: signal over background is exp(x - 0.5) / 10, the total is negative above x = 3.5."""
    model = gaussian_mixture(mu=-0.5)
    channel = model.channels[0]
    x = channel.events.log_ratio[:, 0] + 0.5
    observed = x < 3.0
    cut = replace(
        channel, events=EventSet(log_ratio=channel.events.log_ratio[observed], weight=channel.events.weight[observed])
    )
    found = compute_outcome(
        Likelihood(replace(model, channels=(cut,))), inference=Inference(scan_points=3, scan_range=(-0.6, 0.0))
    )
    edge = 0.5 + np.log(10.0 / -found.fit.theta[0])
    expected = int(np.sum(x >= edge))
    assert expected > 0
    (positivity,) = found.positivity
    assert (positivity.n_events, positivity.n_not_positive) == (4001, expected)
    text = f"channel 'SR': at the best fit the total intensity is not positive for {expected} of 4001 simulated events"
    assert text in found.problems
    body = outcome_to_json(found)
    assert body["positivity"] == {"SR": {"simulated_events": 4001, "not_positive": expected}}
    assert text in body["guard"]["problems"]
    assert body["guard"]["passed"] is True


def test_a_second_minimum_narrower_than_the_scan_has_its_part_of_the_interval() -> None:
    """The second part is 0.47 wide; of the scan only 2.0, where t is 3, and 2.9, where t is 2.7, come near it."""
    model = counting_model(observed=30.0)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), coefficient="1 + 4*(mu - 0.05)*((mu - 2.5)**2 + 0.005)"),
        BinnedSample(name="B", nominal=np.array([20.0])),
    )
    likelihood = Likelihood(replace(model, channels=(replace(model.channels[0], samples=samples),)))
    found = compute_outcome(likelihood, inference=Inference(scan_points=5, scan_range=(0.2, 3.8)))
    assert np.min(np.abs(found.scan.values - 2.5)) > 0.25
    assert [round(entry.value, 1) for entry in found.minima] == [0.1, 2.5] or len(found.minima) == 2
    assert found.interval is not None
    low, high = found.interval.segments[1].low, found.interval.segments[1].high
    for edge in (low, high):
        assert likelihood.twice_nll(np.array([edge])) - found.fit.twice_nll == pytest.approx(1.0, abs=1e-3)
    assert low < 2.5 < high


def test_a_parameter_without_a_meaning_at_zero_has_results_but_no_significance() -> None:
    model = counting_model(observed=30.0)
    width = replace(model.parameters[0], name="width", bounds=(0.1, 10.0))
    samples = (
        BinnedSample(name="S", nominal=np.array([20.0]), coefficient="1/width"),
        BinnedSample(name="B", nominal=np.array([10.0])),
    )
    changed = replace(model, parameters=(width,), channels=(replace(model.channels[0], samples=samples),))
    found = compute_outcome(Likelihood(changed), inference=Inference(scan_points=5, scan_range=(0.5, 2.0)))
    assert found.fit.theta[0] == pytest.approx(1.0, abs=1e-6)
    assert found.interval is not None
    assert found.significance is None
    assert outcome_to_json(found)["significance"] is None
    assert "significance against width = 0" in found.problems[0]
