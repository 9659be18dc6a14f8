"""``--distributed``: one statistics command computed by several processes, each with its own rows of the events."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, NoReturn

import click

from evercast.errors import EnvironmentUnfit, EvercastError, RunFailed, UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.likelihood.evaluate import Likelihood
    from evercast.likelihood.event_source import MakeSource
    from evercast.runtime.lifeline import Lost

__all__ = ["Together", "distributed_options", "joined", "opened"]

_GRACE_SECONDS = 5.0
"""How long an error of the network waits for the news who was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Whether several processes compute, and which they are; None: as SLURM says."""

    distributed: bool
    coordinator: str | None
    processes: int | None
    process: int | None
    limit: int


def distributed_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--distributed`` and the options that name the processes; the function gets them as `together`."""

    @wraps(function)
    def wrapped(
        *,
        distributed: bool,
        coordinator: str | None,
        processes: int | None,
        process: int | None,
        process_timeout: int,
        **options: object,
    ) -> None:
        if not distributed and not (coordinator is None and processes is None and process is None):
            raise UsageError("--coordinator, --processes and --process need --distributed")
        together = Together(
            distributed=distributed, coordinator=coordinator, processes=processes, process=process,
            limit=process_timeout,
        )  # fmt: skip
        function(together=together, **options)

    decorated: Callable[..., None] = wrapped
    for decorate in reversed(
        (
            click.option(
                "--distributed", is_flag=True,
                help="Spread the events over processes: those of srun, or as the next options say.",
            ),
            click.option("--coordinator", metavar="HOST:PORT", help="Process 0 listens there, and on the next port."),
            click.option("--processes", type=click.IntRange(1), metavar="N", help="How many there are."),
            click.option("--process", type=click.IntRange(0), metavar="I", help="Number of this one, from 0."),
            click.option(
                "--process-timeout", type=click.IntRange(5), default=60, show_default=True, metavar="SECONDS",
                help="How long to wait for a process that does not come or is silent; then all end.",
            ),
        )
    ):  # fmt: skip
        decorated = decorate(decorated)
    return decorated


@contextmanager
def joined(together: Together, *, as_json: bool) -> Iterator[MakeSource | None]:
    """Join the processes for the block; gives what spreads events over them, or None where this is the only process.

    Process 0 alone writes to stdout. An error of one process ends all of them, each with a message.

    Raises:
        UsageError: ``distributed.processes``.
        EnvironmentUnfit: ``distributed.incomplete``: a process did not come; ``distributed.port``: process 0 cannot
            listen.

    Ends the process with ``distributed.lost`` where another one ended, ``distributed.memory`` where its rows are too
    many.
    """
    if not together.distributed:
        yield None
        return
    from evercast.likelihood.distributed import event_mesh, initialise, sharded_source
    from evercast.runtime.job_processes import JobProcesses
    from evercast.runtime.lifeline import Lifeline

    own = JobProcesses.of_options(coordinator=together.coordinator, count=together.processes, number=together.process)
    line = Lifeline.join(
        own, when_lost=lambda lost: _end(_lost(lost, own.count), as_json=as_json), limit=together.limit
    )
    _keep_stdout(own.number == 0)
    try:
        with _without_words():
            initialise(
                coordinator=f"{own.host}:{own.port}", n_processes=own.count, process=own.number, limit=together.limit
            )
        yield sharded_source(event_mesh())
    except EvercastError as err:
        line.fail(own.number, f"{err.code}: {err}")
        _end(err, as_json=as_json)
    except MemoryError as err:
        line.fail(own.number, f"out of memory: {err}")
        _end(_too_large(own.count, err), as_json=as_json)
    except Exception as err:
        if "RESOURCE_EXHAUSTED" in str(err):
            line.fail(own.number, "out of memory")
            _end(_too_large(own.count, err), as_json=as_json)
        if type(err).__name__ != "JaxRuntimeError":
            line.fail(own.number, f"{type(err).__name__}: {err}")
            raise
        time.sleep(_GRACE_SECONDS)  # where another process was lost, its end of the lifeline has said so by now
        line.fail(own.number, str(err).splitlines()[0])
        _end(
            RunFailed(str(err).splitlines()[0], code="distributed.lost", where=f"process {own.number}"), as_json=as_json
        )
    line.done()
    _leave(0)


def _too_large(count: int, err: Exception) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"the rows of one of {count} processes do not fit in its memory: {str(err).splitlines()[0]}",
        code="distributed.memory",
        hint="use more processes, on more nodes or with more memory each",
    )


def _keep_stdout(speaks: bool) -> None:  # noqa: FBT001 - says whether this process writes results
    """Leave stdout to the results of one process; what libraries print goes to stderr, until the process ends."""
    sys.stdout.flush()
    results = os.dup(1) if speaks else os.open(os.devnull, os.O_WRONLY)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(results, "w", encoding="utf-8")


@contextmanager
def _without_words() -> Iterator[None]:
    """Throw away what libraries print in the block instead of writing to stderr: that they have connected."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _lost(lost: Lost, count: int) -> RunFailed:
    return RunFailed(
        f"process {lost.number} of {count} ended before the others: {lost.reason}",
        code="distributed.lost",
        hint="look at its own messages and at its memory; then start all processes again",
    )


def _end(err: EvercastError, *, as_json: bool) -> NoReturn:
    """Say what went wrong and end at once: what joins the processes would wait for those that are gone."""
    if as_json:
        import json

        click.echo(json.dumps({"error": err.to_json()}, indent=1, ensure_ascii=False))
    click.echo(f"error[{err.code}]: {err}", err=True)
    _leave(err.exit_code)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def opened(
    together: Together, source: LikelihoodSource, *, observed: bool, unblind: bool, as_json: bool
) -> Iterator[Likelihood]:
    """Give the likelihood for the block: of this process, or with its events spread over several; see `load_data`.

    Events that are spread are not looked at as a whole: each process refuses what is not finite among its own rows.
    """
    from evercast.cli.statistics import load_data

    with joined(together, as_json=as_json) as make_source:
        if make_source is None:
            yield load_data(source, observed=observed, unblind=unblind)
        else:
            yield _load_spread(source, observed=observed, unblind=unblind, make_source=make_source)


def _load_spread(source: LikelihoodSource, *, observed: bool, unblind: bool, make_source: MakeSource) -> Likelihood:
    from evercast.artifacts.likelihood_source import open_likelihood_source
    from evercast.inference.asimov import asimov_model
    from evercast.inference.blinding import refuse_blind
    from evercast.likelihood.evaluate import Likelihood

    model = open_likelihood_source(source)
    if observed and not unblind:
        refuse_blind(model)
    likelihood = Likelihood(model, make_source=make_source)
    if observed:
        return likelihood
    return Likelihood(asimov_model(likelihood, likelihood.initial), make_source=make_source)
