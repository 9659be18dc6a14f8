"""Upper limits and CLs: exact Poisson probabilities, pyhf, and published values."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asymptotics import cls
from evercast.inference.limits import _root, upper_limit
from evercast.inference.toy_limits import crossing, limit_from_toys
from evercast.inference.toy_tests import cls_from_toys, significance_from_toys
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from statistics_inputs import counting_model, gaussian_mixture, published_workspace, synthetic_workspace


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it
@pytest.mark.parametrize("seed", [1, 2])
def test_limits_are_those_of_pyhf(seed: int) -> None:
    workspace = synthetic_workspace(seed=seed)
    found = upper_limit(Likelihood(read_workspace(workspace)))
    try:
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
        peer = pyhf.Workspace(workspace, validate=False)
        model = peer.model(validate=False)
        for limit, band in ((found.observed, None), (found.expected[2], 2)):
            observed, expected = pyhf.infer.hypotest(limit, peer.data(model), model, return_expected_set=True)
            value = float(observed if band is None else expected[band])
            assert value == pytest.approx(0.05, rel=2e-3)  # Minuit stops at 1e-7 in -2 ln L, CLs moves by its root
    finally:
        pyhf.set_backend("numpy")


@pytest.mark.public_data
@pytest.mark.parametrize(
    ("analysis", "point", "observed", "expected"),
    [("3L", "ERJR_350p0_0p0", 1.039, 0.770), ("sbottom", "1000_450_60", 0.0843, None)],
)
def test_published_likelihoods_give_the_limits_of_other_programs(
    analysis: str, point: str, observed: float, expected: float | None
) -> None:
    workspace = published_workspace(analysis, point)
    assert workspace is not None
    found = upper_limit(Likelihood(read_workspace(workspace)))
    assert found.observed == pytest.approx(observed, rel=3e-3)  # they interpolate CLs between scanned values
    if expected is not None:
        assert found.expected[2] == pytest.approx(expected, rel=3e-3)
    assert list(found.expected) == sorted(found.expected)


def test_a_limit_is_where_cls_is_five_per_cent() -> None:
    likelihood = Likelihood(counting_model(observed=55.0, width=0.1))
    found = upper_limit(likelihood)
    assert cls(likelihood, found.observed).cls_obs == pytest.approx(0.05, rel=1e-4)
    for band in range(5):
        assert cls(likelihood, found.expected[band]).cls_exp[band] == pytest.approx(0.05, rel=1e-4)
    other = upper_limit(likelihood, confidence_level=0.68)
    assert other.observed < found.observed
    assert cls(likelihood, other.observed).cls_obs == pytest.approx(0.32, rel=1e-4)


def test_a_gaussian_measurement_has_the_limit_of_its_closed_form() -> None:
    """mu_hat = 0 on background Asimov data, sigma known: Phi(mu / sigma) = 1 - alpha Phi(0) (arXiv:1007.1727, 6)."""
    found = upper_limit(Likelihood(counting_model(signal=1e4, background=1e8, observed=1e8)), statistic="q")
    assert found.observed == pytest.approx(norm.ppf(1 - 0.05 / 2), rel=1e-3)  # (s / sqrt b = 1; Poisson skew 1e-4)
    for sigmas, value in zip((-2, -1, 0, 1, 2), found.expected, strict=True):
        assert value == pytest.approx(norm.ppf(1 - 0.05 * norm.cdf(sigmas)) + sigmas, abs=2e-3)


def test_q_of_a_best_fit_that_is_held_at_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match="held at the lower bound 0 of 'mu'") as caught:
        upper_limit(Likelihood(counting_model(observed=40.0)), statistic="q")
    assert caught.value.code == "limit.bounded"


def test_expected_limits_do_not_look_at_the_data() -> None:
    limits = [upper_limit(Likelihood(counting_model(observed=n, width=0.1)), observed=False) for n in (40.0, 70.0)]
    assert limits[0].expected == limits[1].expected
    assert limits[0].observed is None


def test_limits_that_do_not_exist_are_not_quoted() -> None:
    with pytest.raises(InvalidInput, match="nothing observable depends on 'mu'") as caught:
        upper_limit(Likelihood(counting_model(signal=0.0)), observed=False)
    assert caught.value.code == "cls.no-sensitivity"
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        upper_limit(Likelihood(counting_model()), confidence_level=95.0)


def test_a_cls_that_stays_flat_ends_the_search() -> None:
    with pytest.raises(NumericalFailure, match="does not fall") as caught:
        _root(lambda _: 0.9, 0.05, 1.0, "mu")
    assert caught.value.code == "limit.open"
    with pytest.raises(NumericalFailure, match="is below") as caught:
        _root(lambda _: 0.01, 0.05, 1.0, "mu")
    assert caught.value.code == "limit.zero"


def test_regions_with_few_events_are_named() -> None:
    few = Likelihood(counting_model(signal=2.0, background=1.5, observed=0.0))
    expected = ("channel 'SR' expects 1.5 events and has no observed event: asymptotic formulas may not hold",)
    assert upper_limit(few).remarks == expected
    assert cls(few, 1.0).remarks == expected
    assert cls(Likelihood(counting_model()), 1.0).remarks == ()


def exact_cls(mu: float, observed: int, signal: float, background: float) -> float:
    """CLs of a single bin: q-tilde falls with the count up to s + b, so the order of the counts is that of q."""
    return poisson.cdf(observed, mu * signal + background) / poisson.cdf(observed, background)


@pytest.mark.parametrize(("observed", "background"), [(0, 1.5), (3, 4.0)])
def test_cls_from_toys_is_exact_where_asymptotic_formulas_are_not(observed: int, background: float) -> None:
    likelihood = Likelihood(counting_model(signal=2.0, background=background, observed=float(observed)))
    found = cls_from_toys(likelihood, 1.5, n_toys=2000, seed=5)
    exact = exact_cls(1.5, observed, 2.0, background)
    assert found.cls_obs == pytest.approx(exact, abs=4 * found.cls_obs_error)
    assert found.cls_obs_error < 0.3 * exact
    assert found.n_failed == 0
    again = cls_from_toys(likelihood, 1.5, n_toys=2000, seed=5)
    assert again.cls_obs == found.cls_obs


def test_cls_from_toys_of_unbinned_channels_agrees_with_asymptotic_formulas() -> None:
    likelihood = Likelihood(gaussian_mixture(n_grid=20001, mu=0.0))
    found, asymptotic = cls_from_toys(likelihood, 0.25, n_toys=250, seed=2), cls(likelihood, 0.25)
    assert found.cls_obs == pytest.approx(asymptotic.cls_obs, abs=4 * found.cls_obs_error)
    assert found.sources == {"SR": "simulation"}


def test_a_limit_from_toys_is_that_of_exact_poisson_probabilities() -> None:
    likelihood = Likelihood(counting_model(signal=2.0, background=1.5, observed=0.0))
    exact = brentq(lambda mu: exact_cls(mu, 0, 2.0, 1.5) - 0.05, 0.1, 10.0)
    assert exact == pytest.approx(-np.log(0.05) / 2.0)  # without observed events the background cancels
    found, tests = limit_from_toys(likelihood, n_toys=1000, seed=3)
    assert found.method == "toys"
    assert found.observed == pytest.approx(exact, abs=4 * found.error)
    assert found.error < 0.1 * exact
    assert found.observed != pytest.approx(upper_limit(likelihood).observed, rel=0.1)
    assert len(tests) >= 6


def test_a_crossing_is_interpolated_in_the_logarithm() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert crossing(values, np.exp(-values), None, size=np.exp(-2.5)).value == pytest.approx(2.5)
    assert crossing(values, np.exp(-values), None, size=0.5) is None


def test_discovery_from_toys_is_the_poisson_probability() -> None:
    likelihood = Likelihood(counting_model(signal=5.0, background=2.0, observed=5.0))
    found = significance_from_toys(likelihood, n_toys=3000, seed=1)
    exact = poisson.sf(4, 2.0)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 3000))
    assert not found.bound
    far = significance_from_toys(Likelihood(counting_model(observed=120.0)), n_toys=100, seed=1)
    assert (far.bound, far.p) == (True, 0.01)


def test_too_few_toys_are_refused() -> None:
    likelihood = Likelihood(counting_model(signal=50.0, background=50.0, observed=10.0))
    with pytest.raises(NumericalFailure, match="none of 20 pseudo-experiments of the background") as caught:
        cls_from_toys(likelihood, 1.0, n_toys=20, seed=1)
    assert caught.value.code == "toys.too-few"
