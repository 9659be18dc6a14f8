"""The run that selects the events of signals: the preserved selection with a sample for each, by the ordinary engine.

It lies in ``work`` in the folder of a request and is shared by all its submissions: what has the same key there is not
made again, so that a new point makes its own units alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evercast.artifacts.files import atomic_write_json, make_folder
from evercast.errors import IntegrityError
from evercast.plan import Unit
from evercast.plan.graph import make_selection_plan
from evercast.plan.recipes import SelectionRecipe
from evercast.reinterpretation.requests.declared import DeclaredSignal, generator_name
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan, freeze_plan, named_images
from evercast.runtime.pseudo import bring_sources
from evercast.runtime.receipts import is_finished
from evercast.runtime.run import Observer, run_plan, snakemake_command
from evercast.spec import analysis_to_json
from evercast.spec.model import Analysis

__all__ = ["DerivedRun", "Silent", "Watch", "derived_run", "run_derived", "unit_of", "units_of", "work_of"]

Watch = Callable[[FrozenPlan], Observer]
"""Makes what is told how a run goes on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DerivedRun:
    """A planned run of selections.

    Args:
        document: that it was planned from.
        frozen: its plan.
        finished: ids of the units that were there before it ran.
    """

    document: Path
    frozen: FrozenPlan
    finished: frozenset[str]


class Silent:
    """Is told how a run goes on, and says nothing."""

    def finished(self, unit: Unit) -> None:
        """Say nothing."""

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:
        """Say nothing."""


def work_of(root: Path) -> Path:
    """Return where the derived run of a request lies."""
    return root / "work"


def derived_run(root: Path, selection: Analysis, signals: Sequence[DeclaredSignal]) -> DerivedRun:
    """Return the planned run of the signals; its document is written, nothing is run.

    Args:
        root: folder of the request.
        selection: the preserved document.
        signals: all of a submission.

    Raises:
        InvalidInput: a file is missing.
        IntegrityError: a file changed since it was submitted.
        EnvironmentUnfit: the disk refuses.
    """
    folder = work_of(root)
    analysis = replace(
        selection,
        samples={signal.sample: signal.body for signal in signals},
        generators={
            generator_name(signal.generator): signal.generator for signal in signals if signal.generator is not None
        },
    )  # fmt: skip
    document = folder / "analysis.json"
    make_folder(folder)
    atomic_write_json(document, analysis_to_json(analysis))
    plan = make_selection_plan(
        analysis, document_folder=folder, images=named_images(analysis, folder=folder)
    )  # fmt: skip
    frozen = freeze_plan(plan, analysis=analysis, document=document, folder=RunFolder(folder))
    done = {unit.id for unit in plan.units if is_finished(unit, receipt_file=frozen.folder.receipt(unit))}
    return DerivedRun(document=document, frozen=frozen, finished=frozenset(done))


def run_derived(run: DerivedRun, *, profile: str, cores: int, watch: Watch | None) -> None:
    """Run what is not finished; nothing is started where all is.

    Args:
        run: that is planned.
        profile: where jobs run.
        cores: of this machine, with the profile ``default``; others say themselves how many jobs run.
        watch: makes what is told how it goes on.

    Raises:
        EvercastError: the first error of a unit, with its exit code.
    """
    frozen = run.frozen
    if len(run.finished) == len(frozen.plan.units):
        return
    bring_sources(frozen)
    command = snakemake_command(
        frozen, document=run.document, profile=profile, cores=cores if profile == "default" else None, extra=()
    )
    observer: Observer = Silent() if watch is None else watch(frozen)
    run_plan(frozen, command, observer=observer)


def unit_of(frozen: FrozenPlan, sample: str) -> Unit:
    """Return the unit that selects a sample.

    Raises:
        IntegrityError: ``request.frozen``: the plan has none.
    """
    for unit in frozen.plan.of_stage("selection"):
        if isinstance(unit.recipe, SelectionRecipe) and unit.recipe.name == sample:
            return unit
    raise IntegrityError(f"the run selects no sample {sample}", code="request.frozen", where=str(frozen.file))


def units_of(frozen: FrozenPlan, unit: Unit) -> tuple[Unit, ...]:
    """Return a unit with all that it needs, in the order of the plan."""
    known: Mapping[str, Unit] = frozen.plan.by_id()
    wanted, waiting = {unit.id}, [unit]
    while waiting:
        for name in waiting.pop().needs():
            if name not in wanted:
                wanted.add(name)
                waiting.append(known[name])
    return tuple(each for each in frozen.plan.units if each.id in wanted)
