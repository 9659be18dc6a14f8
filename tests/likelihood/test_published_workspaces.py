"""Published HistFactory likelihoods against pyhf, at 100 random points each."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pyhf
import pytest

from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from statistics_inputs import published_workspace

pytestmark = [
    pytest.mark.public_data,
    pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning"),  # pyhf uses it
]

WORKSPACES = (
    ("3L", "ERJR_300p0_100p0"), ("3L", "ERJR_450p0_50p0"), ("stau", "DS_440_40"), ("stau", "DS_100_1"),
    ("stau lowMass", "DS_240_120"), ("stau highMass", "DS_400_1"), ("sbottom", "900_250_60"),
    ("sbottom", "1500_850_60"),
)  # fmt: skip
N_POINTS = 100
STIRLING = ((1, 12), (-1, 360), (1, 1260), (-1, 1680))


class Peer:
    """pyhf's model of a workspace, with the order of our parameters in its own."""

    def __init__(self, workspace, ours: Likelihood) -> None:
        opened = pyhf.Workspace(workspace, validate=False)
        self.model = opened.model(validate=False)
        self.data = np.array(opened.data(self.model))
        self.order = np.array([ours.index(name) for name in self.model.config.par_names])
        n_main = len(self.data) - len(self.model.config.auxdata)
        self.auxiliary = self.data[n_main:]
        poisson = self.model.constraint_model.constraints_poisson
        self.counted = np.asarray(poisson.poisson_data, dtype=int) if poisson.has_pdf() else np.zeros(0, dtype=int)
        self.normal = self.model.constraint_model.constraints_gaussian

    def twice_nll(self, theta: np.ndarray) -> float:
        return float(-2.0 * self.model.logpdf(theta[self.order].tolist(), self.data.tolist())[0])

    def exact_twice_nll(self, theta: np.ndarray) -> float:
        """pyhf's rates, main terms and normal constraints; the Poisson constraints of its rates in 50 digits."""
        point = theta[self.order]
        n_main = len(self.data) - len(self.auxiliary)
        total = -2.0 * float(np.asarray(self.model.mainlogpdf(self.data[:n_main], point)).sum())
        total -= 2.0 * float(np.asarray(self.normal.logpdf(self.auxiliary, point)).sum())
        rates = np.asarray(self.model.expected_auxdata(point))
        return total + sum(-2.0 * log_poisson(self.auxiliary[i], rates[i]) for i in self.counted)


def log_poisson(count: float, rate: float) -> float:
    """Return n ln(nu) - nu - ln Gamma(n + 1) with 50 digits; the gamma function by Stirling's series above 1e4."""
    with localcontext() as context:
        context.prec = 50
        n, nu = Decimal(float(count)), Decimal(float(rate))
        if n < 10_000:
            return float(n * nu.ln() - nu) - math.lgamma(count + 1.0)
        two_pi = Decimal("6.28318530717958647692528676655900576839433879875021")
        series = sum(Decimal(a) / (Decimal(b) * n ** (2 * k + 1)) for k, (a, b) in enumerate(STIRLING))
        log_gamma = n * n.ln() - n + (two_pi * n).ln() / 2 + series
        return float(n * nu.ln() - nu - log_gamma)


def random_points(likelihood: Likelihood, seed: int):
    """Yield points within two widths of the constraints and the bounds, at which every rate is positive."""
    rng = np.random.default_rng(seed)
    widths = np.array([
        {"normal": p.width, "poisson": p.factor**-0.5, "none": 0.5}[p.constraint] for p in likelihood.model.parameters
    ])  # fmt: skip
    found = 0
    while found < N_POINTS:
        size = rng.uniform(0.0, 2.0)
        theta = likelihood.initial + size * widths * rng.uniform(-1.0, 1.0, len(widths))
        theta = np.where(likelihood.fixed, likelihood.initial, np.clip(theta, likelihood.lower, likelihood.upper))
        if all(np.all(rates > 0) for rates in likelihood.expected_events(theta).values()):
            found += 1
            yield theta


@pytest.mark.parametrize(("analysis", "point"), WORKSPACES)
def test_published_workspaces_give_the_number_of_pyhf(analysis: str, point: str) -> None:
    """To 1e-9 relative; where pyhf's own rounding is larger, to its terms summed exactly, and pyhf is as far from them.

    The 3L workspace has auxiliary counts of 1e13: n ln(nu) - nu - ln Gamma(n + 1) loses the digits of 3e14.
    """
    workspace = published_workspace(analysis, point)
    assert workspace is not None
    ours = Likelihood(read_workspace(workspace))
    peer = Peer(workspace, ours)
    assert sorted(ours.names) == sorted(peer.model.config.par_names)
    largest = max((p.global_observable for p in ours.model.parameters if p.constraint == "poisson"), default=1.0)
    rounding = 8 * len(peer.counted) * np.finfo(float).eps * largest * max(1.0, math.log(largest))
    for theta in random_points(ours, seed=5):
        found, theirs, exact = ours.twice_nll(theta), peer.twice_nll(theta), peer.exact_twice_nll(theta)
        assert found == pytest.approx(exact, rel=1e-9)
        assert theirs == pytest.approx(found, rel=1e-9, abs=rounding)
        if largest < 1e6:
            assert theirs == pytest.approx(found, rel=1e-9, abs=0.0)


def test_expected_events_of_every_bin_are_those_of_pyhf() -> None:
    workspace = published_workspace("3L", "ERJR_300p0_100p0")
    assert workspace is not None
    ours = Likelihood(read_workspace(workspace))
    peer = Peer(workspace, ours)
    for theta in random_points(ours, seed=6):
        theirs = np.asarray(peer.model.expected_actualdata(theta[peer.order]))
        mine = np.concatenate([ours.expected_events(theta)[name] for name in peer.model.config.channels])
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
