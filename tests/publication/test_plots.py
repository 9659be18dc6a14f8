"""Figures draw what they are given, on the axes they are given, with the same bytes each time."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from synthetic import synthetic_analysis

from evercast.likelihood.model import (
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    HistoSys,
    LikelihoodModel,
    NormSys,
    ParameterModel,
)
from evercast.publication.plots.distributions import Component, Stack, draw_ratio, draw_stack, poisson_errors
from evercast.publication.plots.figure import figure_style, safe_text, to_svg
from evercast.publication.plots.inference import ProfileCurve, draw_profiles
from evercast.publication.report.graph import draw_graph, group_units
from evercast.publication.report.predictions import event_edges, model_stack
from evercast.publication.report.processes import drawn_processes
from evercast.publication.report.units import Unit, collect_units
from evercast.publication.report.view import JsonView
from evercast.spec.model import BinnedChannel


@pytest.fixture
def ax() -> Iterator[Axes]:
    with figure_style():
        yield Figure(figsize=(5, 4)).subplots()


def stack(observed: np.ndarray | None) -> Stack:
    return Stack(
        edges=np.array([0.0, 1.0, 3.0]), components=(Component(title="a", color="#0000aa", events=np.array([2.0, 0])),),
        uncertainty=np.array([0.5, 0.0]), observed=observed, axis="$m$", unit="GeV",
    )  # fmt: skip


def test_poisson_intervals_are_those_of_garwood() -> None:
    # Garwood 1936, 68.27 %: n = 0 gives [0, 1.841], n = 1 gives [0.173, 3.300], n = 10 gives [6.891, 14.267]
    low, high = poisson_errors(np.array([0.0, 1.0, 10.0]))
    assert np.array([0, 1, 10]) - low == pytest.approx([0, 0.173, 6.891], abs=1e-3)
    assert np.array([0, 1, 10]) + high == pytest.approx([1.841, 3.300, 14.267], abs=1e-3)


@pytest.mark.parametrize("observed", [np.array([3.0, 0.0]), np.zeros(2), None])
def test_a_stack_is_drawn_on_the_axes_given(ax: Axes, observed: np.ndarray | None) -> None:
    assert draw_stack(ax, stack(observed)) is ax
    assert ax.get_xlabel() == "$m$ [GeV]"
    assert draw_ratio(ax, stack(observed)) is ax


def test_curves_stop_where_the_scan_stops(ax: Axes) -> None:
    values = np.linspace(0, 2, 9)
    curve = ProfileCurve(title="x", color="#000000", values=values, t=(values - 1) ** 2, expected=False)
    draw_profiles(ax, (curve,), axis="mu")
    line = ax.get_lines()[0]
    assert np.interp(values, line.get_xdata(), line.get_ydata()) == pytest.approx((values - 1) ** 2, abs=5e-3)
    assert (line.get_xdata().min(), line.get_xdata().max()) == (0, 2)


def test_a_drawing_is_the_same_each_time_and_holds_no_date() -> None:
    def draw() -> str:
        with figure_style():
            figure = Figure(figsize=(4, 3))
            draw_stack(figure.subplots(), stack(np.array([1.0, 2.0])))
            return to_svg(figure, name="one", alt="a figure")

    first = draw()
    assert draw() == first
    assert "<metadata" not in first
    assert first.startswith("<svg")
    assert 'aria-label="a figure"' in first


@pytest.mark.parametrize("label", ["$\\frac{$", "$$", "$\\unknown{x}$", "one $ only", "\x1b[31m", "a" * 500, ""])
def test_any_text_can_be_drawn(ax: Axes, label: str) -> None:
    ax.set_xlabel(safe_text(label))
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    assert to_svg(figure, name="x", alt="").startswith("<svg")


def test_the_band_adds_samples_linearly_within_a_parameter_and_parameters_in_quadrature() -> None:
    analysis = synthetic_analysis()
    channel = BinnedChannel(kind="binned", region="SR", observable="m", edges=(0.0, 1.0, 2.0), processes=("S", "B"))
    shared = NormSys(parameter="norm", up=1.1, down=0.9)
    shape = HistoSys(parameter="tilt", up=np.array([31.0, 0.0]), down=np.array([25.0, 0.0]))
    statistics = BinFactor(parameters=("gamma_0", None))
    samples = (
        BinnedSample(name="S", nominal=np.array([10.0, 0.0]), modifiers=(shared, statistics)),
        BinnedSample(name="B", nominal=np.array([30.0, 5.0]), modifiers=(shared, shape, statistics)),
    )
    parameters = (
        ParameterModel(name="norm", constraint="normal"),
        ParameterModel(name="gamma_0", constraint="normal", width=0.05),
    )
    channels = (BinnedChannelModel(name="c", samples=samples, observed=np.array([41.0, 4.0])),)
    model = LikelihoodModel(name="x", parameters=parameters, channels=channels)
    found = model_stack(analysis.selection.observables["m"], channel, model, "c", drawn_processes(analysis))
    assert found is not None
    assert found.expected == pytest.approx([40.0, 5.0])
    assert found.uncertainty == pytest.approx([np.sqrt(4.0**2 + 3.0**2 + 2.0**2), 0.5])
    assert model_stack(analysis.selection.observables["m"], channel, model, "other", ()) is None


def test_processes_that_follow_the_parameter_of_interest_stand_on_top() -> None:
    assert [process.name for process in drawn_processes(synthetic_analysis())] == ["B", "S"]


def unit(stage: str, name: str, key: str, *inputs: str) -> Unit:
    return Unit(
        stage=stage, name=name, path=Path(), key=key, inputs={str(i): k for i, k in enumerate(inputs)},
        receipt=JsonView(),
    )  # fmt: skip


def test_units_that_differ_in_a_number_are_one_box() -> None:
    units = (unit("training", "r-S-0", "a"), unit("training", "r-S-1", "b"), unit("training", "r-B-0", "c"))
    assert [box.title for box in group_units(units)] == ["r-S × 2", "r-B-0"]


def test_fetched_files_with_the_same_readers_are_one_box() -> None:
    units = (
        unit("fetch", "one", "a"), unit("fetch", "two", "b"), unit("fetch", "three", "c"),
        unit("selection", "zz", "d", "a", "b"), unit("selection", "h", "e", "c"),
    )  # fmt: skip
    assert [box.title for box in group_units(units)] == ["files × 2", "three", "zz", "h"]


def test_an_input_that_is_one_file_of_a_unit_is_an_arrow_from_it(tmp_path: Path) -> None:
    for name, inputs in {"one": {}, "two": {"file_0": "aa:table.csv", "file_1": "sha256:bb"}}.items():
        (tmp_path / name).mkdir()
        key = {"one": "aa", "two": "cc"}[name]
        (tmp_path / name / "receipt.json").write_text(json.dumps({"key": key, "inputs": inputs}))
    units = collect_units({"fetch/one": tmp_path / "one", "selection/two": tmp_path / "two"})
    assert draw_graph(units).count('class="edge"') == 2


def test_every_recorded_input_is_an_arrow() -> None:
    units = (unit("selection", "zz", "a"), unit("training", "r-0", "b", "a"), unit("fit", "x", "c", "b", "a"))
    # zz to r, r to x, zz to x, and x to the report
    assert draw_graph(units).count('class="edge"') == 4


def test_a_constant_observable_has_bins_around_its_value() -> None:
    edges = event_edges([], "m")
    assert edges[0] < edges[-1]
