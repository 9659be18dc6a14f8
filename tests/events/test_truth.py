"""Heavy flavour and prompt leptons of records whose history is written by hand."""

import numpy as np
import pytest

from evercast.events.truth import Record, has_history, heavy_flavour, is_hadron, prompt


def record(*rows, count=None):
    """Rows of (pdg, mother, final); energies tell the particles apart."""
    pdg, mother, final = (np.array(column) for column in zip(*rows, strict=True))
    energy = np.arange(1.0, len(rows) + 1)
    momentum = np.column_stack([energy, 0 * energy, 0 * energy, energy])
    counts = np.array([len(rows)] if count is None else count, dtype=np.int64)
    return Record(
        count=counts,
        pdg=pdg.astype(np.int64),
        mother=mother.astype(np.int64),
        final=final.astype(bool),
        momentum=momentum,
    )


def test_the_last_b_hadron_and_the_c_hadron_of_its_decay_count():
    event = record(
        (2212, -1, 0), (5, 0, 0), (513, 1, 0), (511, 2, 0), (22, 2, 1), (-421, 3, 0), (211, 3, 1), (321, 5, 1)
    )
    found = heavy_flavour(event)
    assert found["pdg"].tolist() == [[511, -421]]
    assert found["flavour"].tolist() == [[5, 4]]
    assert has_history(event)


def test_quarkonia_and_beams_are_no_heavy_flavour():
    found = heavy_flavour(record((2212, -1, 0), (443, 0, 0), (13, 1, 1), (-13, 1, 1), (553, 0, 1)))
    assert found["pdg"].tolist() == [[]]


def test_a_tau_counts_with_its_visible_momentum_where_it_decays_to_hadrons():
    hadronic = ((23, -1, 0), (15, 0, 0), (15, 1, 0), (16, 2, 1), (-211, 2, 1))
    found = heavy_flavour(record(*hadronic))
    assert found["flavour"].tolist() == [[15]]
    assert found["px"].tolist() == [[-1]]  # 3 of the last tau less 4 of its neutrino, as the energies are made up
    leptonic = ((23, -1, 0), (15, 0, 0), (16, 1, 1), (13, 1, 1), (-14, 1, 1))
    assert heavy_flavour(record(*leptonic))["flavour"].tolist() == [[]]


def test_leptons_of_hadrons_are_not_prompt_and_others_are_ordered_by_pt():
    rows = (
        (2212, -1, 0), (24, 0, 0), (11, 1, 1), (15, 1, 0), (13, 3, 1), (511, 0, 0), (-15, 5, 0), (-13, 6, 1),
        (111, 0, 0), (22, 8, 1), (22, 1, 1), (12, 1, 1),
    )  # fmt: skip
    found = prompt(record(*rows))
    assert found["pdg"].tolist() == [
        [22, 13, 11]
    ]  # the muon of b -> tau -> mu and the photon of the pion are not there


def test_events_are_kept_apart():
    event = ((2212, -1, 0), (511, 0, 0), (11, 0, 1))
    shifted = ((2212, -1, 0), (411, 3, 0), (13, 3, 1))
    both = record(*event, *shifted, count=[3, 3])
    assert heavy_flavour(both)["flavour"].tolist() == [[5], [4]]
    assert prompt(both)["pdg"].tolist() == [[11], [13]]


def test_a_final_state_alone_has_no_history():
    assert not has_history(record((211, -1, 1), (521, -1, 1), (22, -1, 1)))


@pytest.mark.parametrize(
    ("pdg", "expected"),
    [(511, True), (-5122, True), (130, True), (443, True), (9010221, True), (1000005, False), (1009213, False),
     (22, False), (2203, False), (1000010020, False)],
)  # fmt: skip
def test_hadrons_are_told_by_their_numbers(pdg, expected):
    assert is_hadron(np.array([pdg])).tolist() == [expected]
