"""CLs of many patches in lockstep is that of each patch alone."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference import patches
from evercast.inference.asymptotics import cls
from evercast.inference.lockstep import Request, run_together
from evercast.inference.patches import cls_of_patches
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from statistics_inputs import counting_model

SIGNALS = {f"point_{size}": float(size) for size in (3, 5, 8, 11, 14, 17, 20)}


def _model(name: str) -> LikelihoodModel:
    if name == "unreadable":
        raise InvalidInput("this patch does not fit", code="workspace.patch")
    return counting_model(signal=SIGNALS.get(name, -1.0), background=50.0, observed=53.0, width=0.1)


@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize("observed", [True, False])
def test_each_patch_has_the_cls_that_it_has_alone(
    monkeypatch: pytest.MonkeyPatch, *, block: int, observed: bool
) -> None:
    monkeypatch.setattr(patches, "_BLOCK", block)
    found = list(cls_of_patches(list(SIGNALS), _model, observed=observed))
    assert [entry.name for entry in found] == list(SIGNALS)
    for entry in found:
        alone = cls(Likelihood(_model(entry.name)), 1.0, observed=observed)
        assert entry.result is not None
        assert entry.result.cls_obs == (None if not observed else pytest.approx(alone.cls_obs, abs=1e-7))
        np.testing.assert_allclose(entry.result.cls_exp, alone.cls_exp, atol=1e-7)
        assert all(fit.guard.reason is None for fit in entry.result.fits)


def test_one_that_fails_has_its_reason_and_the_others_go_on() -> None:
    names = ["unreadable", "point_5", "negative", "point_8", "unreadable", "point_3"]
    found = list(cls_of_patches(names, _model))
    assert [entry.name for entry in found] == names
    assert [entry.status == "failed" for entry in found] == [True, False, True, False, True, False]
    assert [entry.result is None for entry in found] == [True, False, True, False, True, False]
    codes = [entry.failure.code for entry in found if entry.failure is not None]
    assert codes == ["workspace.patch", "likelihood.negative-yield", "workspace.patch"]


def test_a_computation_that_fails_leaves_the_others_alone() -> None:
    likelihood = Likelihood(counting_model())

    def steps(n: int):
        total = 0.0
        for _ in range(n):
            found = yield Request(likelihood, likelihood.initial)
            total += found.value
        if n == 2:
            raise NumericalFailure("no minimum", code="fit.not-converged")
        return total

    three, failed, none = run_together([steps(3), steps(2), steps(0)])
    assert three == pytest.approx(3 * likelihood.twice_nll(likelihood.initial))
    assert isinstance(failed, NumericalFailure)
    assert none == 0.0
