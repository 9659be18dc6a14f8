"""Public files, where the machine has them: CMS four-lepton events and histograms, samples of other programs."""

import awkward as ak
import numpy as np
import pytest

from evercast.events.candidates import build_candidates
from evercast.events.columns import read_scopes
from evercast.events.evaluate import Formula, Scope, evaluate_number
from evercast.events.formats import open_events
from evercast.events.histograms import read_histogram, read_th1
from evercast.events.objects import build_objects
from evercast.spec.expressions import parse
from evercast.spec.model import Candidates, Histogram, HistogramTerm, Objects

LETTERS = {"pdg": "PID", "px": "px", "py": "py", "pz": "pz", "energy": "E"}
COLLECTIONS = {"particles": {name: tuple(f"{letter}{i}" for i in range(1, 5)) for name, letter in LETTERS.items()}}
CHANNELS = {"4mu": "DoubleMu", "2e2mu": "DoubleMu", "4e": "DoubleE"}


def number(text: str, scope: Scope) -> np.ndarray:
    return evaluate_number(Formula(what=text, text=text, tree=parse(text)), scope)


def cms_events(real_data, name: str) -> Scope:
    """Events of one CSV file with leptons and Z candidates."""
    source = open_events(real_data / "cms-h4l" / f"{name}.csv")
    (scope,) = read_scopes(
        source, ["particles", "mZ1", "mZ2", "M", *(f"Q{i}" for i in range(1, 5))], COLLECTIONS, step=1000, first_event=0
    )
    leptons = build_objects("leptons", Objects(collection="particles", pdg=(11, 13)), scope, seed=0, smear=False)
    scope = scope.with_values({"leptons": leptons})
    return scope.with_values(build_candidates("z", Candidates(pairs_of="leptons", mass_target_gev=91.1876), scope))


ALL = [f"{channel}_{year}" for channel in CHANNELS for year in (2011, 2012)]


def test_our_pairs_are_those_of_cms(real_data):
    """mZ1, mZ2, M of all 278 events; six digits of the momenta leave 0.013 GeV where leptons are near each other."""
    events, beyond = 0, 0
    for name in ALL:
        scope = cms_events(real_data, name)
        assert ak.num(scope.values["z"]).tolist() == [2] * len(scope)
        for text, column in (("mass(z[0])", "mZ1"), ("mass(z[1])", "mZ2"), ("mass(z[0] + z[1])", "M")):
            difference = np.abs(number(text, scope) - ak.to_numpy(scope.values[column]))
            assert difference.max() < 0.013
            beyond += int((difference > 0.007).sum())
        events += len(scope)
    assert events == 278
    assert beyond == 2


def test_charges_from_pdg_numbers_are_those_of_the_file(real_data):
    for name in ALL:
        scope = cms_events(real_data, name)
        charges = np.column_stack([ak.to_numpy(scope.values[f"Q{i}"]) for i in range(1, 5)])
        made = build_objects("o", Objects(collection="particles", sort_by="none"), scope, seed=0, smear=False)
        np.testing.assert_array_equal(ak.to_numpy(made["charge"]), charges)


def test_the_events_fill_the_published_histograms(real_data):
    """37 bins from 70 to 181 GeV, channel by channel and year by year; 102 events in all."""
    total = 0.0
    for channel, file in CHANNELS.items():
        for year in (2011, 2012):
            path = real_data / "cms-h4l" / "rootfiles" / f"{file}{year % 100}.root"
            published = read_th1(path, f"demo/mass{channel.replace('2e2mu', '2mu2e')}_8TeV_low")
            mass = number("mass(z[0] + z[1])", cms_events(real_data, f"{channel}_{year}"))
            ours, _ = np.histogram(mass, published.edges)
            np.testing.assert_array_equal(ours, published.values, err_msg=f"{channel} {year}")
            total += published.total
    assert total == 102


def test_the_published_simulation_gives_the_known_yields(real_data):
    luminosity = {11: 2.33, 12: 11.58}
    cross_sections = {11: (0.067, 0.067, 0.15), 12: (0.077, 0.077, 0.18)}
    generated = {11: (1447136, 1493308, 1479879), 12: (1499064, 1499093, 1497445)}
    terms, paths = [], []
    for year in (11, 12):
        for i, channel in enumerate(("4mu", "4e", "2mu2e")):
            terms.append(
                HistogramTerm(
                    source="zz",
                    object=f"demo/mass{channel}_8TeV_low",
                    luminosity_fb=luminosity[year],
                    cross_section_pb=cross_sections[year][i],
                    generated_events=generated[year][i],
                    factor=1.386,
                )
            )
            paths.append(real_data / "cms-h4l" / "rootfiles" / f"ZZ{channel}{year}.root")
    zz = read_histogram(Histogram(observable="m4l", terms=tuple(terms)), paths)
    assert zz.total == pytest.approx(80.08, abs=0.005)
    assert len(zz.values) == 37
    assert zz.rebin([121, 130]).total == pytest.approx(4.30, abs=0.005)


@pytest.mark.parametrize(
    ("name", "kind", "events", "cross_section"),
    [
        ("delphes-events.lhe", "lhe", 100, 1.5466170e8),
        ("pylhe-testfile-madgraph5-3.5.8-pp_to_jj.lhe.gz", "lhe", 1000, 6.996707e8),
        ("pylhe-testfile-pythia-6.413-ttbar.lhe", "lhe", 100, 5.4803624),
        ("pyhepmc-pythia6.dat", "hepmc", 1, None),
        ("uproot-Zmumu.root", "root", 2304, None),
        ("FAIR_Universe_HiggsML_data.sample.parquet", "parquet", 1000, None),
    ],
)
def test_samples_of_other_programs_are_read_whole(real_data, name, kind, events, cross_section):
    source = open_events(real_data / "events" / name)
    assert source.format == kind
    assert source.facts.cross_section_pb == pytest.approx(cross_section)
    columns = source.columns[:3]
    assert sum(len(chunk) for chunk in source.chunks(300, columns)) == events == source.facts.n_events


def test_momentum_is_conserved_in_generator_records(real_data):
    for name in ("delphes-events.lhe", "pylhe-testfile-pythia-6.413-ttbar.lhe"):
        source = open_events(real_data / "events" / name)
        for chunk in source.chunks(50):
            record, final = chunk.record, chunk.particles
            incoming = record[record.status == -1]
            for component in ("px", "py", "pz", "energy"):
                before, after = ak.sum(incoming[component], axis=1), ak.sum(final[component], axis=1)
                np.testing.assert_allclose(after, before, atol=1e-3)  # GeV; ten digits of up to a few TeV


def test_the_z_peak_of_the_uproot_sample(real_data):
    flat = {"muons": {name: (f"{letter}1", f"{letter}2") for name, letter in LETTERS.items() if name != "pdg"}}
    source = open_events(real_data / "events" / "uproot-Zmumu.root")
    mass = [
        number("mass(muons[0] + muons[1])", scope) - ak.to_numpy(scope.values["M"])
        for scope in read_scopes(source, ["muons", "M"], flat, step=1000, first_event=0)
    ]
    assert np.abs(np.concatenate(mass)).max() < 1e-4  # GeV; the file computed M in single precision


def test_the_hepmc_sample_is_balanced(real_data):
    (chunk,) = open_events(real_data / "events" / "pyhepmc-pythia6.dat").chunks(10)
    assert float(ak.sum(chunk.particles.energy)) == pytest.approx(15.0, abs=1e-6)
    assert float(ak.sum(chunk.particles.pz)) == pytest.approx(0.0, abs=1e-6)
