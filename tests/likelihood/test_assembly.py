"""Likelihoods put together from templates, log ratios and all kinds of systematics, against pyhf and closed forms."""

from dataclasses import replace

import numpy as np
import pyhf
import pytest

from evercast.errors import InvalidInput
from evercast.likelihood.assembly import (
    BinnedInput,
    Physics,
    Template,
    UnbinnedInput,
    VariedTemplate,
    VariedYield,
    assemble,
    to_workspace,
)
from evercast.likelihood.assembly_modes import principal_modes
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from evercast.likelihood.model import AnchorMorph, EventSet, HistoSys, LikelihoodModel, NormFactor, NormSys
from evercast.spec.model import (
    KinematicSystematic,
    NormalisationSystematic,
    Parameter,
    Process,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
    VariedSamples,
    WeightSystematic,
)

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it

S, B = np.array([4.0, 9.0, 3.0]), np.array([50.0, 30.0, 20.0])
B_UP, B_DOWN = np.array([58.0, 33.0, 19.0]), np.array([41.0, 28.0, 22.0])


def physics(**systematics: Systematic) -> Physics:
    return Physics(
        parameters={"mu": Parameter(initial=1.0, bounds=(0.0, 10.0), poi=True)},
        processes={"S": Process(sample="s", coefficient="mu"), "B": Process(sample="b")},
        systematics=systematics,
    )


def channel(name: str = "SR", **varied: VariedTemplate) -> BinnedInput:
    return BinnedInput(
        name=name,
        templates=(
            Template(process="S", nominal=S, variance=0.1 * S),
            Template(process="B", nominal=B, variance=0.2 * B, varied=varied),
        ),
        observed=np.array([52.0, 41.0, 25.0]),
    )


def kinematic(effect: str = "normalisation+shape", **changes) -> KinematicSystematic:
    return KinematicSystematic(
        kind="kinematic", processes=("B",), up={"x": 1.1}, down={"x": 0.9}, effect=effect, **changes
    )


def luminosity(**changes) -> NormalisationSystematic:
    fields = {"processes": ("S", "B"), "up": 1.02, "down": 0.98} | changes
    return NormalisationSystematic(kind="normalisation", **fields)


def modifiers(model: LikelihoodModel, process: str = "B", number: int = 0) -> dict[str, object]:
    found = next(sample for sample in model.channels[number].samples if sample.name == process)
    return {one.parameter: one for one in found.modifiers if isinstance(one, NormSys | HistoSys | NormFactor)}


VARIED = VariedTemplate(up=B_UP, down=B_DOWN)


def test_both_effects_are_a_histosys_of_the_varied_templates():
    model = assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=physics(jes=kinematic()))
    made = modifiers(model)["jes"]
    assert isinstance(made, HistoSys)
    np.testing.assert_array_equal(made.up, B_UP)
    np.testing.assert_array_equal(made.down, B_DOWN)
    likelihood = Likelihood(model)
    rates = likelihood.expected_events(at(likelihood, jes=1.0, mu=0.0))["SR"]
    np.testing.assert_allclose(rates, B_UP)


def test_the_shape_alone_has_the_nominal_sum():
    model = assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=physics(jes=kinematic("shape")))
    made = modifiers(model)["jes"]
    np.testing.assert_allclose(made.up, B_UP * 100.0 / 110.0)
    np.testing.assert_allclose(made.down, B_DOWN * 100.0 / 91.0)


def test_the_yield_alone_is_a_normsys_of_the_sums():
    model = assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=physics(jes=kinematic("normalisation")))
    assert modifiers(model)["jes"] == NormSys(parameter="jes", up=1.10, down=0.91)


def at(likelihood: Likelihood, **values: float) -> np.ndarray:
    point = likelihood.initial.copy()
    for name, value in values.items():
        point[likelihood.index(name)] = value
    return point


@pytest.mark.parametrize("symmetrise", [False, True])
@pytest.mark.parametrize(
    ("effect", "up", "mirror"),
    [
        ("normalisation+shape", B_UP, 2 * B - B_UP),
        ("shape", B_UP / 1.1, 2 * B - B_UP / 1.1),
    ],
)
def test_a_two_point_systematic_has_one_side_or_its_mirror_image(effect, up, mirror, symmetrise):
    systematic = TwoPointSystematic(kind="two_point", samples={"B": "other"}, symmetrise=symmetrise, effect=effect)
    model = assemble("one", binned=[channel(ps=VariedTemplate(up=B_UP))], unbinned=[], physics=physics(ps=systematic))
    made = modifiers(model)["ps"]
    np.testing.assert_allclose(made.up, up)
    np.testing.assert_allclose(made.down, mirror if symmetrise else B)


@pytest.mark.parametrize(("symmetrise", "down"), [(False, 1.0), (True, 1 / 1.1)])
def test_the_yield_of_a_two_point_systematic_is_mirrored_as_a_factor(symmetrise, down):
    systematic = TwoPointSystematic(
        kind="two_point", samples={"B": "other"}, symmetrise=symmetrise, effect="normalisation"
    )
    model = assemble("one", binned=[channel(ps=VariedTemplate(up=B_UP))], unbinned=[], physics=physics(ps=systematic))
    made = modifiers(model)["ps"]
    assert (made.up, made.down) == (pytest.approx(1.1), pytest.approx(down))


def test_a_normalisation_acts_in_its_channels_with_its_code():
    system = physics(lumi=luminosity(code=1, channels=("SR",), parameter="alpha_lumi", title="luminosity"))
    model = assemble("one", binned=[channel(), channel("CR")], unbinned=[], physics=system)
    assert [one.name for one in model.channels] == ["CR", "SR"]
    assert modifiers(model, number=1)["alpha_lumi"] == NormSys(parameter="alpha_lumi", up=1.02, down=0.98, code="1")
    assert "alpha_lumi" not in modifiers(model, number=0)
    parameter = next(one for one in model.parameters if one.name == "alpha_lumi")
    assert (parameter.constraint, parameter.bounds, parameter.label) == ("normal", (-5.0, 5.0), "luminosity")
    likelihood = Likelihood(model)
    rates = likelihood.expected_events(at(likelihood, alpha_lumi=0.5))
    np.testing.assert_allclose(rates["SR"], (S + B) * 1.02**0.5)
    np.testing.assert_allclose(rates["CR"], S + B)


def test_systematics_of_one_parameter_are_correlated_and_multiply():
    system = physics(
        acceptance=luminosity(up=1.1, down=0.9, parameter="scale", processes=("B",)),
        cross_section=luminosity(up=1.2, down=0.8, parameter="scale"),
        jes=kinematic(parameter="scale"),
    )
    model = assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=system)
    assert model.parameter_names[:2] == ("mu", "scale")
    assert sum(one.constraint == "normal" and "mcstat" not in one.name for one in model.parameters) == 1
    likelihood = Likelihood(model)
    rates = likelihood.expected_events(at(likelihood, scale=1.0))["SR"]
    np.testing.assert_allclose(rates, 1.2 * S + 1.1 * 1.2 * B_UP)


def all_kinds() -> tuple[list[BinnedInput], Physics]:
    """Two channels, a free normalisation, and every kind of systematic."""
    system = Physics(
        parameters={
            "mu": Parameter(initial=1.0, bounds=(0.0, 10.0), poi=True),
            "k_b": Parameter(initial=1.0, bounds=(0.0, 5.0)),
        },
        processes={"S": Process(sample="s", coefficient="mu"), "B": Process(sample="b", coefficient="k_b")},
        systematics={
            "luminosity": luminosity(),
            "b_norm": luminosity(processes=("B",), up=1.3, down=0.8, channels=("SR",)),
            "jes": kinematic(),
            "jer": kinematic("shape"),
            "isr": WeightSystematic(kind="weight", processes=("B",), up="1.1", down="0.9", effect="normalisation"),
            "shower": TwoPointSystematic(kind="two_point", samples={"B": "other"}),
            "generator": TwoPointSystematic(kind="two_point", samples={"B": "other"}, symmetrise=True),
            "anti": SampleSystematic(
                kind="normalisation+shape", samples={"B": VariedSamples(up="u", down="d")}, parameter="luminosity"
            ),
        },
    )
    random = np.random.default_rng(4)

    def wobble() -> np.ndarray:
        return B * random.uniform(0.9, 1.1, 3)

    varied = {name: VariedTemplate(up=wobble(), down=wobble()) for name in ("jes", "jer", "isr", "anti")}
    varied |= {name: VariedTemplate(up=wobble()) for name in ("shower", "generator")}
    return [channel(**varied), channel("CR", **varied)], system


def test_the_workspace_of_all_kinds_has_the_same_likelihood_in_pyhf():
    """-2 ln L of the model that is assembled, of the workspace read back, and of pyhf; relative to 1e-9."""
    binned, system = all_kinds()
    body = to_workspace(binned, system, measurement="all")
    ours = Likelihood(assemble("all", binned=binned, unbinned=[], physics=system))
    again = Likelihood(read_workspace(body))
    workspace = pyhf.Workspace(body)
    theirs = workspace.model()
    data = workspace.data(theirs)
    random = np.random.default_rng(8)
    for _ in range(20):
        point = {name: random.normal(0.0, 1.2) for name in ours.names}
        point |= {name: random.uniform(0.8, 1.2) for name in ours.names if name[:2] in ("mu", "k_", "mc")}
        values = [
            point[name] if width == 1 and name in point else point[f"{name}[{i}]"]
            for name in theirs.config.par_order
            for width in [theirs.config.par_slice(name).stop - theirs.config.par_slice(name).start]
            for i in range(width)
        ]
        expected = -2 * theirs.logpdf(values, data).item()
        assert ours.twice_nll(np.array([point[name] for name in ours.names])) == pytest.approx(expected, rel=1e-9)
        assert again.twice_nll(np.array([point[name] for name in again.names])) == pytest.approx(expected, rel=1e-9)


def test_code_1_is_fitted_here_and_refused_as_pyhf():
    system = physics(lumi=luminosity(code=1))
    model = assemble("one", binned=[channel()], unbinned=[], physics=system)
    assert modifiers(model)["lumi"].code == "1"
    with pytest.raises(InvalidInput, match=r"'lumi' .* interpolation code 1") as caught:
        to_workspace([channel()], system, measurement="m")
    assert caught.value.code == "likelihood.not-histfactory"


def test_a_free_normalisation_is_shared_by_a_control_region_and_an_unbinned_channel():
    """k_zz is fixed by the control region to observed / expected, and scales the unbinned component."""
    system = Physics(
        parameters={
            "mu": Parameter(initial=1.0, bounds=(0.0, 10.0), poi=True),
            "k_zz": Parameter(initial=1.0, bounds=(0.0, 5.0)),
        },
        processes={"S": Process(sample="s", coefficient="mu"), "B": Process(sample="b", coefficient="k_zz")},
        systematics={},
    )
    control = BinnedInput(
        name="CR", templates=(Template(process="B", nominal=np.array([200.0])),), observed=np.array([260.0])
    )
    ratios = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    signal = UnbinnedInput(
        name="SR", yields={"S": 10.0, "B": 30.0}, observed=EventSet(log_ratio=ratios, weight=np.ones(40))
    )
    likelihood = Likelihood(assemble("one", binned=[control], unbinned=[signal], physics=system))
    assert likelihood.names == ("mu", "k_zz")
    point = at(likelihood, mu=1.4, k_zz=1.3)
    np.testing.assert_allclose(likelihood.expected_events(point)["CR"], [260.0])
    np.testing.assert_allclose(likelihood.expected_events(point)["SR"], [14.0, 39.0])
    total = np.log(np.exp(ratios.astype(float)) @ np.array([14.0, 39.0])).sum()
    lowest = 2 * (260.0 - 260.0 * np.log(260.0) + np.sum(np.log(np.arange(1, 261))))  # a count at its expectation
    assert likelihood.twice_nll(point) == pytest.approx(2 * (53.0 - total) + lowest, rel=1e-12)


def events(count: int, anchors: int, *, seed: int) -> EventSet:
    random = np.random.default_rng(seed)
    columns = {name: random.normal(0, 0.1, (count, anchors)).astype(np.float32) for name in ("log_up", "log_down")}
    ratio = random.normal(0, 0.5, (count, 2)).astype(np.float32)
    return EventSet(log_ratio=ratio, weight=np.ones(count), **columns)


def unbinned(**changes) -> UnbinnedInput:
    fields = {
        "name": "SR",
        "yields": {"S": 10.0, "B": 30.0},
        "observed": events(40, 1, seed=1),
        "reference": events(60, 1, seed=2),
        "anchors": (AnchorMorph(process="B", parameter="jes"),),
        "varied": {("jes", "B"): VariedYield(up=1.1, down=0.95)},
    }
    return UnbinnedInput(**(fields | changes))


def test_an_unbinned_channel_gets_yields_and_morphs():
    system = physics(lumi=luminosity(), jes=kinematic(title="energy scale"))
    model = assemble("one", binned=[], unbinned=[unbinned(blind=True)], physics=system)
    made = model.channels[0]
    assert made.components[1].modifiers == (
        NormSys(parameter="lumi", up=1.02, down=0.98),
        NormSys(parameter="jes", up=1.1, down=0.95),
    )
    assert made.anchors == (AnchorMorph(process="B", parameter="jes"),)
    assert (made.blind, len(made.reference.weight)) == (True, 60)
    assert model.parameter_names == ("mu", "lumi", "jes")
    assert np.isfinite(Likelihood(model).twice_nll(np.array([1.0, 0.3, -0.4])))


def test_a_shape_leaves_the_yield_of_an_unbinned_channel():
    system = physics(jes=kinematic("shape"))
    model = assemble("one", binned=[], unbinned=[unbinned(varied={})], physics=system)
    assert model.channels[0].components[1].modifiers == ()
    assert model.parameter_names == ("mu", "jes")


def test_coefficients_of_a_basis_replace_those_of_the_processes():
    system = replace(physics(), coefficients={"S": "mu - sqrt(mu)", "B": "sqrt(mu)"})
    ratios = EventSet(log_ratio=np.zeros((3, 2), dtype=np.float32), weight=np.ones(3))
    model = assemble(
        "one", binned=[channel()], unbinned=[unbinned(name="U", observed=ratios, anchors=(), reference=None)],
        physics=system,
    )  # fmt: skip
    assert [one.coefficient for one in model.channels[1].components] == ["mu - sqrt(mu)", "sqrt(mu)"]
    assert {one.name: one.coefficient for one in model.channels[0].samples} == {"S": "mu - sqrt(mu)", "B": "sqrt(mu)"}
    with pytest.raises(InvalidInput, match=r"'mu - sqrt\(mu\)' of process 'S'"):
        to_workspace([channel()], system, measurement="m")


def same(values: EventSet) -> EventSet:
    return replace(values, log_down=values.log_up)


IDENTICAL = {
    "normalisation": ([], [channel()], {"nuisance": luminosity(up=1.1, down=1.1)}),
    "templates": ([], [channel(nuisance=VariedTemplate(up=B_UP, down=B_UP))], {"nuisance": kinematic()}),
    "templates with a parameter": (
        [], [channel(a=VariedTemplate(up=B_UP, down=B_UP))], {"a": kinematic(parameter="nuisance")}
    ),
    "the alternative is the nominal": (
        [], [channel(nuisance=VariedTemplate(up=B))],
        {"nuisance": TwoPointSystematic(kind="two_point", samples={"B": "b"})},
    ),
    "log ratios": (
        [unbinned(observed=same(events(40, 1, seed=1)), reference=same(events(60, 1, seed=2)), varied={},
                  anchors=(AnchorMorph(process="B", parameter="nuisance"),))],
        [], {"nuisance": kinematic("shape")},
    ),
    "events of an unbinned yield": (
        [unbinned(anchors=(), observed=EventSet(log_ratio=np.zeros((3, 2)), weight=np.ones(3)), reference=None,
                  varied={("nuisance", "B"): VariedYield(up=1.1, down=1.1, identical=True)})],
        [], {"nuisance": kinematic("normalisation")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IDENTICAL)
def test_a_parameter_whose_up_is_its_down_is_named(case):
    unbinned_channels, binned, systematics = IDENTICAL[case]
    with pytest.raises(InvalidInput, match="nuisance parameter 'nuisance' are identical") as caught:
        assemble("one", binned=binned, unbinned=unbinned_channels, physics=physics(**systematics))
    assert caught.value.code == "systematic.identical"


def test_a_parameter_that_moves_one_channel_only_is_kept():
    """In the control region up is down; the signal region tells the two apart."""
    system = physics(jes=kinematic())
    control = channel("CR", jes=VariedTemplate(up=B_UP, down=B_UP))
    model = assemble("one", binned=[channel(jes=VARIED), control], unbinned=[], physics=system)
    assert "jes" in model.parameter_names


def test_a_shape_in_a_single_bin_is_left_out():
    one = BinnedInput(
        name="total",
        templates=(
            Template(
                process="B",
                nominal=np.array([30.0]),
                varied={"jes": VariedTemplate(up=np.array([33.0]), down=np.array([28.0]))},
            ),
        ),
        observed=np.array([31.0]),
    )
    model = assemble("one", binned=[one], unbinned=[], physics=physics(jes=kinematic("shape")))
    assert model.parameter_names == ()


@pytest.mark.parametrize(
    ("given", "systematic", "code", "words"),
    [
        ({}, kinematic(), "systematic.missing", "'jes' has no varied templates of process 'B'"),
        ({"jes": VariedTemplate(up=B_UP)}, kinematic(), "systematic.missing", "'jes' has no varied templates"),
        ({"jes": VariedTemplate(up=0 * B, down=B_DOWN)}, kinematic(), "systematic.empty", "'jes', up: .* sum of 0"),
        ({"jes": VariedTemplate(up=B_UP, down=-B_DOWN)}, kinematic(), "systematic.empty", "'jes', down: .* sum of -91"),
        ({"jes": VariedTemplate(up=B_UP[:2], down=B_DOWN[:2])}, kinematic(), "systematic.bins", "2 bins"),
        (
            {"jes": VariedTemplate(up=B_UP, down=np.array([90.0, 40.0, -30.0]))},
            kinematic(),
            "systematic.negative-total",
            "bin 2 are -27 at jes = -1",
        ),
        (
            {"jes": VariedTemplate(up=2.5 * B)},
            TwoPointSystematic(kind="two_point", samples={"B": "b"}, symmetrise=True),
            "systematic.negative-total",
            "mirror image of the alternative has a sum of -50",
        ),
    ],
)
def test_varied_templates_that_cannot_be_are_refused(given, systematic, code, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        assemble("one", binned=[channel(**given)], unbinned=[], physics=physics(jes=systematic))
    assert caught.value.code == code


def test_two_shapes_of_one_parameter_on_one_process_are_refused():
    system = physics(a=kinematic(parameter="p"), b=kinematic(parameter="p"))
    with pytest.raises(InvalidInput, match=r"'p' changes the template of process 'B' .*'b' is the second") as caught:
        assemble("one", binned=[channel(a=VARIED, b=VARIED)], unbinned=[], physics=system)
    assert caught.value.code == "systematic.repeated"


@pytest.mark.parametrize(
    ("varied", "code"),
    [({}, "systematic.missing"), ({("jes", "B"): VariedYield(up=0.0, down=1.0)}, "systematic.empty")],
)
def test_varied_yields_that_cannot_be_are_refused(varied, code):
    with pytest.raises(InvalidInput, match="systematic 'jes'") as caught:
        assemble("one", binned=[], unbinned=[unbinned(varied=varied)], physics=physics(jes=kinematic()))
    assert caught.value.code == code


@pytest.mark.parametrize("declared", [Parameter(), Parameter(constraint="normal", initial=1.0)])
def test_a_nuisance_parameter_that_is_declared_otherwise_is_refused(declared):
    system = physics(jes=kinematic())
    system = replace(system, parameters={**system.parameters, "jes": declared})
    with pytest.raises(InvalidInput, match="'jes' is the nuisance parameter of a systematic") as caught:
        assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=system)
    assert caught.value.code == "systematic.definition"


def test_a_declared_nuisance_parameter_may_have_its_own_bounds():
    system = physics(jes=kinematic())
    declared = Parameter(constraint="normal", bounds=(-3.0, 3.0), label="JES")
    system = replace(system, parameters={**system.parameters, "jes": declared})
    model = assemble("one", binned=[channel(jes=VARIED)], unbinned=[], physics=system)
    found = next(one for one in model.parameters if one.name == "jes")
    assert (found.bounds, found.label, found.constraint) == ((-3.0, 3.0), "JES", "normal")


def test_modes_are_the_directions_in_which_replicas_scatter():
    """Two orthogonal functions with known spreads; replicas are exactly their combinations."""
    random = np.random.default_rng(5)
    x = np.linspace(-1, 1, 500)
    weight = np.ones(500)
    first, second = np.stack([x, 2 * x], axis=1), np.stack([2 * x**2, -(x**2)], axis=1)  # (events, processes)
    a, b = random.normal(size=12), random.normal(size=12)
    a, b = a - a.mean(), b - b.mean()
    b -= a * (a @ b) / (a @ a)
    a, b = (0.3 * np.sqrt(11) * one / np.linalg.norm(one) for one in (a, b))
    replicas = 0.7 + first[..., None] * a + 0.1 * second[..., None] * b
    modes = principal_modes(replicas, weight, count=2)
    found = modes.of(replicas)
    np.testing.assert_allclose(np.abs(found[..., 0]), np.abs(0.3 * first), atol=1e-6)
    np.testing.assert_allclose(np.abs(found[..., 1]), np.abs(0.03 * second), atol=1e-6)
    variance = np.var(replicas, axis=2, ddof=1)
    np.testing.assert_allclose((found.astype(float) ** 2).sum(axis=2), variance, rtol=1e-5)  # float32
    assert modes.explained.sum() == pytest.approx(1.0)


def test_modes_are_of_the_same_sign_whatever_the_order_of_events():
    replicas = np.random.default_rng(6).normal(size=(50, 2, 8))
    order = np.random.default_rng(7).permutation(50)
    one = principal_modes(replicas, np.ones(50), count=3)
    two = principal_modes(replicas[order], np.ones(50), count=3)
    np.testing.assert_allclose(one.loadings, two.loadings, atol=1e-9)


@pytest.mark.parametrize("count", [8, 4])
def test_more_modes_than_there_are_directions_are_refused(count):
    replicas = np.zeros((50, 2, 8))
    replicas[:, 0] = np.linspace(0, 1, 50)[:, None] * np.arange(8)
    with pytest.raises(InvalidInput) as caught:
        principal_modes(replicas, np.ones(50), count=count)
    assert caught.value.code == "training-statistics.modes"


def test_statistics_of_templates_that_cancel_are_those_of_what_is_expected():
    """At mu = 1 only SBI is expected, f = (0, 1, 0): its own relative error, not that of the sum of three templates."""
    nominal = np.array([40.0, 10.0])
    templates = tuple(Template(process=name, nominal=nominal, variance=0.04 * nominal) for name in ("S", "SBI", "B"))
    formulas = {"S": "mu - sqrt(mu)", "SBI": "sqrt(mu)", "B": "1 - sqrt(mu)"}
    system = replace(
        physics(),
        processes={name: Process(sample=name.lower(), coefficient=text) for name, text in formulas.items()},
    )
    given = BinnedInput(name="SR", templates=templates, observed=nominal)
    model = assemble("l", binned=[given], unbinned=[], physics=system)
    widths = [one.width for one in model.parameters if one.name.startswith("mcstat_SR")]
    np.testing.assert_allclose(widths, 0.2 / np.sqrt(nominal), rtol=1e-12)
