"""SLHA -> Pythia -> Parquet or HepMC3 -> the preserved selection of bottom squarks; and what may go wrong."""

import hashlib
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from evercast.errors import IntegrityError, InvalidInput
from evercast.events.columns import read_scopes
from evercast.events.formats import open_events
from evercast.events.selector import Selector
from evercast.plan.recipes import GenerationRecipe, Task
from evercast.spec import load_analysis
from evercast.spec.model import SlhaFile
from evercast.stages import generation

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
pyhepmc = pytest.importorskip("pyhepmc")
pytest.importorskip("fastjet", reason="needs the extra 'generate'")

SPEC = Path(__file__).parents[2] / "specs" / "atlas-susy-2018-31"
EVENTS = 60


@pytest.fixture(scope="module")
def analysis():
    return load_analysis(SPEC / "selection.yaml")


def generate(folder, generator, *, slha=SPEC / "sbottom_1000_450_60.slha"):
    folder.mkdir()
    recipe = GenerationRecipe(name="sbottom", generator=generator, part=0)
    generation.run(Task(recipe=recipe, inputs={"slha": slha}, output=folder, checkpoint=folder))
    return folder


@pytest.fixture(scope="module")
def files(analysis, tmp_path_factory):
    """The same events as Parquet and as HepMC3."""
    folder = tmp_path_factory.mktemp("sbottom")
    generator = replace(analysis.generators["sbottom"], events=EVENTS, jobs=1)
    whole = replace(generator, truth=False, output="hepmc3")
    return {
        "parquet": generate(folder / "parquet", generator) / "events.parquet",
        "hepmc": generate(folder / "hepmc", whole) / "events.hepmc",
    }


def select(path, analysis, *, smear=True):
    """Select with the same identities of events, whatever the file, so that chance decides alike."""
    selector = Selector(analysis.selection, weight="weight", smear=smear)
    source = open_events(path)
    parts = [selector.select(scope) for scope in read_scopes(source, selector.inputs(), {}, step=50, first_event=0)]
    return selector.cut_flow, np.concatenate([part.observables for part in parts])


@pytest.fixture(scope="module")
def selected(files, analysis):
    return {name: select(path, analysis) for name, path in files.items()}


def test_the_selection_of_hepmc_is_that_of_parquet(selected):
    (flow, values), (same_flow, same_values) = selected["parquet"], selected["hepmc"]
    assert [(step.name, step.events) for step in flow.steps] == [(step.name, step.events) for step in same_flow.steps]
    np.testing.assert_allclose(values, same_values, rtol=1e-9)
    assert flow.steps[0].events == EVENTS


def test_the_share_of_selected_signal_is_that_of_the_publication(selected):
    flow = {step.name: step.events for step in selected["parquet"][0].steps}
    # 0.049 of the events are expected (0.00558 + 0.02515 + 0.01834): 3 of 60
    assert 1 <= flow["region SRA"] <= 11
    assert flow["no lepton"] > flow["at least 6 jets"] > flow["at least 4 b jets"] > flow["region SRA"]


def test_every_event_has_its_b_hadrons_and_no_particle_of_the_final_state_is_lost(files):
    parquet = ak.from_parquet(files["parquet"])
    bottom = ak.sum(parquet.heavy_flavour.flavour == 5, axis=1)
    assert ak.all(bottom >= 2)
    assert ak.mean(bottom) > 3.5  # two of the bottom squarks and 58 % of four of the Higgs bosons
    chunk = next(open_events(files["hepmc"]).chunks(EVENTS, ["particles", "heavy_flavour"]))
    assert ak.num(chunk.particles).tolist() == ak.num(parquet.particles).tolist()
    for found, expected in zip(chunk.heavy_flavour.energy, parquet.heavy_flavour.energy, strict=True):
        assert sorted(found.tolist()) == sorted(expected.tolist())
    np.testing.assert_allclose(ak.to_numpy(ak.sum(chunk.particles.energy, axis=1)), 13000, rtol=1e-6)


def test_a_final_state_alone_is_refused_by_the_name_of_what_is_missing(files, analysis, tmp_path):
    stripped = tmp_path / "final.hepmc"
    with pyhepmc.open(str(files["hepmc"])) as source, pyhepmc.open(str(stripped), "w") as out:
        for number, event in enumerate(source):
            if number == 3:
                break
            bare = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
            vertex = pyhepmc.GenVertex()
            beam = pyhepmc.GenParticle(pyhepmc.FourVector(0, 0, 6500, 6500), 2212, 4)
            vertex.add_particle_in(beam)
            for particle in event.particles:
                if particle.status == 1:
                    vertex.add_particle_out(pyhepmc.GenParticle(particle.momentum, particle.pid, 1))
            bare.add_vertex(vertex)
            bare.weights = [1.0]
            out.write(bare)
    with pytest.raises(InvalidInput, match="b hadrons") as caught:
        select(stripped, analysis)
    assert caught.value.code == "sample.no-b-hadrons"
    columns = pq.read_table(files["parquet"], columns=["particles", "weight"])
    pq.write_table(columns, tmp_path / "final.parquet")
    with pytest.raises(InvalidInput, match="b hadrons") as caught:
        select(tmp_path / "final.parquet", analysis)
    assert caught.value.code == "sample.no-b-hadrons"


def changed(analysis, tmp_path, text, **changes):
    path = tmp_path / "card.slha"
    path.write_text(text)
    file = SlhaFile(path="card.slha", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(analysis.generators["sbottom"], events=2, jobs=1, **({"slha": file} | changes)), path


def test_an_slha_file_of_another_content_is_refused(analysis, tmp_path):
    generator, path = changed(analysis, tmp_path, "BLOCK MASS\n", slha=analysis.generators["sbottom"].slha)
    with pytest.raises(IntegrityError) as caught:
        generate(tmp_path / "out", generator, slha=path)
    assert caught.value.code == "generator.slha-checksum"


def test_an_slha_file_without_masses_is_refused(analysis, tmp_path):
    generator, path = changed(analysis, tmp_path, "<html>not found</html>")
    with pytest.raises(InvalidInput, match="states no masses") as caught:
        generate(tmp_path / "out", generator, slha=path)
    assert caught.value.code == "generator.slha"


def test_a_particle_whose_decays_are_closed_is_named(analysis, tmp_path):
    """A neutralino of 150 GeV has no room for a Higgs boson and one of 60 GeV; Pythia would leave it as it is."""
    text = (
        (SPEC / "sbottom_1000_450_60.slha").read_text().replace("1000023   4.50000000E+02", "1000023   1.50000000E+02")
    )
    generator, path = changed(analysis, tmp_path, text)
    with pytest.raises(InvalidInput, match="particle 1000023 does not decay, though the SLHA") as caught:
        generate(tmp_path / "out", generator, slha=path)
    assert caught.value.code == "generator.undecayed"


def test_settings_name_no_files(analysis, tmp_path):
    generator = analysis.generators["sbottom"]
    wrong = replace(generator, events=2, jobs=1, settings=(*generator.settings, "SLHA:file = /etc/passwd"))
    with pytest.raises(InvalidInput, match="under 'slha'") as caught:
        generate(tmp_path / "out", wrong)
    assert caught.value.code == "generator.setting"
