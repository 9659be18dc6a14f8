"""``evercast replay``: run an archived analysis again, and say whether the same comes out."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from evercast.artifacts.files import require_there
from evercast.errors import EnvironmentUnfit
from evercast.plan import STAGES, Unit
from evercast.plan.recipes import StageName

if TYPE_CHECKING:
    from evercast.reinterpretation.replay import Replay

__all__ = ["command"]

_DIFFERS = 4
_log = logging.getLogger(__name__)


@click.command(
    name="replay",
    short_help="Run an archived analysis again and say whether the same comes out.",
    epilog="Example: evercast replay results/toy/publication/archive --stage evaluation --output again",
)
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--stage", type=click.Choice(STAGES), help="Only this stage, from archived inputs; all by default.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the replay; replay/ID by default.")
@click.option("--profile", default="default", show_default=True, help="Where jobs run: a profile's name or folder.")
@click.option("--cores", type=click.IntRange(min=1), help="Cores of this machine; the profile decides by default.")
@click.option("--change", type=click.Path(path_type=Path), help="Document of changes, to ask: what if.")
@click.option("--no-containers", is_flag=True, help="Compute in the environment of this machine.")
@click.option("--key", type=click.Path(path_type=Path), help="Public key of who must have signed the archive.")
@click.option("--allow-unsigned", is_flag=True, help="Run its programs and images though nobody trusted signed it.")
@click.option("--json", "as_json", is_flag=True, help="The content of replay.json on stdout.")
@click.pass_context
def command(  # noqa: PLR0913 - one argument an option
    context: click.Context, *, archive: Path, stage: str | None, output: Path | None, profile: str, cores: int | None,
    change: Path | None, no_containers: bool, key: Path | None, allow_unsigned: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the analysis in ARCHIVE again, without the network, and compare every unit and every result.

    ARCHIVE is the folder of an archive, whose newest version is taken, or of one version. The exit code is 0 where the
    same came out, bit for bit or within the tolerances of the document, and 4 where it did not. What was interrupted
    goes on when it is asked for again.

    Commands that run outside of containers, and images, are run only where the key named by --key, or one that is
    trusted (evercast keys trust), signed the archive; else the exit code is 5.
    """
    require_there(archive)  # before anything heavy is imported
    from evercast.artifacts.key_ring import KeyRing, key_folder  # noqa: PLC0415 - heavy
    from evercast.reinterpretation.archived import open_archived  # noqa: PLC0415 - heavy
    from evercast.reinterpretation.replay import ReplayRequest, replay_archive  # noqa: PLC0415 - heavy
    from evercast.reinterpretation.report import write_replay  # noqa: PLC0415 - heavy

    observer = _Progress(silent=as_json)
    observer.say("verifying the archive")
    archived = open_archived(archive, keys=KeyRing(key_folder(os.environ)), key=key)
    request = ReplayRequest(
        output=output or Path("replay") / archived.version.bag.id[:12],
        stage=cast("StageName | None", stage),
        profile=profile,
        cores=cores,
        change=change,
        containers=not no_containers,
        allow_unsigned=allow_unsigned,
    )
    replay = replay_archive(archived, request, observer=observer)
    record = write_replay(replay, archived)
    _keep(record, request.output)
    click.echo(json.dumps(record, indent=1) if as_json else _text(replay))
    if record["reproduced"] is False:
        context.exit(_DIFFERS)


def _keep(record: Mapping[str, Any], output: Path) -> None:
    """Keep how the replay ended where the catalogue of the user finds it; where that is not possible, say so."""
    from evercast.reinterpretation.catalogue.replays import record_replay, replay_folder  # noqa: PLC0415 - heavy
    from evercast.reinterpretation.catalogue.stored import catalogue_file  # noqa: PLC0415 - likewise

    try:
        folder = replay_folder(catalogue_file(os.environ))
    except EnvironmentUnfit as err:
        _log.info("the catalogue does not learn of this replay: %s", err)
        return
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not record_replay(folder, record, time=now, report=output):
        _log.info("the catalogue does not learn of this replay: the document was changed, or %s refuses", folder)


class _Progress:
    """Says on stderr how a replay goes on."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def say(self, text: str) -> None:
        if not self._silent:
            click.echo(text, err=True)

    def finished(self, unit: Unit) -> None:
        self.say(f"  {unit.stage:<19} {unit.name}")

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:
        self.say(f"  {len(units)} units are made anew: {reason}")


def _text(replay: Replay) -> str:
    from evercast.reinterpretation.causes import grouped  # noqa: PLC0415 - heavy package
    from evercast.reinterpretation.verdict import WORDS  # noqa: PLC0415 - likewise

    comparison = replay.comparison
    lines = [f"\n{'stage':<20}{'verdict':<30}{'units':>8}{'archived [s]':>14}{'now [s]':>9}"]
    for stage in comparison.stages:
        units = f"{stage.counts[stage.verdict]}/{sum(stage.counts.values())}"
        times = f"{stage.seconds[0]:>14.1f}{stage.seconds[1]:>9.1f}"
        lines.append(f"{stage.stage:<20}{WORDS[stage.verdict]:<30}{units:>8}{times}")
    for unit in comparison.units:
        rows = [row for row in unit.rows if row.main and row.difference is not None]
        if rows:
            lines += ["", f"{unit.name}: {WORDS[unit.verdict]}; {unit.text}"]
            lines += [f"  {row.quantity:<28}{row.old:>12.6g} ->{row.new:>12.6g}   {WORDS[row.verdict]}" for row in rows]
    compared = [row for row in comparison.declared if row.verdict != "not-compared"]
    if compared:
        lines += ["", "numbers that the document declares under expected:"]
    for declared in compared:
        found = "not computed" if declared.new is None else f"{declared.new:.6g}"
        said = "differs" if declared.verdict == "differs" else "within tolerance"
        lines.append(f"  {declared.key:<34}{declared.value:g} ± {declared.tolerance:g}: {found}, {said}")
    for number, (origins, causes) in enumerate(grouped(comparison.reasons.origins)):
        head = "differences begin at" if number == 0 else "and at"
        names = ", ".join(f"{origin.stage}/{origin.name}" for origin in origins)
        lines += ["", f"{head} {names}:", *(f"  {cause}" for cause in causes)]
    if comparison.reasons.without_effect:
        lines += ["", "different, without effect:", *(f"  {cause}" for cause in comparison.reasons.without_effect)]
    if comparison.reproduced is False and comparison.verdict != "differs":
        lines += ["", "not reproduced: not every result of the archive was compared"]
    ran = f"{replay.ran} units were made anew in {replay.seconds:.0f} s"
    taken = f", {replay.imported} taken from the archive" if replay.imported else ""
    lines += ["", f"{comparison.words.upper()}: {ran}{taken}", f"  {replay.request.output / 'replay.html'}"]
    return "\n".join(lines)
