"""Likelihoods of one family evaluated together are those evaluated alone."""

from __future__ import annotations

import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.binned_layout import build_layout
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.family import expand_together, likelihoods_of
from evercast.likelihood.histfactory import apply_patch, read_workspace
from evercast.likelihood.model import LikelihoodModel
from statistics_inputs import synthetic_workspace


def _signal(seed: int, *, bins: int, systematics: tuple[str, ...], **changes: object) -> dict[str, object]:
    """A signal with its own shape, its own systematics (some of them of the background) and statistical errors."""
    rng = np.random.default_rng(seed)
    nominal = rng.uniform(1.0, 4.0, bins)
    modifiers: list[dict[str, object]] = [{"name": "mu", "type": "normfactor", "data": None}]
    for name in systematics:
        up, down = nominal * rng.uniform(1.0, 1.2, bins), nominal * rng.uniform(0.8, 1.0, bins)
        shape = {"hi_data": up.tolist(), "lo_data": down.tolist()}
        rate = {"hi": float(rng.uniform(1.01, 1.2)), "lo": float(rng.uniform(0.8, 0.99))}
        modifiers.append({"name": name, "type": "histosys", "data": shape})
        modifiers.append({"name": name, "type": "normsys", "data": rate})
    modifiers.append({"name": "stat", "type": "staterror", "data": (0.1 * nominal).tolist()})
    return {"name": f"signal_{seed}", "data": nominal.tolist(), "modifiers": modifiers} | changes


def _background() -> dict[str, object]:
    def sample(name: str, data: list[float], slope: float) -> dict[str, object]:
        up, down = [x * (1 + slope) for x in data], [x * (1 - slope / 2) for x in data]
        modifiers = [
            {"name": "shape", "type": "histosys", "data": {"hi_data": up, "lo_data": down}},
            {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.85}},
            {"name": "other", "type": "normsys", "data": {"hi": 0.97, "lo": 1.04}},
            {"name": "stat", "type": "staterror", "data": [0.05 * x for x in data]},
        ]
        return {"name": name, "data": data, "modifiers": modifiers}

    return {
        "channels": [
            {"name": "SR", "samples": [sample("A", [30.0, 20.0, 5.0], 0.1), sample("B", [9.0, 9.0, 2.0], -0.2)]},
            {"name": "CR", "samples": [sample("A", [90.0], 0.05)]},
        ],
        "observations": [{"name": "SR", "data": [41.0, 29.0, 6.0]}, {"name": "CR", "data": [93.0]}],
        "measurements": [{"name": "fit", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def _models() -> list[LikelihoodModel]:
    """Signals with different systematics on one background, whose samples are the same objects in all."""
    background = _background()
    known = {id(sample): None for channel in background["channels"] for sample in channel["samples"]}  # type: ignore[attr-defined]
    found = []
    for seed, systematics in enumerate([("shape", "rate"), ("other",), (), ("rate", "other", "shape")]):
        patch = [
            {"op": "add", "path": "/channels/0/samples/0", "value": _signal(seed, bins=3, systematics=systematics)},
            {"op": "add", "path": "/channels/1/samples/0", "value": _signal(9 + seed, bins=1, systematics=("shape",))},
        ]
        found.append(read_workspace(apply_patch(background, patch), known=known))
    return found


def test_each_is_expanded_as_alone() -> None:
    models = _models()
    together = likelihoods_of(models)
    rng = np.random.default_rng(5)
    for _ in range(3):
        points = [likelihood.initial + rng.normal(0.0, 0.4, len(likelihood.names)) ** 2 for likelihood in together]
        for likelihood, model, point, found in zip(
            together, models, points, expand_together(together, points), strict=True
        ):
            alone = Likelihood(model)
            order = [likelihood.index(name) for name in alone.names]
            expected = alone.expand(point[order])
            assert found.value == pytest.approx(expected.value, rel=1e-12)
            np.testing.assert_allclose(found.gradient[order], expected.gradient, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found.hessian[np.ix_(order, order)], expected.hessian, rtol=1e-9, atol=1e-9)
            own = likelihood.expand(point)
            np.testing.assert_allclose(found.hessian, own.hessian, rtol=1e-11, atol=1e-11)
            assert found.information is not None
            assert own.information is not None
            np.testing.assert_allclose(found.information(), own.information(), rtol=1e-11)


def test_a_part_of_a_family_and_other_data_are_expanded_as_alone() -> None:
    together = likelihoods_of(_models())
    moved = together[2].with_data(together[2].model)
    chosen = [together[3], together[1], moved]
    points = [likelihood.initial + 0.1 for likelihood in chosen]
    for likelihood, point, found in zip(chosen, points, expand_together(chosen, points), strict=True):
        assert found.value == pytest.approx(likelihood.twice_nll(point), rel=1e-12)
        np.testing.assert_allclose(found.gradient, likelihood.gradient(point), rtol=1e-9, atol=1e-9)


def test_models_of_another_form_are_families_of_their_own() -> None:
    models = [*_models(), read_workspace(synthetic_workspace(seed=1)), read_workspace(synthetic_workspace(seed=2))]
    together = likelihoods_of(models)
    assert [likelihood.model.name for likelihood in together] == [model.name for model in models]
    points = [likelihood.initial for likelihood in together]
    for model, found in zip(models, expand_together(together, points), strict=True):
        alone = Likelihood(model)
        assert found.value == pytest.approx(alone.twice_nll(alone.initial), rel=1e-12)


def test_one_variation_with_two_codes_is_refused() -> None:
    background = _background()
    patch = [{"op": "add", "path": "/channels/0/samples/0", "value": _signal(1, bins=3, systematics=("rate",))}]
    body = apply_patch(background, patch)
    models = [read_workspace(body, modifier_settings={"normsys": {"interpcode": code}}) for code in ("code1", "code4")]
    with pytest.raises(InvalidInput, match="interpolated with code 1 in one model, 4 in another"):
        build_layout(models[0].parameters, [model.channels for model in models])  # type: ignore[misc]
