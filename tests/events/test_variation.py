"""New values of properties of objects: four-vectors stay consistent."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercast.errors import InvalidInput
from evercast.events.evaluate import Scope
from evercast.events.momenta import momenta
from evercast.events.variation import apply_transforms, parse_variation
from evercast.plan.recipes import EventVariation

COUNTS = [2, 0, 1, 3]


def items() -> ak.Array:
    random = np.random.default_rng(1)
    columns = {
        "pt": random.uniform(5, 100, 6),
        "eta": random.uniform(-2, 2, 6),
        "phi": random.uniform(-3, 3, 6),
        "mass": random.uniform(0.1, 20, 6),
        "isolation": random.uniform(0, 1, 6),
    }
    return momenta({name: ak.unflatten(ak.Array(values), COUNTS) for name, values in columns.items()}, name="jets")


def changed(**transform: str | float) -> tuple[ak.Array, ak.Array]:
    before = items()
    scope = Scope(values={"jets": before}, event=np.arange(4, dtype=np.uint64))
    variation = parse_variation(EventVariation(transform={f"jets.{key}": value for key, value in transform.items()}))
    return before, apply_transforms(variation.transforms["jets"], before, scope)


def flat(values: ak.Array) -> np.ndarray:
    return ak.to_numpy(ak.flatten(values, axis=1))


def compare(before: ak.Array, after: ak.Array, **expected: np.ndarray) -> None:
    """Everything not named in `expected` is what it was."""
    assert ak.num(after, axis=1).to_list() == COUNTS
    for name in ("pt", "eta", "phi", "mass"):
        wanted = expected.get(name, flat(getattr(before, name)))
        np.testing.assert_allclose(flat(getattr(after, name)), wanted, rtol=1e-9, atol=1e-6, err_msg=name)


def test_pt_is_scaled_at_fixed_direction_and_mass():
    before, after = changed(pt=1.25)
    compare(before, after, pt=1.25 * flat(before.pt))
    momentum_before, momentum_after = (flat(one.px**2 + one.py**2 + one.pz**2) for one in (before, after))
    np.testing.assert_allclose(momentum_after, 1.25**2 * momentum_before)
    np.testing.assert_allclose(flat(after.E), np.sqrt(momentum_after + flat(before.mass) ** 2))


def test_the_energy_changes_the_momentum_at_fixed_mass():
    before, after = changed(energy="energy + 3")
    np.testing.assert_allclose(flat(after.E), flat(before.E) + 3)
    size = np.sqrt((flat(before.E) + 3) ** 2 - flat(before.mass) ** 2)
    compare(before, after, pt=size / np.cosh(flat(before.eta)))


def test_pseudorapidity_and_azimuth_turn_at_fixed_pt_and_mass():
    before, after = changed(eta="eta + 0.1", phi="phi + 0.05")
    compare(before, after, eta=flat(before.eta) + 0.1, phi=flat(before.phi) + 0.05)


def test_a_mass_changes_the_energy_alone():
    before, after = changed(mass=2.0)
    compare(before, after, mass=2 * flat(before.mass))
    np.testing.assert_allclose(flat(after.pz), flat(before.pz))


def test_a_component_changes_at_fixed_mass():
    before, after = changed(px="px + 5")
    np.testing.assert_allclose(flat(after.px), flat(before.px) + 5)
    np.testing.assert_array_equal(flat(after.py), flat(before.py))
    np.testing.assert_allclose(flat(after.mass), flat(before.mass), rtol=1e-6)


def test_another_property_of_the_item_changes_alone():
    before, after = changed(isolation="where(pt > 50, isolation + 0.5, isolation)")
    compare(before, after)
    np.testing.assert_allclose(flat(after.isolation), flat(before.isolation) + 0.5 * (flat(before.pt) > 50))


def test_expressions_see_the_items_as_they_were():
    before, after = changed(pt="2 * pt", isolation="pt / 100")
    np.testing.assert_allclose(flat(after.isolation), flat(before.pt) / 100)
    np.testing.assert_allclose(flat(after.pt), 2 * flat(before.pt))


@settings(deadline=None, max_examples=25)
@given(factor=st.floats(0.2, 5.0))
def test_a_factor_and_its_inverse_cancel(factor: float):
    before, after = changed(pt=factor)
    scope = Scope(values={"jets": after}, event=np.arange(4, dtype=np.uint64))
    back = apply_transforms(
        parse_variation(EventVariation(transform={"jets.pt": 1 / factor})).transforms["jets"], after, scope
    )
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_allclose(flat(back[name]), flat(before[name]), rtol=1e-10)


@pytest.mark.parametrize("change", [1.0, "pt"])
def test_an_item_whose_value_stays_is_the_same_to_the_last_bit(change):
    before, after = changed(pt=change)
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_array_equal(flat(after[name]), flat(before[name]))


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ({"pt": -1.0}, "gives pt = -"),
        ({"pt": "log(0 * pt)"}, "gives pt = -inf"),
        ({"energy": "0.5 * mass"}, "no possible momentum for 6 of 6 items"),
        ({"mass": "mass - 50"}, "gives mass = -"),
        ({"eta": "1 / (eta - eta)"}, "gives eta = "),
        ({"charm": 1.1}, "have no 'charm'; they have energy, eta"),
        ({"pdg": 1.1}, "expected collection.property, not charge nor pdg"),
    ],
)
def test_what_cannot_be_is_refused(transform, words):
    with pytest.raises(InvalidInput) as caught:
        changed(**transform)
    assert caught.value.code == "systematic.transform"
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ["pt", ".pt", "jets."])
def test_a_transform_names_collection_and_property(key):
    with pytest.raises(InvalidInput, match=r"expected collection\.property"):
        parse_variation(EventVariation(transform={key: 1.1}))


def test_a_variation_without_a_name_is_called_by_what_it_does():
    assert parse_variation(EventVariation(transform={"jets.pt": 1.01})).name == "jets.pt x 1.01"
    assert parse_variation(EventVariation(weight="w_up")).name == "factor w_up"
