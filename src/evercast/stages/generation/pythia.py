"""Stage generation: simulated events of one part of a generator, with Pythia 8.

Output: ``events.parquet`` (columns ``particles``, ``weight``, and with ``truth`` also ``heavy_flavour`` and ``prompt``;
its metadata say what a normalisation must know) or ``events.hepmc``, and ``summary.json``. The same part gives the same
bytes: its seed follows from the seed of the generator and its number.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq
from tqdm import tqdm

from evercast.artifacts.files import atomic_write_json, canonical_json, disk_errors
from evercast.errors import EnvironmentUnfit, InvalidInput, RunFailed
from evercast.plan.recipes import GenerationRecipe, Task
from evercast.plan.seeds import derive_seed
from evercast.spec.model import Generator
from evercast.stages.generation.hepmc_output import HepmcOutput
from evercast.stages.generation.record import event_schema, event_table, event_weights
from evercast.stages.generation.slha import SlhaFacts, check_decays, check_masses, read_slha

if TYPE_CHECKING:
    import awkward as ak
    import pythia8mc

__all__ = ["GenerationSummary", "pythia_seed", "run"]

_LOG = logging.getLogger(__name__)
_MAX_SEED: Final = 900_000_000  # the range of Pythia's Random:seed is 1 to this
_BATCH: Final = 1000
_PB_PER_MB: Final = 1e9
_FLAG_VALUES: Final = frozenset({"on", "off", "true", "false", "yes", "no", "ok", "1", "0"})
_NO_TABLES: Final = (
    "Init:showProcesses = off", "Init:showMultipartonInteractions = off", "Init:showChangedSettings = off",
    "Init:showChangedParticleData = off", "Next:numberCount = 0", "Next:numberShowLHA = 0", "Next:numberShowInfo = 0",
    "Next:numberShowProcess = 0", "Next:numberShowEvent = 0",
)  # fmt: skip
"""No tables in the log, and all of Pythia's own words on trouble, which ``Print:quiet`` would silence."""
_RESERVED: Final = ("random:", "print:", "next:", "init:", "main:")
_FILES: Final = ("slha:file", "beams:lhef", "include")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSummary:
    """What is known of the events of one part; it stands in the file's metadata under ``evercast``.

    Args:
        cross_section_pb: cross-section of all hard processes that were switched on, with the branching fractions of
            restricted decays.
        cross_section_error_pb: its Monte Carlo uncertainty.
        sum_of_weights: sum of the event weights in the file.
    """

    cross_section_pb: float
    cross_section_error_pb: float
    sum_of_weights: float
    n_generated: int
    seed: int
    program: str
    version: str


def run(task: Task[GenerationRecipe]) -> None:
    """Generate the events of ``task.recipe`` and write them in ``task.output``.

    Raises:
        InvalidInput: ``generator.setting``, ``generator.init``, ``generator.events``, ``generator.slha`` or
            ``generator.undecayed``.
        IntegrityError: ``generator.slha-checksum``.
        EnvironmentUnfit: ``generator.missing`` where Pythia is not installed; disk full.
        RunFailed: ``generator.aborted``, Pythia gave up before the events were complete.
    """
    generator, part = task.recipe.generator, task.recipe.part
    seed = pythia_seed(generator, part)
    n_events = generator.events // generator.jobs + (part < generator.events % generator.jobs)
    if n_events <= 0:
        raise InvalidInput(
            f"part {part} of generator {task.recipe.name!r} would hold no event: {generator.events} events in "
            f"{generator.jobs} jobs",
            code="generator.events",
            hint="lower jobs",
        )
    with _words_on_stderr():
        pythia, facts = _initialise(task.recipe.name, generator, seed, slha=task.inputs.get("slha"))
        batches = _batches(pythia, n_events, name=task.recipe.name, widths=facts.widths)
        write = _write_hepmc if generator.output == "hepmc3" else _write_parquet
        sum_of_weights = write(task.output, pythia, generator, batches, n_events=n_events, seed=seed)
    summary = _summary(pythia, n_events=n_events, sum_of_weights=sum_of_weights, seed=seed)
    atomic_write_json(task.output / "summary.json", asdict(summary))
    _LOG.info("%s: %d events, cross-section %.4g pb", task.recipe.name, n_events, summary.cross_section_pb)


def pythia_seed(generator: Generator, part: int) -> int:
    """Return the seed of a part in Pythia's range, 1 to 900,000,000."""
    return 1 + derive_seed("generation", generator.seed, part) % _MAX_SEED


@contextmanager
def _words_on_stderr() -> Iterator[None]:
    """Let Pythia, which knows stdout alone, speak on stderr: on stdout may be the JSON of a command."""
    library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def _initialise(name: str, generator: Generator, seed: int, *, slha: Path | None) -> tuple[pythia8mc.Pythia, SlhaFacts]:
    try:
        import pythia8mc  # noqa: PLC0415  (an optional package)
    except ImportError as err:
        raise EnvironmentUnfit(
            f"generator {name!r} needs Pythia 8, which is not installed",
            code="generator.missing",
            hint="install the extra 'generate' (README.md of evercast, Installation)",
        ) from err
    pythia = pythia8mc.Pythia("", False)  # noqa: FBT003  (no banner)
    for setting in (*_NO_TABLES, "Random:setSeed = on", f"Random:seed = {seed}"):
        pythia.readString(setting)
    facts = SlhaFacts() if generator.slha is None else read_slha(pythia, generator.slha, slha, name=name)
    for index, setting in enumerate(generator.settings):
        _apply_setting(pythia, setting, where=f"$.generators.{name}.settings[{index}]")
    if not pythia.init():
        raise InvalidInput(
            "Pythia could not be initialised with these settings; a process must be switched on and every value must "
            "make sense together",
            code="generator.init",
            where=f"$.generators.{name}.settings",
            hint="the log of this job holds Pythia's own words",
        )
    check_masses(pythia, facts.masses, name=name)
    return pythia, facts


def _apply_setting(pythia: pythia8mc.Pythia, setting: str, *, where: str) -> None:
    """Hand one line to Pythia; what Pythia would ignore or misread without a word is refused here.

    Pythia takes a line that starts with neither letter nor digit for a comment and any unknown value of a flag for off.
    """
    key, _, value = (text.strip() for text in setting.replace("=", " ", 1).strip().partition(" "))
    problem = None
    if not key or not key[0].isalnum() or not value:
        problem = "it is not of the form 'Key = value'"
    elif key.lower().startswith(_RESERVED):
        problem = "the seed, the number of events and the printing are set by evercast"
    elif key.lower().startswith(_FILES):
        problem = "a file is named under 'slha' or 'files' of the document, with its digest"
    elif pythia.settings.isFlag(key) and value.lower() not in _FLAG_VALUES:
        problem = f"{key} is on or off"
    elif not pythia.readString(setting, False):  # noqa: FBT003  (no warning on the screen)
        problem = "Pythia 8 does not know the key or does not accept the value"
    if problem is not None:
        raise InvalidInput(
            f"the Pythia setting {setting!r} is wrong: {problem}",
            code="generator.setting",
            where=where,
            hint="the keys are listed in the manual of Pythia 8.3 (pythia.org)",
        )


def _write_parquet(
    folder: Path,
    pythia: pythia8mc.Pythia,
    generator: Generator,
    batches: Iterator[ak.Array],
    *,
    n_events: int,
    seed: int,
) -> float:
    """Write `n_events` events and return the sum of their weights."""
    sum_of_weights, path, schema = 0.0, folder / "events.parquet", event_schema(truth=generator.truth)
    with (
        disk_errors(path),
        pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer,
        tqdm(total=n_events, desc="generate", unit="events", disable=not sys.stderr.isatty()) as bar,
    ):
        for events in batches:
            table = event_table(events, generator.keep_pdg, truth=generator.truth)
            sum_of_weights += float(event_weights(events).sum())
            writer.write_table(table)
            bar.update(len(events))
        summary = _summary(pythia, n_events=n_events, sum_of_weights=sum_of_weights, seed=seed)
        writer.add_key_value_metadata({"evercast": canonical_json(asdict(summary)).decode()})
    return sum_of_weights


def _write_hepmc(
    folder: Path,
    pythia: pythia8mc.Pythia,
    generator: Generator,
    batches: Iterator[ak.Array],
    *,
    n_events: int,
    seed: int,
) -> float:
    """Write `n_events` events with their whole record and return the sum of their weights."""
    del generator, seed
    sum_of_weights = 0.0
    with (
        HepmcOutput(folder / "events.hepmc") as writer,
        tqdm(total=n_events, desc="generate", unit="events", disable=not sys.stderr.isatty()) as bar,
    ):
        for events in batches:
            counts = pythia.infoPython()
            value, error = counts.sigmaGen() * _PB_PER_MB, counts.sigmaErr() * _PB_PER_MB
            writer.write(events, cross_section_pb=value, error_pb=error)
            sum_of_weights += float(event_weights(events).sum())
            bar.update(len(events))
    return sum_of_weights


def _batches(pythia: pythia8mc.Pythia, n_events: int, *, name: str, widths: Mapping[int, float]) -> Iterator[ak.Array]:
    """Yield awkward arrays of together `n_events` complete events."""
    done = 0
    while done < n_events:
        events = pythia.nextBatch(min(_BATCH, n_events - done), "skip")
        if len(events) == 0:
            raise RunFailed(
                f"Pythia stopped after {done} of {n_events} events of generator {name!r}",
                code="generator.aborted",
                hint="see the log of this job for Pythia's own words",
            )
        check_decays(widths, events, name=name)
        done += len(events)
        yield events


def _summary(pythia: pythia8mc.Pythia, *, n_events: int, sum_of_weights: float, seed: int) -> GenerationSummary:
    counts = pythia.infoPython()
    return GenerationSummary(
        cross_section_pb=counts.sigmaGen() * _PB_PER_MB,
        cross_section_error_pb=counts.sigmaErr() * _PB_PER_MB,
        sum_of_weights=sum_of_weights,
        n_generated=n_events,
        seed=seed,
        program="pythia8",
        version=f"{pythia.settings.parm('Pythia:versionNumber'):.3f}",
    )
