"""Stage generation with the real Pythia 8, few events."""

import builtins
import json
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from evercast.errors import EnvironmentUnfit, InvalidInput
from evercast.plan.recipes import GenerationRecipe, Task
from evercast.spec.model import Generator
from evercast.stages import generation

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")

SETTINGS = (
    "Beams:eCM = 8000.",
    "HiggsSM:gg2H = on",
    "25:onMode = off",
    "25:onIfMatch = 23 23",
    "23:onMode = off",
    "23:onIfAny = 11 13",
    "PartonLevel:ISR = off",
    "PartonLevel:MPI = off",
    "HadronLevel:all = off",
)


def make_task(folder: Path, *, part: int = 0, events: int = 21, jobs: int = 2, **changes) -> Task[GenerationRecipe]:
    folder.mkdir()
    fields = {
        "program": "pythia8",
        "settings": SETTINGS,
        "events": events,
        "seed": 5,
        "jobs": jobs,
        "keep_pdg": (11, 13),
    }
    generator = Generator(**(fields | changes))
    recipe = GenerationRecipe(name="higgs", generator=generator, part=part)
    return Task(recipe=recipe, inputs={}, output=folder, checkpoint=folder)


def test_events_are_four_leptons_of_the_higgs_mass_with_a_declared_cross_section(tmp_path):
    task = make_task(tmp_path / "out", jobs=1, settings=(*SETTINGS, "PartonLevel:FSR = off"))
    generation.run(task)
    events = ak.from_parquet(task.output / "events.parquet")
    leptons = events.particles
    assert ak.all(ak.num(leptons) == 4)
    assert set(np.unique(abs(ak.to_numpy(ak.flatten(leptons.pdg))))) == {11, 13}
    total = {name: ak.to_numpy(ak.sum(leptons[name], axis=1)) for name in ("energy", "px", "py", "pz")}
    mass = np.sqrt(total["energy"] ** 2 - total["px"] ** 2 - total["py"] ** 2 - total["pz"] ** 2)
    assert np.median(mass) == pytest.approx(125, abs=0.1)
    metadata = json.loads(pq.ParquetFile(task.output / "events.parquet").metadata.metadata[b"evercast"])
    assert metadata == json.loads((task.output / "summary.json").read_text())
    assert metadata["n_generated"] == 21
    assert metadata["sum_of_weights"] == pytest.approx(float(ak.sum(events.weight)))
    # gg -> H at leading order is several pb, times BR(H -> ZZ*) 2.6 % times (2 x 3.4 %)^2: of order 1 fb
    assert 3e-4 < metadata["cross_section_pb"] < 3e-3


def test_parts_share_the_events_and_have_their_own_seeds(tmp_path):
    tasks = [make_task(tmp_path / str(part), part=part) for part in (0, 1)]
    for task in tasks:
        generation.run(task)
    numbers = [pq.read_metadata(task.output / "events.parquet").num_rows for task in tasks]
    assert numbers == [11, 10]
    seeds = [generation.pythia_seed(task.recipe.generator, task.recipe.part) for task in tasks]
    assert seeds[0] != seeds[1]
    first, second = (ak.from_parquet(task.output / "events.parquet").particles for task in tasks)
    assert float(first.px[0, 0]) != float(second.px[0, 0])


def test_the_same_part_gives_the_same_bytes(tmp_path):
    tasks = [make_task(tmp_path / name) for name in ("one", "two")]
    for task in tasks:
        generation.run(task)
    one, two = ((task.output / "events.parquet").read_bytes() for task in tasks)
    assert one == two


def test_without_a_list_all_final_particles_are_kept(tmp_path):
    task = make_task(tmp_path / "out", events=3, jobs=1, keep_pdg=())
    generation.run(task)
    particles = ak.from_parquet(task.output / "events.parquet").particles
    assert ak.all(ak.num(particles) > 4)
    np.testing.assert_allclose(ak.to_numpy(ak.sum(particles.energy, axis=1)), 8000, rtol=1e-6)


@pytest.mark.parametrize(
    "setting",
    [
        "HiggsSM:gg2Higgs = on",  # unknown key
        "Beams:eCM = abc",  # not a number
        "HadronLevel:all = offf",  # Pythia would take it for off
        "# HadronLevel:all = off",  # Pythia would skip it
        "Random:seed = 3",  # belongs to evercast
        "",
    ],
)
def test_a_wrong_setting_is_named(tmp_path, setting):
    task = make_task(tmp_path / "out", settings=(*SETTINGS, setting))
    with pytest.raises(InvalidInput) as caught:
        generation.run(task)
    assert caught.value.code == "generator.setting"
    assert repr(setting) in caught.value.message
    assert caught.value.where == f"$.generators.higgs.settings[{len(SETTINGS)}]"
    assert list(task.output.iterdir()) == []


def test_settings_without_a_process_are_refused_and_pythia_says_why(tmp_path, capfd):
    with pytest.raises(InvalidInput) as caught:
        generation.run(make_task(tmp_path / "out", settings=("Beams:eCM = 8000.",)))
    assert caught.value.code == "generator.init"
    said = capfd.readouterr()
    assert ("no process switched on" in said.err, said.out) == (True, "")


def test_a_part_without_events_is_refused(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        generation.run(make_task(tmp_path / "out", events=1, jobs=2, part=1))
    assert caught.value.code == "generator.events"


def test_a_missing_generator_names_the_extra(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_pythia(name, *args, **kwargs):
        if name == "pythia8mc":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pythia)
    with pytest.raises(EnvironmentUnfit) as caught:
        generation.run(make_task(tmp_path / "out"))
    assert caught.value.code == "generator.missing"
    assert "install the extra 'generate'" in str(caught.value)
    assert "pip install" not in str(caught.value)  # no index has it: whoever registered the name would be trusted
