"""Objects and candidates: choice, smearing, cut, order, pairing."""

import itertools

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest

from evercast.errors import InvalidInput
from evercast.events.candidates import build_candidates
from evercast.events.evaluate import Scope
from evercast.events.momenta import momenta
from evercast.events.objects import build_objects
from evercast.events.pdg import charge_of
from evercast.events.random_numbers import counter_normal
from evercast.spec.expressions import ExpressionError
from evercast.spec.model import Candidates, Objects

Z_MASS = 91.1876


def scope(events: int = 300, seed: int = 5, most: int = 7) -> Scope:
    random = np.random.default_rng(seed)
    counts = random.integers(0, most, events)
    total = counts.sum()
    columns = {
        "pdg": random.choice([11, -11, 13, -13, 22], total),
        "px": random.normal(0, 25, total),
        "py": random.normal(0, 25, total),
        "pz": random.normal(0, 40, total),
        "mass": np.full(total, 0.1),
    }
    lists = {name: ak.unflatten(ak.Array(column), counts) for name, column in columns.items()}
    return Scope(
        values={"particles": momenta(lists, name="particles"), "x": ak.Array(np.zeros(events))},
        event=np.arange(1000, 1000 + events, dtype=np.uint64),
    )


def test_pdg_numbers_are_chosen_by_absolute_value_and_items_are_ordered_by_pt():
    made = build_objects("muons", Objects(collection="particles", pdg=(13,)), scope(), seed=1, smear=True)
    assert set(np.unique(ak.flatten(made["pdg"]))) == {-13, 13}
    assert ak.all(made.pt[:, :-1] >= made.pt[:, 1:], axis=None)
    assert set(np.unique(ak.flatten(made["charge"] * made["pdg"]))) == {-13}


def test_a_cut_sees_the_properties_of_the_item():
    objects = Objects(collection="particles", cut="(pt > 10) & (abs(eta) < 1) & (charge < 0)", sort_by="none")
    source = scope()
    made = build_objects("o", objects, source, seed=1, smear=False)
    particles = source.values["particles"]
    keep = (particles.pt > 10) & (abs(particles.eta) < 1) & ((particles["pdg"] == 11) | (particles["pdg"] == 13))
    assert made.px.tolist() == particles[keep].px.tolist()


def test_smearing_keeps_direction_and_mass_and_follows_the_resolution():
    source = scope(events=20_000)
    objects = Objects(collection="particles", pt_resolution="where(abs(pdg) == 13, 0.01, 0.03)", sort_by="none")
    made = build_objects("o", objects, source, seed=1, smear=True)
    particles = source.values["particles"]
    for name, tolerance in (("eta", 1e-9), ("phi", 1e-12)):
        np.testing.assert_allclose(
            ak.flatten(getattr(made, name)), ak.flatten(getattr(particles, name)), atol=tolerance
        )
    np.testing.assert_allclose(ak.flatten(made.mass), 0.1, atol=1e-5)  # a difference of squares of hundreds of GeV
    pull = ak.flatten(made.pt / particles.pt - 1) / ak.to_numpy(
        ak.flatten(ak.where(abs(particles["pdg"]) == 13, 0.01, 0.03))
    )
    assert kstest(ak.to_numpy(pull), "norm").pvalue > 1e-4


def test_data_is_not_smeared():
    objects = Objects(collection="particles", pt_resolution="0.5", sort_by="none")
    source = scope()
    made = build_objects("o", objects, source, seed=1, smear=False)
    assert made.px.tolist() == source.values["particles"].px.tolist()


def test_smearing_depends_on_the_event_not_on_the_chunk():
    objects = Objects(collection="particles", pdg=(11, 13), pt_resolution="0.02", cut="pt > 5")
    source = scope()
    whole = build_objects("o", objects, source, seed=4, smear=True)
    half = np.arange(len(source)) % 2 == 1
    part = build_objects("o", objects, source.where(half), seed=4, smear=True)
    assert part.px.tolist() == whole[half].px.tolist()
    other = build_objects("o", objects, source, seed=5, smear=True)
    assert other.px.tolist() != whole.px.tolist()


def test_smearing_does_not_depend_on_what_else_is_chosen():
    source = scope()
    both = build_objects(
        "o",
        Objects(collection="particles", pdg=(11, 13), pt_resolution="0.1", sort_by="none"),
        source,
        seed=4,
        smear=True,
    )
    muons = build_objects(
        "o", Objects(collection="particles", pdg=(13,), pt_resolution="0.1", sort_by="none"), source, seed=4, smear=True
    )
    assert both[abs(both["pdg"]) == 13].px.tolist() == muons.px.tolist()


def test_counter_numbers_are_gaussian_and_independent_of_their_neighbours():
    event = np.repeat(np.arange(20_000, dtype=np.uint64), 4)
    item = np.tile(np.arange(4, dtype=np.uint64), 20_000)
    numbers = counter_normal(7, "particles", event, item)
    assert kstest(numbers, "norm").pvalue > 1e-4
    table = numbers.reshape(-1, 4)
    correlation = np.corrcoef(np.column_stack([table[:-1], table[1:]]), rowvar=False)
    np.testing.assert_allclose(correlation, np.eye(8), atol=5 / np.sqrt(len(table)))
    for other in (counter_normal(8, "particles", event, item), counter_normal(7, "tracks", event, item)):
        assert abs(np.corrcoef(numbers, other)[0, 1]) < 5 / np.sqrt(len(numbers))
    assert np.abs(numbers).max() < 7


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (Objects(collection="jets"), r"made from the collection 'jets', which the input has not; it has: particles"),
        (Objects(collection="x"), r"made from the collection 'x'"),
        (Objects(collection="particles", pt_resolution="-0.1"), "expected a finite number that is not negative"),
        (Objects(collection="particles", pt_resolution="1 / (pt - pt)"), "is inf"),
    ],
)
def test_objects_that_cannot_be_made_are_named(objects, message):
    with pytest.raises(InvalidInput, match=message):
        build_objects("o", objects, scope(), seed=1, smear=True)


def test_a_cut_that_is_no_condition_points_at_the_column():
    with pytest.raises(ExpressionError, match="cut of 'o'"):
        build_objects("o", Objects(collection="particles", cut="pt"), scope(), seed=1, smear=True)


def pairs_one_by_one(event: list[dict[str, float]]) -> list[tuple[int, int]]:
    """Positions of negative and positive item of the candidates of one event, by the text of the definition."""
    mass = {}
    for i, j in itertools.combinations(range(len(event)), 2):
        a, b = event[i], event[j]
        if abs(a["pdg"]) == abs(b["pdg"]) and a["pdg"] * b["pdg"] < 0:
            total = [a[name] + b[name] for name in ("energy", "px", "py", "pz")]
            mass[i, j] = np.sqrt(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2)
    if not mass:
        return []
    chosen = [min(mass, key=lambda pair: abs(mass[pair] - Z_MASS))]
    rest = [pair for pair in mass if not set(pair) & set(chosen[0])]
    if rest:
        chosen.append(max(rest, key=lambda pair: sum(np.hypot(event[i]["px"], event[i]["py"]) for i in pair)))
    return [pair if event[pair[0]]["pdg"] > 0 else pair[::-1] for pair in chosen]


def test_candidates_are_those_of_the_definition_event_by_event():
    source = scope(events=2000)
    leptons = build_objects("leptons", Objects(collection="particles", pdg=(11, 13)), source, seed=1, smear=False)
    made = build_candidates(
        "z", Candidates(pairs_of="leptons", mass_target_gev=Z_MASS), source.with_values({"leptons": leptons})
    )
    items = [
        [{name: item[name] for name in ("pdg", "px", "py", "pz", "energy")} for item in event]
        for event in leptons.tolist()
    ]
    expected = [pairs_one_by_one(event) for event in items]
    assert max(map(len, expected)) == 2
    for name, position in (("z_negative", 0), ("z_positive", 1)):
        wanted = [[event[pair[position]]["px"] for pair in pairs] for event, pairs in zip(items, expected, strict=True)]
        assert made[name].px.tolist() == wanted
    sums = made["z_negative"].px + made["z_positive"].px
    assert ak.num(made["z"]).tolist() == ak.num(sums).tolist()
    np.testing.assert_allclose(ak.flatten(made["z"].px), ak.flatten(sums))
    assert set(np.unique(ak.flatten(made["z_negative"]["charge"]))) == {-1}


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_candidates_as_asked_for(count):
    source = scope(events=1000, most=12)
    leptons = build_objects("leptons", Objects(collection="particles", pdg=(11, 13)), source, seed=1, smear=False)
    made = build_candidates(
        "z",
        Candidates(pairs_of="leptons", mass_target_gev=Z_MASS, count=count),
        source.with_values({"leptons": leptons}),
    )
    assert ak.max(ak.num(made["z"])) == count
    if count == 3:
        used = ak.concatenate([made["z_negative"].px, made["z_positive"].px], axis=1)
        assert all(len(set(event)) == len(event) for event in used.tolist())


def test_candidates_need_a_collection_with_pdg():
    with pytest.raises(InvalidInput, match="needs the collection 'leptons' with PDG numbers"):
        build_candidates("z", Candidates(pairs_of="leptons", mass_target_gev=Z_MASS), scope())


def test_charges_follow_the_numbering_scheme():
    known = {
        11: -1,
        -13: 1,
        12: 0,
        22: 0,
        24: 1,
        2: 2 / 3,
        -5: 1 / 3,
        211: 1,
        111: 0,
        130: 0,
        310: 0,
        321: 1,
        411: 1,
        421: 0,
    }
    known |= {
        511: 0,
        521: 1,
        531: 0,
        541: 1,
        443: 0,
        2212: 1,
        2112: 0,
        3122: 0,
        3222: 1,
        3112: -1,
        3312: -1,
        3334: -1,
        4122: 1,
    }
    known |= {
        1000020040: 2,
        -1000010020: -1,
        1000011: -1,
        1000024: 1,
        1000022: 0,
        1000002: 2 / 3,
        2101: 1 / 3,
        2203: 4 / 3,
    }
    np.testing.assert_allclose(charge_of(np.array(list(known))), list(known.values()), atol=1e-5)
    assert charge_of(np.zeros(0, dtype=np.int64)).shape == (0,)


def test_momenta_take_polar_coordinates_and_refuse_lists_of_different_length():
    polar = {"pt": ak.Array([[3.0]]), "eta": ak.Array([[1.0]]), "phi": ak.Array([[0.5]]), "mass": ak.Array([[2.0]])}
    made = momenta(polar, name="jets")
    assert [float(getattr(made, name)[0, 0]) for name in ("pt", "eta", "phi", "mass")] == pytest.approx([3, 1, 0.5, 2])
    with pytest.raises(InvalidInput, match="do not have the same number of items"):
        momenta(polar | {"mass": ak.Array([[2.0, 3.0]])}, name="jets")
    with pytest.raises(InvalidInput, match="has eta, pt; expected px, py, pz or pt, eta, phi"):
        momenta({"pt": polar["pt"], "eta": polar["eta"]}, name="jets")
