"""Draws profile.svg, the picture of the front page, from a finished run: ``draw_profile.py results/h4l``."""

import sys
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from evercast.artifacts.files import atomic_write_bytes
from evercast.publication.plots.figure import INK, MUTED, PALETTE, PAPER, Label, add_label, figure_style, to_svg
from evercast.publication.plots.inference import ProfileCurve, draw_profiles
from evercast.publication.report.view import read_view
from evercast.publication.results import read_result, with_interval
from evercast.spec import load_analysis


def main(run: Path, document: Path, target: Path) -> None:
    analysis = load_analysis(document)
    results = [read_result(name, body) for name, body in read_view(run / "fit.json").items("results")]
    curves = tuple(
        ProfileCurve(
            title=analysis.likelihoods[result.name].title or result.name,
            color=color,
            values=outcome.scan_values,
            t=outcome.scan_t,
            expected=expected,
        )
        for result, color in zip(results, (PALETTE[0], PALETTE[2], PALETTE[4]), strict=False)
        for outcome, expected in ((result.observed, False), (result.expected, True))
        if outcome is not None
    )
    metadata = analysis.metadata
    label = Label(
        experiment=metadata.experiment, text="Open Data", sqrt_s_tev=metadata.sqrt_s_tev,
        luminosity_fb=metadata.luminosity_fb,
    )  # fmt: skip
    poi = results[0].poi
    with figure_style():
        figure = Figure(figsize=(8.2, 5.0))
        ax = figure.add_axes((0.11, 0.15, 0.85, 0.76))
        add_label(draw_profiles(ax, curves, axis=analysis.parameters[poi].label or poi), label)
        found = "; ".join(f"{r.name}: {poi} = {with_interval(r.observed)}" for r in results)
        svg = to_svg(figure, name="profile", alt=escape(f"Profile likelihoods. {found}"))
    for variable, colour in {
        "var(--ink)": INK,
        "var(--plate)": PAPER,
        "var(--muted)": MUTED,
        "var(--red)": PALETTE[2],
    }.items():
        svg = svg.replace(variable, colour)
    atomic_write_bytes(target, svg.encode())


if __name__ == "__main__":
    here = Path(__file__).parent
    folder = Path(sys.argv[1])
    main(folder, here.parents[1] / "specs" / folder.name / "analysis.yaml", here / "profile.svg")
