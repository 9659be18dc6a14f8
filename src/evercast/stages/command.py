"""Stage command: any program, as the document declares it in ``stages``."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit, InvalidInput, RunFailed
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe, Task
from evercast.runtime.container_ends import network_was_wanted
from evercast.runtime.containers import Container, private_folders, run_contained
from evercast.runtime.network_attempts import counted_command, counted_in
from evercast.runtime.processes import Ended, clean_environment, run_logged

__all__ = ["render", "run"]

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)\.([A-Za-z_][\w-]*)\}")
_FULL_BELOW: Final = 65_536
"""A disk with fewer free bytes counts as full."""
_FROM_ALL_JOBS: Final = re.compile(r"all\.(?P<output>.+)\.(?P<job>\d+)")

Values = Mapping[str, Mapping[str, str | Sequence[str]]]


def run(
    task: Task[CommandRecipe], *, container: Container | None = None,
    note_attempts: Callable[[int | None], None] | None = None,
) -> None:  # fmt: skip
    """Run the command of one point of the matrix, or of the reduce step, and check its outputs.

    Args:
        task: of the stage.
        container: where the command runs; None runs it in the environment of evercast.
        note_attempts: gets how often something in the container wanted the network, as far as the kernel could count.

    Raises:
        InvalidInput: ``stage.unknown-placeholder``.
        RunFailed: ``stage.command-failed``, ``stage.output-missing`` or ``stage.output-link``.
        EnvironmentUnfit: ``disk.full``, ``container.no-network``, or a container that could not be started or was
            stopped at a limit.
    """
    recipe = task.recipe
    outputs = {name: task.output / file for name, file in recipe.outputs.items()}
    for path in outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    script = render(recipe.run, values=_values(task, outputs), where=recipe.name)
    command = ["bash", "-euo", "pipefail", "-c", script]
    sys.stderr.flush()
    if container is None:
        ended = _run_here(command, task)
    else:
        ended, attempts = _run_inside(command, task, container)
        if note_attempts is not None:
            note_attempts(attempts)
    if ended.code != 0:
        raise _failure(ended, recipe=recipe, folder=task.output, contained=container is not None)
    for name, path in outputs.items():
        _check_output(name, path, recipe=recipe)


def _run_here(command: Sequence[str], task: Task[CommandRecipe]) -> Ended:
    environment = clean_environment(threads=task.threads)
    with tempfile.TemporaryDirectory(prefix="command-", dir=task.output.parent) as folder:
        return run_logged(command, folder=Path(folder), environment=environment, log=sys.stderr.buffer)


def _run_inside(
    command: Sequence[str], task: Task[CommandRecipe], container: Container
) -> tuple[Ended, int | None]:  # fmt: skip
    """Run a command in a container; return how it ended, and how often something in it wanted the network."""
    inputs = [path for name, path in task.inputs.items() if name != IMAGE_INPUT]
    with private_folders(container) as private:
        counters = private.work / ".network"
        ended = run_contained(
            counted_command(command, counters), container=container, private=private, inputs=inputs,
            writable=[task.output], variables={}, log=sys.stderr.buffer,
        )  # fmt: skip
        return ended, counted_in(counters)


def _failure(
    ended: Ended, *, recipe: CommandRecipe, folder: Path, contained: bool
) -> RunFailed | EnvironmentUnfit:  # fmt: skip
    """Return why a command failed: the disk or the network where that is evident, else its exit code and last words."""
    words = f"the command ended with {_ending(ended.code)}; its last words:\n{ended.tail}"
    over_limit = ended.code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
    if over_limit or shutil.disk_usage(folder).free < _FULL_BELOW or "No space left on device" in ended.tail:
        return EnvironmentUnfit(
            f"no space left for stage {recipe.name}; {words}",
            code="disk.full",
            where=str(folder.parent),
            hint="free space on this file system or run in another folder; what was finished is kept",
        )
    if contained and network_was_wanted(ended):
        return EnvironmentUnfit(
            f"the command wanted the network, which no container has; {words}",
            code="container.no-network",
            where=_where(recipe),
            hint="declare what it needs in `sources` and read it as `source:NAME`",
        )
    return RunFailed(words, code="stage.command-failed", where=_where(recipe))


def render(text: str, *, values: Values, where: str) -> str:
    """Return a command with ``{kind.name}`` replaced by its value, quoted for the shell; other braces stay.

    Args:
        text: the command.
        values: kind -> name -> text, or list of texts that become separate words.
        where: the stage, for the message.

    Raises:
        InvalidInput: ``stage.unknown-placeholder``, with the names there are.

    Example:
        >>> render("cat {inputs.x} | awk '{print $1}'", values={"inputs": {"x": "a b"}}, where="s")
        "cat 'a b' | awk '{print $1}'"
    """

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        known = values.get(kind, {})
        if name not in known:
            names = ", ".join(f"{{{key}.{item}}}" for key, items in values.items() for item in items)
            raise InvalidInput(
                f"the command names {match[0]}; there is {names}", code="stage.unknown-placeholder", where=where
            )
        found = known[name]
        return shlex.quote(found) if isinstance(found, str) else shlex.join(found)

    return _PLACEHOLDER.sub(value, text)


def _values(task: Task[CommandRecipe], outputs: Mapping[str, Path]) -> Values:
    everything: dict[str, dict[int, str]] = {}
    for name, path in task.inputs.items():
        if (match := _FROM_ALL_JOBS.fullmatch(name)) is not None:
            everything.setdefault(match["output"], {})[int(match["job"])] = str(path)
    return {
        "inputs": {name: str(task.inputs[name]) for name in task.recipe.inputs},
        "outputs": {name: str(path) for name, path in outputs.items()},
        "matrix": {axis: str(value) for axis, value in task.recipe.point.items()},
        "all": {name: [jobs[index] for index in sorted(jobs)] for name, jobs in everything.items()},
    }


def _check_output(name: str, path: Path, *, recipe: CommandRecipe) -> None:
    """Refuse an output that is absent, empty or a link, although the command ended well."""
    declared = f"the declared output {name} ({recipe.outputs[name]})"
    if path.is_symlink():
        raise RunFailed(f"{declared} is a link; write the file itself", code="stage.output-link", where=_where(recipe))
    if not path.exists():
        reason = "was not written, although the command ended with 0"
    elif (path.is_dir() and not any(path.iterdir())) or (path.is_file() and path.stat().st_size == 0):
        reason = "is empty, although the command ended with 0"
    else:
        return
    raise RunFailed(f"{declared} {reason}", code="stage.output-missing", where=_where(recipe))


def _where(recipe: CommandRecipe) -> str:
    point = ",".join(f"{axis}={value}" for axis, value in recipe.point.items())
    return f"stage {recipe.name}[{point}]" if point else f"stage {recipe.name}"


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
