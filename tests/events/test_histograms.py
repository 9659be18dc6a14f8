"""Published histograms: scaled, summed, rebinned."""

import numpy as np
import pytest
import uproot

from evercast.errors import InvalidInput
from evercast.events.histograms import read_histogram, read_th1
from evercast.spec.model import Histogram, HistogramTerm

EDGES = np.array([0.0, 1.0, 2.0, 4.0, 8.0])


@pytest.fixture
def files(tmp_path):
    for name, scale in (("a", 1.0), ("b", 10.0)):
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            file["demo/m"] = (scale * np.array([1.0, 2.0, 3.0, 4.0]), EDGES)
            file["demo/other"] = (np.array([1.0]), np.array([0.0, 1.0]))
            file["demo/two"] = (np.ones((1, 1)), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    return tmp_path


def term(source: str, name: str = "demo/m", **changes) -> HistogramTerm:
    fields = {"luminosity_fb": 2.0, "cross_section_pb": 0.5, "generated_events": 1000, "factor": 1.5}
    return HistogramTerm(source=source, object=name, **(fields | changes))


def test_terms_are_scaled_to_expected_events_and_summed(files):
    terms = (term("a"), term("b", factor=1.0))
    found = read_histogram(Histogram(observable="m", terms=terms), [files / "a.root", files / "b.root"])
    scales = [2000 * 0.5 * 1.5 / 1000, 2000 * 0.5 / 1000]
    counts = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(found.values, scales[0] * counts + scales[1] * 10 * counts)
    np.testing.assert_allclose(found.variances, scales[0] ** 2 * counts + scales[1] ** 2 * 10 * counts)
    assert found.total == pytest.approx(found.values.sum())


def test_bins_are_merged_to_edges_that_are_there(files):
    found = read_th1(files / "a.root", "demo/m")
    merged = found.rebin([1.0, 4.0, 8.0])
    assert merged.values.tolist() == [5.0, 4.0]
    assert merged.variances.tolist() == [5.0, 4.0]
    for edges in ([0.0, 3.0], [0.0, 1.0, 1.0], [4.0, 2.0], [2.0]):
        with pytest.raises(InvalidInput, match="cannot be rebinned") as caught:
            found.rebin(edges)
        assert caught.value.code == "histogram.edges"


def test_the_folder_of_a_unit_stands_for_its_file(files, tmp_path):
    unit = tmp_path / "unit"
    unit.mkdir()
    (files / "a.root").rename(unit / "a.root")
    (unit / "receipt.json").write_text("{}")
    found = read_histogram(Histogram(observable="m", terms=(term("a"),)), [unit])
    assert found.total == pytest.approx(15.0)


def test_what_is_missing_or_of_another_kind_is_named(files):
    with pytest.raises(InvalidInput, match=r"no 'demo/n'; histograms in the file: demo/m, demo/other") as caught:
        read_th1(files / "a.root", "demo/n")
    assert caught.value.code == "histogram.missing"
    with pytest.raises(InvalidInput, match="is a TH2D; expected a one-dimensional histogram"):
        read_th1(files / "a.root", "demo/two")
    with pytest.raises(InvalidInput, match="has 1 bins from 0 to 1; the first term has 4 bins from 0 to 8"):
        read_histogram(
            Histogram(observable="m", terms=(term("a"), term("b", "demo/other"))), [files / "a.root", files / "b.root"]
        )


@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.95])
def test_a_cut_file_is_named(files, fraction):
    path = files / "a.root"
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(InvalidInput, match="header states") as caught:
        read_th1(path, "demo/m")
    assert caught.value.code == "sample.truncated"
