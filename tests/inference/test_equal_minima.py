"""Two values of a parameter with the same rate: which minimum is quoted, and that all tests take the same one."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.inference.asymptotics import cls, significance
from evercast.inference.fit import fit
from evercast.inference.fit_many import fit_many
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, BinnedSample, LikelihoodModel, ParameterModel

BACKGROUND = 50.0


def squared(*, initial: float, observed: float = 80.0, coefficient: str = "kappa**2") -> Likelihood:
    """A count whose signal of 10 events goes with a coefficient."""
    parameter = ParameterModel(name="kappa", initial=initial, bounds=(-3.0, 3.0), poi=True)
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0]), modifiers=(), coefficient=coefficient),
        BinnedSample(name="B", nominal=np.array([BACKGROUND]), modifiers=()),
    )
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array([observed]))
    return Likelihood(LikelihoodModel(name="squared", parameters=(parameter,), channels=(channel,)))


@pytest.mark.parametrize(("initial", "sign"), [(1.0, 1.0), (-1.0, -1.0), (0.5, 1.0), (0.0, 1.0)])
def test_of_equal_minima_the_one_nearest_to_the_initial_value_is_quoted(initial: float, sign: float) -> None:
    assert fit(squared(initial=initial)).theta[0] == pytest.approx(sign * np.sqrt(3.0), abs=1e-4)


@pytest.mark.parametrize("initial", [1.0, -1.0])
def test_an_excess_is_one_whatever_the_sign_of_the_coupling(initial: float) -> None:
    likelihood = squared(initial=initial)
    found = significance(likelihood)
    q0 = 2.0 * (BACKGROUND - 80.0 + 80.0 * np.log(80.0 / BACKGROUND))
    assert found.q0 == pytest.approx(q0, abs=1e-5)  # the tolerance of a fit
    assert found.poi_hat == pytest.approx(np.sqrt(3.0), abs=1e-4)
    assert cls(likelihood, 2.0).poi_hat == pytest.approx(found.poi_hat, abs=1e-4)


def test_a_deeper_minimum_below_zero_is_no_excess() -> None:
    """kappa**2 - kappa reaches 11 at -2.85 and at 3.85, which lies beyond the bound of 3."""
    likelihood = squared(initial=1.0, observed=160.0, coefficient="kappa**2 - kappa")
    assert fit(likelihood).theta[0] == pytest.approx(0.5 - np.sqrt(11.25), abs=1e-4)
    assert significance(likelihood).q0 == 0.0


def test_many_fits_choose_as_one_does() -> None:
    likelihood = squared(initial=1.0)
    models = [squared(initial=1.0, observed=float(n)).model for n in range(60, 90)]
    start = np.tile(np.array([-1.0]), (len(models), 1))
    found = fit_many(LikelihoodBatch(likelihood, models), start=start, explore=True)
    np.testing.assert_allclose(found.theta[:, 0], np.sqrt((np.arange(60, 90) - BACKGROUND) / 10.0), atol=1e-3)
