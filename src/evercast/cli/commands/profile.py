"""``evercast profile``: write the profile of a computing site."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from evercast.artifacts.files import atomic_write_bytes, make_folder
from evercast.errors import UsageError
from evercast.runtime.site_profile import Choices, profile_text, site_text
from evercast.runtime.site_survey import survey_site
from evercast.spec.codec import to_json

__all__ = ["command"]


@click.group(epilog="Example: evercast profile init --partition short --json")
def command() -> None:
    """Write the profile of a computing site."""


@command.command("init", epilog="Example: evercast profile init --output profiles/mine --partition short --account hep")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write; profiles/CLUSTER by default.")
@click.option("--partition", help="Partition of the jobs; the cluster's default one by default.")
@click.option("--gpu-partition", help="Partition of the jobs with GPUs; the largest that has any by default.")
@click.option(
    "--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs for each job of a network."
)
@click.option("--account", help="Account to charge; SLURM's default for you by default.")
@click.option("--containers/--no-containers", default=True, show_default=True, help="Run the stages in containers.")
@click.option("--force", is_flag=True, help="Replace the files of an earlier profile.")
@click.option("--json", "as_json", is_flag=True, help="What SLURM said, and what was written, as JSON on stdout.")
def init(
    *, output: Path | None, partition: str | None, gpu_partition: str | None, gpus: int, account: str | None,
    containers: bool, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask this machine's SLURM what it offers, and write a profile for it: config.yaml and site.yaml."""
    survey = survey_site(observe=_silent if as_json else _on_stderr)
    choices = Choices(
        partition=partition, gpu_partition=gpu_partition, gpus=gpus, account=account, containers=containers
    )
    folder = output if output is not None else Path("profiles") / survey.cluster
    texts = {"config.yaml": profile_text(survey, choices), "site.yaml": site_text(survey)}
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        raise UsageError(
            f"there is a {there[0]} already",
            code="profile.exists",
            where=str(folder),
            hint="name another folder with --output, or replace it with --force",
        )
    make_folder(folder)
    for name, text in texts.items():
        atomic_write_bytes(folder / name, text.encode())
    if as_json:
        click.echo(json.dumps({"profile": str(folder), "survey": to_json(survey)}, indent=1))
        return
    for name in texts:
        click.echo(str(folder / name))
    click.echo(f"try it: evercast run DOCUMENT --profile {shlex.quote(str(folder))}", err=True)


def _on_stderr(text: str) -> None:
    click.echo(text, err=True)


def _silent(text: str) -> None:
    """Say nothing: stdout is JSON, and stderr is for errors."""
