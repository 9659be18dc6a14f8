"""CSV, LHE and HepMC: what the lines say, and where they are wrong."""

from pathlib import Path

import awkward as ak
import event_files
import numpy as np
import pytest

from evercast.errors import InvalidInput
from evercast.events.formats import hepmc, open_events


def read(path: Path) -> ak.Array:
    return ak.concatenate(list(open_events(path).chunks(100)))


def write(folder: Path, text: str) -> Path:
    path = folder / "events.txt"
    path.write_text(text)
    return path


def test_csv_takes_commas_semicolons_tabs_and_windows_line_ends(tmp_path):
    for text in (
        "x,y\n1,2.5\n",
        "x;y\n1;2.5\n",
        "x\ty\n1\t2.5\n",
        "x,y\r\n1,2.5\r\n",
        '"x","y"\n1,2.5\n',
        "\ufeffx,y\n1,2.5\n",
    ):
        assert read(write(tmp_path, text)).tolist() == [{"x": 1.0, "y": 2.5}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n3\n4,5\n", r"line 3.*Expected 2 columns, got 1"),
        ("x,y\n1,2\n3,4,5\n4,5\n", r"line 3.*Expected 2 columns, got 3"),
        ("x,y\n1,2\n3,abc\n", r"line 3: column 'y': not a number: invalid value 'abc'"),
        ("x,y\n1,2\n3,\n", r"line 3: column 'y'"),
        ("x,y\n1,2\n3,=cmd()\n", r"=cmd"),
        ("1,2\n3,4\n", r"line 1 holds numbers where the names"),
        ("x,x\n3,4\n", r"line 1: the column 'x' stands 2 times"),
        ("x,,z\n3,4,5\n", r"line 1: the name of column 2 is empty"),
        ("x,y\n", r"no events"),
        ("x,y\n1,2\n3\n", r"line 3.*Expected 2"),
    ],
)
def test_csv_names_the_line_that_is_wrong(text, message, tmp_path):
    with pytest.raises(InvalidInput, match=message) as caught:
        read(write(tmp_path, text))
    assert caught.value.code in ("sample.format", "sample.empty", "sample.truncated")


def test_csv_names_a_line_far_into_the_file(tmp_path):
    rows = [f"{i},{i}" for i in range(200_000)]
    rows[150_000] = "1,oops"
    with pytest.raises(InvalidInput, match=r"line 150002: column 'y'.*oops"):
        read(write(tmp_path, "x,y\n" + "\n".join(rows) + "\n"))


def test_csv_without_a_last_line_end_is_refused_unless_its_digest_is_known(tmp_path):
    path = write(tmp_path, "x,y\n1,2\n3,4")
    with pytest.raises(InvalidInput, match="no line end") as caught:
        open_events(path)
    assert caught.value.code == "sample.truncated"
    source = open_events(path, verified=True)
    assert source.facts.remarks == ()
    assert len(next(iter(source.chunks(10)))) == 2


def test_csv_without_a_digest_is_remarked_to_have_no_end_mark(tmp_path):
    assert "only a declared sha256" in open_events(write(tmp_path, "x,y\n1,2\n3,4\n")).facts.remarks[0]


def test_csv_with_an_endless_line_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="longer than"):
        open_events(write(tmp_path, "x" * 5_000_000))


def test_lhe_gives_final_state_record_weights_and_the_cross_section_of_init(tmp_path):
    source = open_events(write(tmp_path, event_files.lhe_text(3, weights=2)))
    assert source.columns == ("particles", "record", "weight", "weight_1001", "weight_1002")
    assert source.facts.cross_section_pb == pytest.approx(4.0)
    assert source.facts.cross_section_error_pb == pytest.approx(0.5)
    events = ak.concatenate(list(source.chunks(2)))
    assert events.particles.pdg.tolist() == [[13, -13]] * 3
    assert ak.num(events.record).tolist() == [4, 4, 4]
    assert events.particles.px[:, 0].tolist() == [10.0, 11.0, 12.0]
    assert events.weight.tolist() == [2.0, 2.0, 2.0]
    assert events.weight_1002.tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</LesHouchesEvents>\n", "", r"after event 3 without </LesHouchesEvents>"),
        ("4 1 2.0e+00", "5 1 2.0e+00", r"line 15: event 1 has 1 particles fewer"),
        ("4 1 2.0e+00", "3 1 2.0e+00", r"event 1 has more particles than it declares"),
        ("4 1 2.0e+00", "999999999 1 2.0e+00", r"declares 999999999 particles"),
        ("4 1 2.0e+00 9.1e+01", "4 1 two 9.1e+01", r"not a number"),
        ("<header>", "<!DOCTYPE x [<!ENTITY a 'b'>]>\n<header>", r"document types and entities are refused"),
        ("</event>", "", r"event 1 starts inside another element"),
        ("<wgt id='1001'>", "<wgt id='1001'", r"pylhe"),
    ],
)
def test_lhe_names_what_is_wrong(old, new, message, tmp_path):
    text = event_files.lhe_text(3).replace(old, new, 1)
    with pytest.raises(InvalidInput, match=message):
        read(write(tmp_path, text))


def test_lhe_cut_at_the_end_of_an_event_is_truncated(tmp_path):
    text = event_files.lhe_text(3)
    cut = text[: text.index("</event>", text.index("</event>") + 1) + 9]
    with pytest.raises(InvalidInput, match="after event 2") as caught:
        open_events(write(tmp_path, cut))
    assert caught.value.code == "sample.truncated"


def test_two_lhe_files_in_one_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="two files in one"):
        open_events(write(tmp_path, event_files.lhe_text(2) * 2))


def test_lhe_without_events_is_empty(tmp_path):
    with pytest.raises(InvalidInput) as caught:
        open_events(write(tmp_path, event_files.lhe_text(0)))
    assert caught.value.code == "sample.empty"


@pytest.mark.parametrize("version", ["HepMC2", "HepMC3"])
def test_hepmc_gives_final_state_weights_and_cross_section(version, tmp_path):
    source = open_events(event_files.write_hepmc(tmp_path / "events", 3, version=version))
    assert source.columns == ("particles", "weight", "weight_nominal", "weight_MUR_2_0")
    assert (source.facts.cross_section_pb, source.facts.cross_section_error_pb) == (12.5, 0.5)
    events = ak.concatenate(list(source.chunks(2)))
    assert events.particles.pdg.tolist() == [[13, -13]] * 3
    assert events.particles.px[:, 0].tolist() == [10.0, 11.0, 12.0]
    assert events.weight.tolist() == [1.0, 2.0, 3.0]
    assert events.weight_MUR_2_0.tolist() == [11.0, 12.0, 13.0]


def test_hepmc_in_mev_becomes_gev(tmp_path):
    events = read(event_files.write_hepmc(tmp_path / "events", 2, mev=True))
    assert events.particles.px[:, 0].tolist() == pytest.approx([10.0, 11.0])


def test_two_weights_of_one_name_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="same name"):
        open_events(event_files.write_hepmc(tmp_path / "events", 1, names=("a=b", "a_b")))


HEPMC3_DAMAGE = [
    ("V -2 0 [3]", "V -2 0 [9]", r"vertex -2 refers to particle 9, which is not there"),
    ("P 4 -2 13", "P 4 -7 13", r"particle 4 refers to -7, which is not there"),
    ("P 4 -2 13", "P 6 -2 13", r"particle 6 refers to"),
    ("E 0 2 5", "E 0 2 999999999", r"event 1 has 5 particles and 2 vertices; it declares 999999999"),
    ("E 0 2 5", "E 0 2 4", r"event 1 has 5 particles"),
    ("P 4 -2 13 1.0", "P 4 -2 13 x1.0", r"cannot be read"),
    ("HepMC::Asciiv3-END_EVENT_LISTING", "", r"after event 3 without HepMC::Asciiv3-END_EVENT_LISTING"),
    ("HepMC::Asciiv3-START_EVENT_LISTING", "HepMC::Asciiv9-START", r"outside of the event listing"),
]
HEPMC2_DAMAGE = [
    ("P 10003 23", "P 10003", r"cannot be read"),
    ("4 0 0 -1 0", "4 0 0 -5 0", r"particles end in vertex -5, which is not there"),
    ("V -1 0 0 0 0 0 2 1 0", "V -1 0 0 0 0 0 2 2 0", r"event 1 has 5 particles and 2 vertices; it declares 6"),
    ("HepMC::IO_GenEvent-END_EVENT_LISTING", "", r"without HepMC::IO_GenEvent-END_EVENT_LISTING"),
]


@pytest.mark.parametrize(
    ("version", "old", "new", "message"),
    [("HepMC3", *case) for case in HEPMC3_DAMAGE] + [("HepMC2", *case) for case in HEPMC2_DAMAGE],
)
def test_hepmc_names_what_is_wrong(version, old, new, message, tmp_path):
    path = event_files.write_hepmc(tmp_path / "events", 3, version=version)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=message):
        read(path)


def test_hepmc_without_events_is_empty_and_two_listings_are_refused(tmp_path):
    text = event_files.write_hepmc(tmp_path / "events", 1).read_text()
    start = text.index("E 0 2 5")
    with pytest.raises(InvalidInput) as caught:
        open_events(write(tmp_path, text[:start] + "HepMC::Asciiv3-END_EVENT_LISTING\n"))
    assert caught.value.code == "sample.empty"
    with pytest.raises(InvalidInput, match=r"second event listing|outside of the event listing"):
        open_events(write(tmp_path, text + text))


@pytest.mark.parametrize("cut", range(5))
def test_hepmc_cut_at_any_event_is_truncated(cut, tmp_path):
    path = event_files.write_hepmc(tmp_path / "events", 6)
    text = path.read_text()
    path.write_text(text[: text.index(f"E {cut + 1} ")])
    with pytest.raises(InvalidInput) as caught:
        open_events(path)
    assert caught.value.code == "sample.truncated"


def test_a_crash_of_the_library_is_an_error_that_names_the_file(tmp_path):
    """The scan lets no such file through; without it the process that reads this one is killed by a signal."""
    path = event_files.write_hepmc(tmp_path / "events", 3)
    path.write_text(path.read_text().replace("V -2 0 [3]", "V -2 0 [9]", 1))
    with pytest.raises(InvalidInput, match=r"the HepMC library crashed on the file \(SIGSEGV\)") as caught:
        list(hepmc.read_batches(path, "hepmc3", 10))
    assert caught.value.code == "sample.format"
    assert str(path) in str(caught.value)


def test_a_batch_keeps_the_order_of_events(tmp_path):
    path = event_files.write_hepmc(tmp_path / "events", 25)
    weights = ak.concatenate([chunk.weight for chunk in open_events(path).chunks(4)])
    assert weights.tolist() == list(np.arange(25) + 1.0)
