"""``evercast toys``: pseudo-experiments."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.cli.requests import check_value
from evercast.cli.statistics import load_data, print_json, seed_option, statistics_options
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource

__all__ = ["command"]


@click.command(epilog="Example: evercast toys workspace.json --n 1000 --value 1 --output toys.zarr")
@statistics_options
@click.option("--n", "n_toys", type=click.IntRange(1), default=1000, show_default=True, help="How many.")
@click.option("--value", type=float, help="True and tested value of the parameter of interest. [default: its initial]")
@click.option("--statistic", type=click.Choice(["t", "q", "q-tilde", "q0"]), default="t", show_default=True)
@click.option(
    "--nuisance", type=click.Choice(["profiled", "nominal"]), default="profiled", show_default=True,
    help="True values of nuisance parameters: fitted to the data at the value, or the initial ones.",
)  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Write t, best fits, status, seeds.")
@seed_option
def command(  # noqa: PLR0913 - one argument per option
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    n_toys: int,
    value: float | None,
    statistic: str,
    nuisance: str,
    output: Path | None,
    seed: int,
) -> None:
    """Throw and fit pseudo-experiments of LIKELIHOOD; global observables are thrown too.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. The same
    seed and number give the same pseudo-experiment, whatever their count.
    """
    from evercast.artifacts.arrays import write_arrays
    from evercast.cli.statistics_tables import toys_table
    from evercast.inference.fit import fit, poi_of
    from evercast.inference.toy_statistics import evaluate_toys, summary_of
    from evercast.inference.toys import ToyGenerator, toy_seeds

    if output is not None and output.exists():
        raise UsageError(f"--output {output} exists already")
    compiled = load_data(source, observed=observed, unblind=unblind)
    chosen = poi_of(compiled, poi)
    index = compiled.index(chosen)
    tested = float(compiled.initial[index]) if value is None else value
    tested = 0.0 if statistic == "q0" else tested
    check_value(compiled.model, chosen, tested, option="--value")
    theta = compiled.initial.copy()
    theta[index] = tested
    if nuisance == "profiled":
        theta = fit(compiled, fixed={chosen: tested}).theta
    generator = ToyGenerator(compiled, theta)
    seeds = toy_seeds(seed, f"{tested:.17g}", first=0, count=n_toys)
    kind = next(known for known in ("t", "q", "q-tilde", "q0") if known == statistic)
    sample = evaluate_toys(generator, poi=chosen, value=tested, seeds=seeds, statistic=kind)
    summary = summary_of(sample)
    body: dict[str, object] = {
        "likelihood": compiled.model.name, "poi": chosen, "value": tested, "statistic": statistic, "seed": seed,
        "nuisance": nuisance, "theta": dict(zip(compiled.names, map(float, theta), strict=True)),
        "sources": generator.sources, "effective_sample_size": generator.effective_sample_size,
        "expected_events": generator.expected, "remarks": list(generator.remarks.values()), **summary,
    }  # fmt: skip
    if output is not None:
        arrays = {"t": sample.t, "poi_hat": sample.poi_hat, "status": sample.status, "seed": sample.seed}
        write_arrays(output, arrays, body)
    if as_json:
        print_json(body)
        return
    click.echo(toys_table(compiled.model, body))
