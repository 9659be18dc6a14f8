"""The file form of a likelihood."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import (
    EVENTS_FILE,
    LIKELIHOOD_FILE,
    ExtraEvents,
    read_likelihood,
    write_likelihood,
)
from evercast.artifacts.weights import read_tensors, write_tensors
from evercast.errors import IntegrityError, InvalidInput
from evercast.likelihood.model import (
    AnchorMorph,
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
    PolynomialMorph,
    UnbinnedChannelModel,
)


@pytest.fixture
def model() -> LikelihoodModel:
    rng = np.random.default_rng(1)
    unbinned = UnbinnedChannelModel(
        name="SR",
        components=(
            Component(process="S", yield_events=9.5, coefficient="mu"),
            Component(process="B", yield_events=80.0, modifiers=(NormSys(parameter="norm", up=1.1, down=0.9),)),
        ),
        events=EventSet(log_ratio=rng.normal(size=(7, 2)).astype(np.float32), weight=np.ones(7)),
        simulation=EventSet(log_ratio=rng.normal(size=(20, 2)).astype(np.float32), weight=rng.uniform(size=20)),
    )
    modifiers = (
        NormFactor(parameter="mu"),
        HistoSys(parameter="norm", up=np.array([2.0, 3.0]), down=np.array([0.5, 1.0])),
        BinFactor(parameters=("stat_0", None)),
    )
    binned = BinnedChannelModel(
        name="CR",
        samples=(BinnedSample(name="S", nominal=np.array([1.0, 2.0]), modifiers=modifiers),),
        observed=np.array([1.0, 4.0]),
    )
    parameters = (
        ParameterModel(name="mu", initial=1.0, bounds=(0.0, math.inf), poi=True, label="$\\mu$"),
        ParameterModel(name="norm", constraint="normal"),
        ParameterModel(name="stat_0", initial=1.0, constraint="poisson", global_observable=25.0, factor=25.0),
    )
    return LikelihoodModel(name="both", title="a title", parameters=parameters, channels=(unbinned, binned))


def test_a_likelihood_comes_back_as_it_was(model, tmp_path):
    write_likelihood(tmp_path, model)
    found = read_likelihood(tmp_path)
    assert found.parameters == model.parameters
    assert (found.name, found.title, found.asimov) == ("both", "a title", None)
    unbinned, binned = found.channels
    np.testing.assert_array_equal(unbinned.events.log_ratio, model.channels[0].events.log_ratio)
    assert unbinned.events.log_ratio.dtype == np.float32
    np.testing.assert_array_equal(unbinned.simulation.weight, model.channels[0].simulation.weight)
    assert unbinned.components == model.channels[0].components
    np.testing.assert_array_equal(binned.observed, model.channels[1].observed)
    norm_factor, histosys, bin_factor = binned.samples[0].modifiers
    assert norm_factor == NormFactor(parameter="mu")
    np.testing.assert_array_equal(histosys.up, [2.0, 3.0])
    assert bin_factor.parameters == ("stat_0", None)


def morphed(model: LikelihoodModel) -> LikelihoodModel:
    """The same likelihood with two anchors, a polynomial of three terms, and events of the reference."""
    rng = np.random.default_rng(2)

    def events(count: int) -> EventSet:
        columns = {"log_ratio": 2, "log_up": 2, "log_down": 2, "coefficients": 3}
        made = {name: rng.normal(size=(count, width)).astype(np.float32) for name, width in columns.items()}
        return EventSet(**made, weight=rng.uniform(size=count))

    unbinned = replace(
        model.channels[0],
        events=events(7),
        simulation=events(20),
        reference=events(15),
        anchors=(
            AnchorMorph(process="S", parameter="norm"),
            AnchorMorph(process="B", parameter="norm", interpolation="log_linear"),
        ),
        polynomials=(PolynomialMorph(process="B", terms=((("jes", 1),), (("jes", 2),), (("jes", 1), ("norm", 1)))),),
        normalise_morphs=False,
        blind=True,
    )
    parameters = (*model.parameters, ParameterModel(name="jes", constraint="normal"))
    channels = (unbinned, replace(model.channels[1], blind=True))
    return replace(model, parameters=parameters, channels=channels)


def test_morphs_reference_and_blindness_come_back(model, tmp_path):
    wanted = morphed(model)
    write_likelihood(tmp_path, wanted)
    found = read_likelihood(tmp_path)
    first, second = wanted.channels[0], found.channels[0]
    for name in ("components", "anchors", "polynomials", "normalise_morphs", "blind"):
        assert getattr(second, name) == getattr(first, name)
    assert found.channels[1].blind
    for name in ("events", "simulation", "reference"):
        for part in ("log_ratio", "weight", "log_up", "log_down", "coefficients"):
            there, given = getattr(getattr(second, name), part), getattr(getattr(first, name), part)
            np.testing.assert_array_equal(there, given)
            assert there.dtype == given.dtype


@pytest.mark.parametrize("tensor", ["SR.asimov.log_up", "SR.observed.coefficients", "SR.reference.log_down"])
def test_a_morph_without_its_tensor_is_refused(model, tmp_path, tensor):
    write_likelihood(tmp_path, morphed(model))
    found = read_tensors(tmp_path / EVENTS_FILE)
    kept = {name: values for name, values in found.arrays.items() if name != tensor}
    write_tensors(tmp_path / EVENTS_FILE, kept, found.metadata)
    with pytest.raises(IntegrityError, match=f"'{tensor}' is not as declared: found nothing") as caught:
        read_likelihood(tmp_path)
    assert caught.value.code == "likelihood.format"


def test_the_same_likelihood_gives_the_same_bytes(model, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_likelihood(tmp_path / name, model)
    for name in (LIKELIHOOD_FILE, EVENTS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_asimov_data_replace_the_observed_ones(model, tmp_path):
    write_likelihood(tmp_path, replace(model, channels=model.channels[:1]))
    found = read_likelihood(tmp_path, dataset="asimov")
    assert found.asimov == "simulation"
    np.testing.assert_array_equal(found.channels[0].events.weight, model.channels[0].simulation.weight)


def test_asimov_data_without_simulated_events_are_refused(model, tmp_path):
    write_likelihood(tmp_path, replace(model, channels=(replace(model.channels[0], simulation=None),)))
    with pytest.raises(InvalidInput) as caught:
        read_likelihood(tmp_path, dataset="asimov")
    assert caught.value.code == "likelihood.no-asimov"


def test_the_origin_of_simulated_events_and_the_observables_are_stored_beside(model, tmp_path):
    extra = ExtraEvents(asimov_process=np.arange(20) % 2, observables=np.ones((7, 3)))
    write_likelihood(tmp_path, model, extra={"SR": extra})
    tensors = load_file(tmp_path / EVENTS_FILE)
    np.testing.assert_array_equal(tensors["SR.asimov.process"], np.arange(20) % 2)
    assert tensors["SR.observed.observables"].shape == (7, 3)
    assert len(read_likelihood(tmp_path).channels) == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(IntegrityError) as caught:
        read_likelihood(tmp_path)
    assert caught.value.code == "artifact.missing"


def test_events_cut_short_are_refused(model, tmp_path):
    write_likelihood(tmp_path, model)
    content = (tmp_path / EVENTS_FILE).read_bytes()
    (tmp_path / EVENTS_FILE).write_bytes(content[:-100])
    with pytest.raises(IntegrityError) as caught:
        read_likelihood(tmp_path)
    assert caught.value.code == "tensors.damaged"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body["parameters"][0].pop("bounds"), "bounds"),
        (lambda body: body["channels"][0].update(surprise=1), "surprise"),
        (lambda body: body.update(schema="likelihood/9"), "likelihood/9"),
        (lambda body: body["channels"][0].update(observed_events=8), "expected (8, 2)"),
    ],
    ids=["missing key", "unknown key", "another version", "another number of events"],
)
def test_a_damaged_description_is_refused(model, tmp_path, change, words):
    write_likelihood(tmp_path, model)
    body = json.loads((tmp_path / LIKELIHOOD_FILE).read_text())
    change(body)
    (tmp_path / LIKELIHOOD_FILE).write_text(json.dumps(body))
    with pytest.raises(IntegrityError) as caught:
        read_likelihood(tmp_path)
    assert caught.value.code == "likelihood.format"
    assert words in str(caught.value)


def test_a_file_that_is_not_the_one_of_the_manifest_is_refused(model, tmp_path):
    write_likelihood(tmp_path, model)
    files = {name: {"sha256": sha256_file(tmp_path / name)} for name in (LIKELIHOOD_FILE, EVENTS_FILE)}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    read_likelihood(tmp_path)
    write_likelihood(tmp_path, replace(model, title="another title"))
    with pytest.raises(IntegrityError) as caught:
        read_likelihood(tmp_path)
    assert caught.value.code == "likelihood.digest"
