"""Jets, their flavour, efficiencies and tags, overlap removal, missing momentum and pairs by distance."""

import awkward as ak
import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.events.candidates import build_candidates
from evercast.events.evaluate import Scope
from evercast.events.missing import build_missing_momentum
from evercast.events.momenta import momenta
from evercast.events.objects import build_objects
from evercast.events.pdg import charge_of
from evercast.events.random_numbers import counter_uniform
from evercast.spec.model import Candidates, Clustering, Flavour, MissingMomentum, Objects, Overlap

fastjet = pytest.importorskip("fastjet", reason="needs the extra 'generate'")

ANTI_KT = Clustering(radius=0.4, pt_min_gev=5, counts={"tracks": "charge != 0 and pt > 0.5"})


def collection(events, **more):
    """A collection of events given as lists of (pt, eta, phi)."""
    columns = {
        name: [[item[place] for item in event] for event in events] for place, name in enumerate(("pt", "eta", "phi"))
    }
    return momenta({key: ak.Array(value) for key, value in {**columns, **more}.items()}, name="c")


def scope_of(**values):
    size = len(next(iter(values.values())))
    return Scope(values=values, event=np.arange(size, dtype=np.uint64))


def random_particles(events=60, seed=3):
    random = np.random.default_rng(seed)
    counts = random.integers(0, 40, events)
    counts[4] = 0
    total = counts.sum()
    columns = {
        "pt": random.exponential(8, total),
        "eta": random.normal(0, 1.5, total),
        "phi": random.uniform(-np.pi, np.pi, total),
        "mass": np.full(total, 0.13957),
        "pdg": random.choice([211, -211, 22, 12, 1000022], total),
    }
    return scope_of(
        particles=momenta({key: ak.unflatten(ak.Array(value), counts) for key, value in columns.items()}, name="p")
    )


def test_jets_are_those_of_fastjet_itself_without_the_excluded_particles():
    scope = random_particles()
    objects = Objects(collection="particles", exclude_pdg=(12, 1000022), cluster=ANTI_KT)
    jets = build_objects("jets", objects, scope, seed=1, smear=True)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    for event, made in zip(scope.values["particles"], jets, strict=True):
        kept = event[(abs(event.pdg) != 12) & (abs(event.pdg) != 1000022)]
        inputs = [fastjet.PseudoJet(*row) for row in zip(kept.px, kept.py, kept.pz, kept.E, strict=True)]
        tracks = [
            int(charge != 0 and pt > 0.5)
            for charge, pt in zip(charge_of(ak.to_numpy(kept["pdg"])), kept.pt, strict=True)
        ]
        for one, is_track in zip(inputs, tracks, strict=True):
            one.set_user_index(is_track)
        sequence = fastjet.ClusterSequence(inputs, definition)
        expected = sorted(sequence.inclusive_jets(5.0), key=lambda jet: -jet.pt())
        assert made.pt.tolist() == pytest.approx([jet.pt() for jet in expected])
        assert made.energy.tolist() == pytest.approx([jet.e() for jet in expected])
        counts = [sum(one.user_index() for one in jet.constituents()) for jet in expected]
        assert made["tracks"].tolist() == counts
    assert ak.num(jets)[4] == 0


def test_constituents_are_counted_by_hand():
    particles = collection([[(20, 0, 0), (10, 0.1, 0.1), (0.4, 0.1, 0), (30, 0, 2)]], pdg=[[211, 22, -211, 321]])
    jets = build_objects(
        "jets", Objects(collection="particles", cluster=ANTI_KT), scope_of(particles=particles), seed=1, smear=True
    )
    assert jets["tracks"].tolist() == [[1, 1]]  # 30.4 GeV: one pion, a photon, a soft pion; 30 GeV: a kaon
    assert jets.pt[0, 0] == pytest.approx(30.36, abs=0.05)


@pytest.mark.parametrize("method", ["delta_r", "ghost"])
def test_a_jet_has_the_strongest_flavour_of_what_is_in_it(method):
    particles = collection([[(50, 0, 0), (40, 0, 1), (30, 0, 2), (20, 0, 3)], [(50, 0, 0)]], pdg=[[211] * 4, [211]])
    heavy = collection(
        [[(30, 0.1, 0), (20, 0.1, 0), (20, 0, 1.1), (20, 0.1, 2), (4, 0, 3)], []],
        flavour=[[4, 5, 4, 15, 5], []],
        pdg=[[411, 511, 421, 15, 521], []],
    )
    objects = Objects(collection="particles", cluster=ANTI_KT, flavour=Flavour(method=method))
    jets = build_objects("jets", objects, scope_of(particles=particles, heavy_flavour=heavy), seed=1, smear=True)
    assert jets["flavour"].tolist() == [[5, 4, 15, 0], [0]]  # the last b hadron is below 5 GeV
    assert jets.pt.tolist() == [pytest.approx([50, 40, 30, 20]), pytest.approx([50])]  # ghosts add nothing


def test_a_heavy_hadron_belongs_to_the_nearest_jet_within_the_radius_alone():
    jets = collection([[(50, 0, 0), (40, 0.5, 0)]])
    heavy = collection([[(30, 0.28, 0), (30, -0.31, 0)]], flavour=[[5, 4]])
    objects = Objects(collection="j", flavour=Flavour())
    made = build_objects("jets", objects, scope_of(j=jets, heavy_flavour=heavy), seed=1, smear=True)
    assert made["flavour"].tolist() == [[0, 5]]


def many(events=4000):
    random = np.random.default_rng(9)
    rows = [[(float(pt), 0.0, 0.0) for pt in random.uniform(10, 90, 3)] for _ in range(events)]
    return collection(rows, flavour=random.choice([0, 5], (events, 3)).tolist())


def test_rates_of_efficiencies_and_tags_are_their_probabilities():
    items = many()
    scope = scope_of(j=items)
    kept = build_objects(
        "a", Objects(collection="j", efficiency="0.5 + pt / 200", sort_by="none"), scope, seed=1, smear=True
    )
    chance = 0.5 + ak.to_numpy(ak.flatten(items.pt)) / 200
    assert ak.count(kept.pt) == pytest.approx(chance.sum(), abs=4 * np.sqrt((chance * (1 - chance)).sum()))
    tagged = build_objects(
        "b", Objects(collection="j", tags={"b": "where(flavour == 5, 0.77, 0.01)"}), scope, seed=1, smear=True
    )
    for flavour, rate in ((5, 0.77), (0, 0.01)):
        found = ak.to_numpy(ak.flatten(tagged["b"][tagged["flavour"] == flavour]))
        assert set(np.unique(found)) == {0, 1}
        assert found.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / len(found)))


def test_decisions_are_functions_of_seed_event_and_item():
    scope = scope_of(j=many(200))
    objects = Objects(collection="j", tags={"b": "0.5"}, sort_by="none")
    whole = build_objects("jets", objects, scope, seed=7, smear=True)["b"].tolist()
    keep = np.arange(200) % 3 == 0
    assert build_objects("jets", objects, scope.where(keep), seed=7, smear=True)["b"].tolist() == [
        row for row, one in zip(whole, keep, strict=True) if one
    ]
    cut = Objects(collection="j", tags={"b": "0.5"}, cut="b > 0", sort_by="none")
    assert ak.sum(ak.num(build_objects("jets", cut, scope, seed=7, smear=True))) == sum(map(sum, whole))
    assert build_objects("jets", objects, scope, seed=8, smear=True)["b"].tolist() != whole
    assert build_objects("other", objects, scope, seed=7, smear=True)["b"].tolist() != whole


def test_uniform_numbers_fill_the_unit_interval():
    event, item = np.arange(20_000, dtype=np.uint64), np.zeros(20_000, dtype=np.uint64)
    found = counter_uniform(1, "s", event, item)
    assert found.min() >= 0
    assert found.max() < 1
    counts, _ = np.histogram(found, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 950).sum() < 50  # chi2 of 19 degrees of freedom: beyond 4 sigma


def test_data_are_not_thinned_and_must_bring_their_tags():
    scope = scope_of(j=collection([[(20, 0, 0)]], b=[[1]]))
    made = build_objects("a", Objects(collection="j", efficiency="0", tags={"b": "0"}), scope, seed=1, smear=False)
    assert made["b"].tolist() == [[1]]
    with pytest.raises(InvalidInput, match="in data a tag is read, not drawn"):
        build_objects("a", Objects(collection="j", tags={"c": "0.5"}), scope, seed=1, smear=False)


def test_a_probability_outside_of_its_range_is_refused():
    with pytest.raises(InvalidInput, match=r"efficiency of 'a' is 1\.1 .*a probability between 0 and 1") as caught:
        build_objects("a", Objects(collection="j", efficiency="1.1"), scope_of(j=many(5)), seed=1, smear=True)
    assert caught.value.code == "sample.probability"


def test_overlap_removal_follows_distance_and_condition_of_the_item():
    jets = collection([[(50, 0, 0), (40, 1, 3.1), (30, 2, 0)], [(20, 0, 0)]], b=[[1, 0, 0], [0]])
    leptons = collection([[(20, 0.1, 0), (15, 1, -3.1)], []])
    step = Overlap(collection="l", delta_r="0.2")
    made = build_objects(
        "a", Objects(collection="j", remove_near=(step,)), scope_of(j=jets, l=leptons), seed=1, smear=True
    )
    assert made.pt.tolist() == [pytest.approx([30]), pytest.approx([20])]  # 3.1 and -3.1 are 0.08 apart
    untagged = Overlap(collection="l", delta_r="0.2", when="b == 0")
    made = build_objects(
        "a", Objects(collection="j", remove_near=(untagged,)), scope_of(j=jets, l=leptons), seed=1, smear=True
    )
    assert made.pt.tolist() == [pytest.approx([50, 30]), pytest.approx([20])]
    shrinking = Overlap(collection="j", delta_r="min(0.4, 0.04 + 10 / pt)")
    near = collection([[(200, 0.2, 0), (20, 0.2, 0)], []])
    made = build_objects(
        "a", Objects(collection="l", remove_near=(shrinking,)), scope_of(j=jets, l=near), seed=1, smear=True
    )
    assert made.pt.tolist() == [pytest.approx([200]), []]


def test_missing_momentum_is_the_transverse_balance():
    jets, invisible = collection([[(30, 1, 0), (40, -1, np.pi / 2)], []]), collection([[(10, 0, np.pi)], []])
    scope = scope_of(j=jets, i=invisible)
    measured = build_missing_momentum("met", MissingMomentum(minus=("j",)), scope, seed=1, smear=True)
    assert measured.pt.tolist() == [pytest.approx([50]), [0]]
    assert measured.phi[0, 0] == pytest.approx(np.arctan2(-40, -30))
    assert measured.pz.tolist() == [[0], [0]]
    both = build_missing_momentum("met", MissingMomentum(plus=("i",), minus=("j",)), scope, seed=1, smear=True)
    assert both.px[0, 0] == pytest.approx(-40)
    with pytest.raises(InvalidInput, match="needs the collection 'k'"):
        build_missing_momentum("met", MissingMomentum(minus=("k",)), scope, seed=1, smear=True)


def test_the_resolution_of_missing_momentum_follows_the_scalar_sum_and_leaves_data_alone():
    jets = collection([[(100, 0, 0), (100, 0, np.pi)]] * 4000)
    missing = MissingMomentum(minus=("j",), resolution="0.5 * sqrt(sum_pt)")
    scope = scope_of(j=jets)
    made = build_missing_momentum("met", missing, scope, seed=1, smear=True)
    for part in (made.px, made.py):
        assert np.std(ak.to_numpy(part)) == pytest.approx(0.5 * np.sqrt(200), rel=0.05)
    again = build_missing_momentum("met", missing, scope.where(np.arange(4000) > 3990), seed=1, smear=True)
    assert again.px.tolist() == made.px[3991:].tolist()
    assert ak.max(build_missing_momentum("met", missing, scope, seed=1, smear=False).pt) < 1e-9


def test_pairs_are_chosen_by_distance_and_are_disjoint():
    jets = collection(
        [[(50, 0, 0), (40, 0, 2.5), (30, 0, 1), (20, 0, 0.8), (10, 0, 1.9)], [(50, 0, 0), (40, 0, 1)], [(9, 0, 0)]]
    )
    pairs = Candidates(pairs_of="j", choose=("largest_delta_r", "smallest_delta_r"))
    made = build_candidates("bb", pairs, scope_of(j=jets))
    assert made["bb_first"].pt.tolist() == [pytest.approx([50, 30]), pytest.approx([50]), []]
    assert made["bb_second"].pt.tolist() == [pytest.approx([40, 20]), pytest.approx([40]), []]
    expected = np.sqrt(2 * 30 * 20 * (1 - np.cos(0.2)))
    assert made["bb"].mass[0, 1] == pytest.approx(expected)
