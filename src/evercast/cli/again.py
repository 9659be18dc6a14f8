"""The next command, as it can be copied: with the document, the run folder and the options that were given."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evercast.errors import EvercastError
from evercast.runtime.folders import RunFolder
from evercast.runtime.settings import read_settings
from evercast.runtime.workflow_files import profile_folder

__all__ = ["NextCommand"]

_DASH = "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCommand:
    """What follows ``evercast run`` and ``evercast status`` for one document.

    Args:
        document: as given.
        results: the run folder, where one was named.
        options: of ``evercast run`` besides those, arguments of Snakemake behind ``--``.
        pseudo: whether the observed events are simulated.
    """

    document: Path
    results: Path | None = None
    options: tuple[str, ...] = ()
    pseudo: bool = False

    @classmethod
    def of_last_run(
        cls, folder: RunFolder, *, document: Path, results: Path | None, pseudo: bool
    ) -> NextCommand:  # fmt: skip
        """Return the command that goes on with the last run in a folder, however that was started.

        Raises:
            IntegrityError: ``run.settings-damaged``.
        """
        settings = read_settings(folder)
        options = settings.options
        if not options and settings.profile is not None and settings.profile != str(profile_folder("default")):
            options = ("--profile", settings.profile)
        return cls(document=document, results=results, options=options, pseudo=pseudo)

    def run(self, *more: str) -> str:
        """Return the command that runs the analysis, with more options."""
        words = ["evercast", "run", str(self.document)]
        if self.results is not None:
            words += ["--results", str(self.results)]
        own, behind = _parted(self.options)
        words += [_short(word) for word in own]
        if self.pseudo:
            words += ["--pseudo-data", "always"]
        return shlex.join([*words, *more, *behind])

    def status(self, *more: str) -> str:
        """Return the command that shows how far it is, with more options."""
        results = ["--results", str(self.results)] if self.results is not None else []
        return shlex.join(["evercast", "status", str(self.document), *results, *more])

    def in_hint(self, err: EvercastError) -> EvercastError:
        """Return an error whose hint names this command where it named that of any document."""
        if err.hint is not None:
            for general, own in (
                ("evercast run DOCUMENT --repair", self.run("--repair")),
                ("evercast run DOCUMENT", self.run()),
                ("evercast status DOCUMENT --json", self.status("--json")),
                ("evercast status DOCUMENT", self.status()),
            ):
                err.hint = err.hint.replace(general, own)
        return err

    @contextmanager
    def in_hints(self) -> Iterator[None]:
        """Let the errors of the block name this command.

        Raises:
            EvercastError: of the block.
        """
        try:
            yield
        except EvercastError as err:
            self.in_hint(err)
            raise


def _parted(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options before ``--``, and that with all behind it."""
    place = options.index(_DASH) if _DASH in options else len(options)
    return list(options[:place]), list(options[place:])


def _short(word: str) -> str:
    """Return a path below the working folder relative to it; every other word as it is."""
    path = Path(word)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else word
