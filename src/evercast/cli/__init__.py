"""The command line: a lazy group of commands, one module each in `evercast.cli.commands`.

A command parses, calls one function and prints the result. Its module exports `command` (a `click.Command`) and is
imported only when it is used; imports that are heavy belong inside the command function.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from evercast import __version__
from evercast.errors import EvercastError, UsageError

__all__ = ["COMMANDS", "LazyGroup", "cli", "main"]

COMMANDS: Final[dict[str, str]] = {
    "validate": "Check a document and report every problem in it.",
    "plan": "Show what a run would do: stages, networks, jobs, memory, disk, time.",
    "run": "Run an analysis, or resume it.",
    "profile": "Write the profile of a computing site by asking its SLURM.",
    "status": "Show per stage what is done, running, failed and waiting.",
    "schema": "Print the JSON Schema of a kind of document.",
    "fit": "Fit a likelihood: best values and uncertainties.",
    "scan": "Scan the profile likelihood of the parameter of interest.",
    "cls": "CLs of one value of the parameter of interest, observed and expected.",
    "limit": "Upper limits by CLs, observed and expected.",
    "significance": "Significance of the absence of the signal.",
    "toys": "Throw and fit pseudo-experiments.",
    "impacts": "Impacts of nuisance parameters, pulls, constraints, and their ranking plot.",
    "gof": "Goodness of fit.",
    "evaluate": "Evaluate the networks of a published likelihood at events of your own.",
    "publish": "Publish a finished run: bundle, workspace, HEPData submission, archive.",
    "wrap": "Make a preserved analysis of a published likelihood.",
    "verify": "Verify a bundle, an archive or a pyhf file: digests, numbers, signature.",
    "inspect": "Say what a bundle, an archive or a pyhf file is.",
    "lock": "Pin inputs, images, packages and code of an analysis by their digests.",
    "keys": "Keys to sign publications and archives with, and keys that are trusted.",
    "request": "Ask a preserved analysis: is my signal excluded?",
    "respond": "Answer a submitted request.",
    "catalogue": "The preserved analyses that you know.",
    "serve": "Serve a page on this machine to browse the catalogue and to ask.",
    "image": "Build, verify and list container images.",
    "export": "Write an analysis in the form of another system.",
    "check-env": "Say what today's machine would change in a replay, before anything is run.",
    "archive": "Keep finished runs for good, in versions; bring archives elsewhere.",
    "migrate": "Bring a document of an older version to the present one.",
    "replay": "Run an archived analysis again and say whether the same comes out.",
    "stage": "Run one unit of a plan (called by the workflow).",
}


class LazyGroup(click.Group):
    """A group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command, imported now; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"evercast.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: evercast run specs/toy/analysis.yaml --cores 2",
)
@click.version_option(__version__, prog_name="evercast", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="More messages on stderr; twice for debugging.")
def cli(*, verbose: int) -> None:
    """Preserve, replay and reinterpret collider analyses whose result is a likelihood."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (table in `evercast.errors`).

    Args:
        arguments: the words after the program's name; those of the process where None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words[: words.index("--") if "--" in words else len(words)]
    try:
        code = cli.main(args=words, prog_name="evercast", standalone_mode=False)
    except EvercastError as err:
        return _report(err, as_json=as_json)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 1
    except click.ClickException as err:
        return _report_usage(err, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BaseException as err:
        if isinstance(err, SystemExit | KeyboardInterrupt):
            raise
        return _report_defect(err, as_json=as_json)
    return code if isinstance(code, int) else 0


def _report(err: EvercastError, *, as_json: bool) -> int:
    """Say what went wrong, on stderr or as JSON on stdout; return the exit code."""
    if as_json:
        click.echo(json.dumps({"error": err.to_json()}, indent=1, ensure_ascii=False))
    else:
        click.echo(f"error[{err.code}]: {err}", err=True)
    return err.exit_code


def _report_usage(err: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        return _report(UsageError(err.format_message()), as_json=True)
    err.show()
    return err.exit_code if isinstance(err, click.UsageError) else UsageError.exit_code


def _report_defect(err: BaseException, *, as_json: bool) -> int:
    text = f"internal error: {type(err).__name__}: {err}"
    click.echo("".join(traceback.format_exception(err)), err=True)
    return _report(EvercastError(text, hint="this is a defect of evercast; please report it"), as_json=as_json)
