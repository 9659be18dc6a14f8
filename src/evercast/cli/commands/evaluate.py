"""``evercast evaluate``: log ratios of events of one's own, behind the domain of validity."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.cli.statistics import print_json
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.interop.evaluation import Evaluation

__all__ = ["command"]


@click.command(epilog="Example: evercast evaluate bundles/neural events.parquet --output ratios.parquet")
@click.argument("bundle")
@click.argument("events", type=click.Path(path_type=Path))
@click.option("--channel", metavar="NAME", help="Unbinned channel whose networks are asked [default: the only one].")
@click.option("--sha256", metavar="DIGEST", help="Digest that the downloaded or packed BUNDLE must have.")
@click.option("--allow-extrapolation", is_flag=True, help="Evaluate events outside of the domain; the result says so.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write all values: .parquet or .json.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, all values in it.")
def command(
    *,
    bundle: str,
    events: Path,
    channel: str | None,
    sha256: str | None,
    allow_extrapolation: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Evaluate the networks of BUNDLE at EVENTS: log ratios of every process.

    BUNDLE is the folder of a neural likelihood, an archive of one, or its https URL. EVENTS is a Parquet, CSV or ROOT
    file or a zarr folder, with one column per observable, called NAME or "NAME [UNIT]", in any order. Missing columns,
    wrong units and events outside of the domain of validity are refused.
    """
    from evercast.interop.opened import open_likelihood

    if output is not None and output.suffix not in {".parquet", ".json"}:
        raise UsageError(f"--output {output}: expected a name that ends in .parquet or .json")
    likelihood = open_likelihood(bundle, sha256=sha256)
    found = likelihood.evaluate(events, channel=channel, allow_extrapolation=allow_extrapolation)
    body = {"likelihood": likelihood.name, "run_id": likelihood.manifest.get("run_id"), **found.to_json()}
    if output is not None:
        from evercast.interop.evaluation_files import write_evaluation

        write_evaluation(output, found, body)
    if as_json:
        print_json(body)
        return
    click.echo(_table(likelihood.name, found, output))


def _table(name: str, found: Evaluation, output: Path | None) -> str:
    """Return what was found as text: each label with the mean and range of its values."""
    lines = [f"{name}: {len(found)} events in channel {found.channel}, ensemble {found.ensemble}"]
    width = max(len(label) for label in found.values)
    for label, values in found.values.items():
        if values.ndim == 1:
            lines.append(
                f"  {label:{width}}  mean {values.mean():9.4f}  from {values.min():9.4f} to {values.max():9.4f}"
            )
        else:
            lines.append(f"  {label:{width}}  {values.shape[1]} coefficients per event")
    if found.domain is None:
        lines.append("EXTRAPOLATED: the bundle states no domain of validity")
    else:
        outside = int(found.domain.outside.sum())
        said = ", EXTRAPOLATED" if outside else ""
        lines.append(f"{outside} of {len(found)} events outside of the domain of validity{said}")
        lines += [f"EXTRAPOLATED: {problem}" for problem in found.domain.problems()]
    if output is not None:
        lines.append(f"all values: {output}")
    return "\n".join(lines)
