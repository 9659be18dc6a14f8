"""Minima where the slope of an interpolation jumps: they are minima, in single and many fits."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.inference.fit import fit
from evercast.inference.fit_many import fit_many
from evercast.likelihood.batch import LikelihoodBatch
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import (
    BinnedChannelModel,
    BinnedSample,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
)


def one_sided(observed: tuple[float, float], code: str = "1") -> Likelihood:
    """Both variations raise the background: its rate has its minimum, with a kink, at 0."""
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(-10.0, 10.0), poi=True),
        ParameterModel(name="alpha", initial=0.0, bounds=(-5.0, 5.0), constraint="normal"),
    )
    shift = NormSys(parameter="alpha", up=1.1, down=1.2, code=code)
    samples = (
        BinnedSample(name="S", nominal=np.array([20.0, 0.0]), modifiers=(NormFactor(parameter="mu"),)),
        BinnedSample(name="B", nominal=np.array([100.0, 400.0]), modifiers=(shift,)),
    )
    channel = BinnedChannelModel(name="SR", samples=samples, observed=np.array(observed))
    return Likelihood(LikelihoodModel(name="kink", parameters=parameters, channels=(channel,)))


@pytest.mark.parametrize("code", ["0", "1"])
def test_a_minimum_on_a_kink_is_one(code: str) -> None:
    likelihood = one_sided((130.0, 370.0), code)
    found = fit(likelihood)
    assert found.guard.reason is None
    assert found.guard.at_kink == ("alpha",)
    assert found.theta.tolist() == pytest.approx([1.5, 0.0], abs=1e-6)
    mu, alpha = found.parameters
    assert mu.uncertainty == pytest.approx(np.sqrt(130.0) / 20.0, rel=1e-6)
    assert (alpha.uncertainty, alpha.at_bound, alpha.fixed) == (None, False, False)
    for aside in (-1e-3, 1e-3):
        assert likelihood.twice_nll(np.array([1.5, aside])) > found.twice_nll


def test_a_kink_elsewhere_is_no_minimum() -> None:
    found = fit(one_sided((130.0, 430.0)))
    assert found.guard.at_kink == ()
    assert abs(found.theta[1]) > 0.1


def test_pseudo_experiments_with_a_minimum_on_a_kink_count() -> None:
    likelihood = one_sided((120.0, 400.0))
    models = [one_sided((120.0, float(n))).model for n in range(360, 440, 8)]
    found = fit_many(LikelihoodBatch(likelihood, models), start=np.tile(likelihood.initial, (len(models), 1)))
    assert not found.failed.any()
    assert np.abs(found.theta[:5, 1]).max() == 0.0  # fewer events than without the variation
