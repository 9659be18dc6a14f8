"""Angles of H -> ZZ -> 4l against boost matrices, known configurations, invariances and distributions."""

import numpy as np
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from evercast.events.angles import boost_to_rest, cos_helicity, cos_theta_star, phi1_plane, phi_planes


def decay(random: np.random.Generator, parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isotropic decay of `parent` to two massless particles, by an explicit Lorentz matrix."""
    n = len(parent)
    mass = np.sqrt(parent[:, 3] ** 2 - (parent[:, :3] ** 2).sum(axis=1))
    cosine, phi = random.uniform(-1, 1, n), random.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    direction = np.column_stack([sine * np.cos(phi), sine * np.sin(phi), cosine])
    pair = [np.column_stack([sign * direction, np.ones(n)]) * mass[:, None] / 2 for sign in (1, -1)]
    matrix = boost_matrix(parent[:, :3] / parent[:, 3:])
    return tuple(np.einsum("nij,nj->ni", matrix, item) for item in pair)


def boost_matrix(beta: np.ndarray) -> np.ndarray:
    """Lorentz matrices (px, py, pz, E) from the rest frame to velocity `beta`; the textbook form."""
    square = (beta**2).sum(axis=1)
    gamma = 1 / np.sqrt(1 - square)
    matrix = np.zeros((len(beta), 4, 4))
    outer = np.einsum("ni,nj->nij", beta, beta)
    matrix[:, :3, :3] = np.eye(3) + ((gamma - 1) / square)[:, None, None] * outer
    matrix[:, :3, 3] = matrix[:, 3, :3] = gamma[:, None] * beta
    matrix[:, 3, 3] = gamma
    return matrix


def four_leptons(events: int, seed: int = 3) -> tuple[np.ndarray, ...]:
    """X -> Z1 Z2 -> 4 leptons, both decays isotropic, X moving in a random direction."""
    random = np.random.default_rng(seed)
    m, m1, m2 = 125.0, random.uniform(50, 90, events), random.uniform(12, 34, events)
    momentum = np.sqrt((m**2 - (m1 + m2) ** 2) * (m**2 - (m1 - m2) ** 2)) / (2 * m)
    cosine, phi = random.uniform(-1, 1, events), random.uniform(-np.pi, np.pi, events)
    sine = np.sqrt(1 - cosine**2)
    p = momentum[:, None] * np.column_stack([sine * np.cos(phi), sine * np.sin(phi), cosine])
    z1 = np.column_stack([p, np.sqrt(momentum**2 + m1**2)])
    z2 = np.column_stack([-p, np.sqrt(momentum**2 + m2**2)])
    matrix = boost_matrix(random.uniform(-0.5, 0.5, (events, 3)))
    z1, z2 = (np.einsum("nij,nj->ni", matrix, z) for z in (z1, z2))
    return (*decay(random, z1), *decay(random, z2))


def all_angles(leptons: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    l1, l2, l3, l4 = leptons
    z1, z2 = l1 + l2, l3 + l4
    return {
        "cos_theta_star": cos_theta_star(z1, z2),
        "cos_theta_1": cos_helicity(l1, z1, z2),
        "cos_theta_2": cos_helicity(l3, z2, z1),
        "phi": phi_planes(l1, l2, l3, l4),
        "phi1": phi1_plane(l1, l2, l3, l4),
    }


def to_vector(p: np.ndarray) -> vector.VectorNumpy4D:
    return vector.array({"px": p[:, 0], "py": p[:, 1], "pz": p[:, 2], "E": p[:, 3]})


def test_boost_agrees_with_the_vector_package():
    l1, l2, l3, _ = four_leptons(500)
    ours = boost_to_rest(l3, l1 + l2)
    theirs = to_vector(l3).boostCM_of_p4(to_vector(l1 + l2))
    expected = np.column_stack([theirs.px, theirs.py, theirs.pz, theirs.E])
    np.testing.assert_allclose(ours, expected, atol=1e-10)  # GeV, of 100: rounding of double precision


def test_angles_agree_with_the_formulas_of_the_paper_in_the_frames_it_names():
    """arXiv:1001.3396 / 1208.4018 eq. (1): arccos with a sign, after boosts by the vector package."""
    l1, l2, l3, l4 = leptons = four_leptons(2000)
    x = to_vector(l1 + l2 + l3 + l4)
    q = [to_vector(item).boostCM_of_p4(x) for item in leptons]
    q11, q12, q21, q22 = (np.column_stack([item.px, item.py, item.pz]) for item in q)

    def unit(a):
        return a / np.linalg.norm(a, axis=1, keepdims=True)

    def dot(a, b):
        return (a * b).sum(axis=1)

    q1 = q11 + q12
    n1, n2 = unit(np.cross(q11, q12)), unit(np.cross(q21, q22))
    scattering = unit(np.cross([0, 0, 1], q1))
    expected = {
        "cos_theta_star": unit(q1)[:, 2],
        "phi": np.sign(dot(q1, np.cross(n1, n2))) * np.arccos(-dot(n1, n2)),
        "phi1": np.sign(dot(q1, np.cross(n1, scattering))) * np.arccos(dot(n1, scattering)),
    }
    for name, lepton, parent, other in (("cos_theta_1", l1, l1 + l2, l3 + l4), ("cos_theta_2", l3, l3 + l4, l1 + l2)):
        frame = to_vector(parent)
        a, b = to_vector(lepton).boostCM_of_p4(frame), to_vector(other).boostCM_of_p4(frame)
        expected[name] = -a.to_Vector3D().unit().dot(b.to_Vector3D().unit())
    found = all_angles(leptons)
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name], values, atol=2e-7, err_msg=name
        )  # arccos loses half the digits at its ends


@pytest.mark.parametrize("name", ["cos_theta_star", "cos_theta_1", "cos_theta_2"])
def test_isotropic_decays_give_flat_cosines(name):
    assert kstest(all_angles(four_leptons(20_000))[name], "uniform", (-1, 2)).pvalue > 1e-4


@pytest.mark.parametrize("name", ["phi", "phi1"])
def test_isotropic_decays_give_flat_angles_between_planes(name):
    values = all_angles(four_leptons(20_000))[name]
    assert kstest(values, "uniform", (-np.pi, 2 * np.pi)).pvalue > 1e-4
    assert values.min() > -np.pi
    assert values.max() <= np.pi


def test_at_rest_in_one_plane_the_angles_are_those_drawn_on_paper():
    z1 = np.array([[30.0, 0.0, 0.0, 70.0]])
    side = np.array([[0.0, 0.0, 20.0, 0.0]])
    l1, l2 = z1 / 2 + side, z1 / 2 - side
    z2 = np.array([[-30.0, 0.0, 0.0, 55.0]])
    l3, l4 = z2 / 2 + side, z2 / 2 - side
    angles = all_angles((l1, l2, l3, l4))
    assert angles["cos_theta_star"] == pytest.approx(0, abs=1e-15)  # Z1 goes along x
    assert angles["phi"] == pytest.approx(0, abs=1e-15)  # both planes are xz, l1 and l3 on one side
    assert abs(angles["phi1"]) == pytest.approx(0, abs=1e-15)  # the plane of beam and Z1 is xz too
    assert phi_planes(l1, l2, l4, l3) == pytest.approx(np.pi)
    turned = np.array([[0.0, 20.0, 0.0, 0.0]])
    assert phi_planes(l1, l2, z2 / 2 + turned, z2 / 2 - turned) == pytest.approx(
        phi_planes(l3, l4, z1 / 2 + turned, z1 / 2 - turned) * -1
    )
    assert abs(phi_planes(l1, l2, z2 / 2 + turned, z2 / 2 - turned)) == pytest.approx(np.pi / 2)


@given(beta=st.floats(-0.95, 0.95), turn=st.floats(-3.0, 3.0))
def test_a_boost_along_the_beam_and_a_turn_about_it_change_nothing(beta, turn):
    leptons = four_leptons(20)
    gamma = 1 / np.sqrt(1 - beta**2)
    boost = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, gamma, gamma * beta], [0, 0, gamma * beta, gamma]])
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    before, after = all_angles(leptons), all_angles(tuple(item @ rotation.T for item in leptons))
    for name, values in before.items():
        np.testing.assert_allclose(np.exp(1j * after[name]), np.exp(1j * values), atol=1e-9, err_msg=name)
    boosted = all_angles(tuple(item @ boost.T for item in leptons))
    for name in ("cos_theta_1", "cos_theta_2", "phi"):  # the beam axis in the X frame moves for an X with pT
        np.testing.assert_allclose(np.exp(1j * boosted[name]), np.exp(1j * before[name]), atol=1e-7, err_msg=name)


def test_exchanging_lepton_and_antilepton_turns_the_helicity_angle_around():
    l1, l2, l3, l4 = four_leptons(100)
    np.testing.assert_allclose(cos_helicity(l2, l1 + l2, l3 + l4), -cos_helicity(l1, l1 + l2, l3 + l4), atol=1e-9)


def test_without_a_plane_or_a_rest_frame_there_is_no_angle():
    line = np.array([[1.0, 0.0, 0.0, 1.0]])
    assert np.isnan(phi_planes(line, line, -line * [1, 1, 1, -1], -line * [1, 1, 1, -1])).all()
    assert np.isnan(boost_to_rest(line, line)).any()
