"""CLs and significance: closed forms, pyhf, and published results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyhf
import pytest
from scipy.stats import norm

from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.asymptotics import cls, cls_values, significance
from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from statistics_inputs import counting_model, gaussian_mixture, published_workspace, synthetic_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it

PUBLISHED = [
    ("3L", "ERJR_300p0_100p0", 0.01813, 1e-5),  # pyhf's default returns 0.99958 here
    ("3L", "ERJR_350p0_0p0", 0.0593, 1e-4),
    ("sbottom", "1300_205_60", 0.244436, 2e-6),
    ("sbottom", "1400_950_60", 0.021373, 2e-6),
    ("sbottom", "1500_850_60", 0.045367, 2e-6),
    ("stau", "DS_100_1", 0.2163, 1e-4),
    ("stau", "DS_400_1", 0.0645, 1e-4),
]


@pytest.mark.parametrize(("analysis", "point", "truth", "digits"), PUBLISHED)
def test_published_likelihoods_give_their_published_cls(analysis: str, point: str, truth: float, digits: float) -> None:
    """Truth: the analysis teams, RooFit, pyhf's regression tests. Away from the data: a made workspace against pyhf."""
    workspace = published_workspace(analysis, point)
    if workspace is None:
        workspace = synthetic_workspace(seed=len(point))
        truth, digits = by_pyhf(workspace)[0], 1e-4
    assert cls(Likelihood(read_workspace(workspace)), 1.0).cls_obs == pytest.approx(truth, abs=digits)


def by_pyhf(workspace) -> tuple[float, list[float]]:
    """Return CLs of pyhf with its Minuit optimiser."""
    try:
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
        peer = pyhf.Workspace(workspace, validate=False)
        model = peer.model(validate=False)
        observed, expected = pyhf.infer.hypotest(1.0, peer.data(model), model, return_expected_set=True)
    finally:
        pyhf.set_backend("numpy")
    return float(observed), [float(value) for value in expected]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_observed_and_expected_cls_equal_those_of_pyhf(seed: int) -> None:
    workspace = synthetic_workspace(seed=seed)
    observed, expected = by_pyhf(workspace)
    ours = cls(Likelihood(read_workspace(workspace)), 1.0)
    assert ours.cls_obs == pytest.approx(observed, abs=1e-4)  # Minuit stops at 1e-7 in -2 ln L, CLs moves by its root
    np.testing.assert_allclose(ours.cls_exp, expected, atol=1e-4)


@pytest.mark.parametrize(("q", "q_asimov"), [(0.0, 4.0), (2.0, 4.0), (4.0, 4.0), (9.0, 4.0)])
def test_cls_of_given_test_statistics_follows_the_asymptotic_formulas(q: float, q_asimov: float) -> None:
    observed, expected = cls_values(q, q_asimov)
    root = np.sqrt(q_asimov)
    if q <= q_asimov:
        truth = norm.sf(np.sqrt(q)) / norm.sf(np.sqrt(q) - root)
    else:
        truth = norm.sf((q + q_asimov) / (2 * root)) / norm.sf((q - q_asimov) / (2 * root))
    assert observed == pytest.approx(truth, rel=1e-12)
    assert expected[2] == pytest.approx(2 * norm.sf(root), rel=1e-12)
    assert list(expected) == sorted(expected)


@pytest.mark.parametrize(
    ("q", "q_asimov"),
    [(2000.0, 400.0), (3600.0, 0.01), (1e4, 1e-8), (1e12, 1.0), (1e300, 1e-8), (0.0, 1e6), (5e4, 5e4)],
)
def test_cls_far_in_the_tails_is_the_difference_of_the_logarithms(q: float, q_asimov: float) -> None:
    observed, expected = cls_values(q, q_asimov)
    root = np.sqrt(q_asimov)
    shift = np.sqrt(q) - root if q <= q_asimov else (q - q_asimov) / (2 * root)
    with np.errstate(over="ignore"):
        above, below = norm.logsf(shift + root), norm.logsf(shift)
    truth = np.exp(above - below) if np.isfinite(below) else 0.0
    assert observed == pytest.approx(truth, rel=1e-6, abs=1e-300)  # the logarithms lose the digits of their size
    assert all(0.0 <= value <= 1.0 for value in (observed, *expected))


def test_cls_is_smooth_where_the_far_tail_begins() -> None:
    """At shift = 2 the two forms of the ratio meet: q = 5 with q_asimov = 1."""
    near, far = cls_values(5.0 - 1e-9, 1.0)[0], cls_values(5.0 + 1e-9, 1.0)[0]
    assert near == pytest.approx(far, rel=1e-8)
    assert near == pytest.approx(norm.sf(3.0) / norm.sf(2.0), rel=1e-8)


def test_the_significance_of_a_counting_experiment_is_that_of_its_closed_form() -> None:
    """Z = sqrt(2 (n ln(n/b) - (n - b))), arXiv:1007.1727 equation 97."""
    result = significance(Likelihood(counting_model(observed=75.0)))
    expected = np.sqrt(2 * (75 * np.log(75 / 50) - 25))
    assert result.z == pytest.approx(expected, rel=1e-9)
    assert result.p == pytest.approx(norm.sf(expected), rel=1e-8)
    deficit = significance(Likelihood(counting_model(observed=40.0)))
    assert (deficit.q0, deficit.z, deficit.p, deficit.status) == (0.0, 0.0, 0.5, "at-bound")


def test_a_deficit_below_zero_has_no_significance_where_the_bounds_allow_it() -> None:
    model = counting_model(observed=40.0)
    wide = replace(model, parameters=(replace(model.parameters[0], bounds=(-5.0, 10.0)),))
    result = significance(Likelihood(wide))
    assert result.poi_hat == pytest.approx(-1.0, abs=1e-6)
    assert (result.z, result.p) == (0.0, 0.5)


def test_expected_cls_without_the_data_does_not_depend_on_them() -> None:
    results = [cls(Likelihood(counting_model(observed=n, width=0.1)), 1.0, observed=False) for n in (30.0, 90.0)]
    assert results[0].cls_exp == results[1].cls_exp
    assert results[0].cls_obs is None
    assert results[0].poi_hat is None


def test_cls_refuses_what_has_no_meaning() -> None:
    likelihood = Likelihood(counting_model())
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInput, match="must be positive and finite"):
            cls(likelihood, value)


def test_binned_asimov_data_are_the_expectation_and_fit_to_their_own_parameters() -> None:
    likelihood = Likelihood(read_workspace(synthetic_workspace(seed=4)))
    theta = likelihood.initial.copy()
    theta[likelihood.index("mu")], theta[likelihood.index("jes")] = 1.7, 0.4
    theta[likelihood.index("other_stat[1]")] = 1.05
    model = asimov_model(likelihood, theta)
    assert model.asimov == "binned"
    result = fit(Likelihood(model))
    np.testing.assert_allclose(result.theta, theta, atol=1e-4)


def test_unbinned_asimov_data_are_reweighted_simulation() -> None:
    """T1 at mu = 2: the reweighted events are those of mu = 2, since the ratios are exact."""
    likelihood = Likelihood(gaussian_mixture())
    model = asimov_model(likelihood, np.array([2.0]))
    np.testing.assert_allclose(
        model.channels[0].events.weight, gaussian_mixture(mu=2.0).channels[0].events.weight, rtol=1e-12
    )
    assert model.asimov == "simulation"
    assert fit(Likelihood(model)).theta[0] == pytest.approx(2.0, abs=1e-6)
    bare = replace(likelihood.model, channels=(replace(likelihood.model.channels[0], simulation=None),))
    with pytest.raises(InvalidInput, match="channel 'SR' holds no simulated events"):
        asimov_model(Likelihood(bare), np.array([2.0]))
