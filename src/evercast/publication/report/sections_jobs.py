"""Jobs: what each stage took of the machine or the cluster, against what it had asked for."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.publication.report.blocks import Block, Cell, Section, Table
from evercast.runtime.accounting import Accounting, JobCost, StageCost

__all__ = ["jobs_section"]

_FULL = 0.9
_FINE = "COMPLETED"
_LISTED = 40


def jobs_section(accounting: Accounting) -> Section:
    """Return a table of the stages, and one of the jobs that ended otherwise than well."""
    rows = tuple(_stage_row(stage, database=accounting.database) for stage in accounting.stages)
    headers = (
        "stage", "jobs", "units", "time [s]", "CPU time [s]", "peak memory [MB]", "asked for [MB]", "nodes", "ended",
    )  # fmt: skip
    blocks: list[Block] = [Table(title="What the stages took", headers=headers, rows=rows, note=_note(accounting))]
    lost = [job for job in accounting.jobs if not job.units]
    if lost:
        blocks.append(_lost_table(lost))
    if accounting.network_attempts:
        blocks.append(_network_table(accounting.network_attempts))
    return Section(anchor="jobs", title="Jobs", lead=_lead(accounting), blocks=tuple(blocks))


def _network_table(attempts: Mapping[str, int]) -> Table:
    """Return which units wanted the network; they were computed without it."""
    listed = sorted(attempts.items(), key=lambda item: (-item[1], item[0]))
    rows = tuple((Cell(unit, "code"), Cell(str(count), "look")) for unit, count in listed[:_LISTED])
    more = f" The first {_LISTED} of {len(listed)}." if len(listed) > _LISTED else ""
    note = (
        "No container has a network: what these units asked for they did not get. What a stage needs from "
        f"elsewhere is declared in `sources`. Units that were computed without a container are not watched.{more}"
    )
    title = f"Units that wanted the network ({len(listed)})"
    return Table(title=title, headers=("unit", "attempts"), rows=rows, note=note)


def _lead(accounting: Accounting) -> str:
    jobs = sum(stage.jobs for stage in accounting.stages)
    hours = sum(stage.seconds for stage in accounting.stages) / 3600
    nodes = sorted({node for stage in accounting.stages for node in stage.nodes})
    where = (
        f"{len(nodes)} nodes" if len(nodes) > 1 else "one node" if accounting.scheduler == "slurm" else "one machine"
    )
    kind = "SLURM jobs" if accounting.scheduler == "slurm" else "jobs"
    return f"{jobs} {kind} of together {hours:.2f} h on {where}; accounting.json has every job."


def _note(accounting: Accounting) -> str:
    if accounting.scheduler == "slurm" and accounting.database:
        return (
            "Time, CPU time and memory are those of SLURM's accounting, for the whole job: Snakemake on the node, the "
            "container and the stage. Memory is sampled; the request is that of the job that came closest to it."
        )
    if accounting.scheduler == "slurm":
        return "SLURM's accounting did not answer: time and memory are those of the stages alone, from their receipts."
    return "From the receipts of the units: times of the stages alone; the request is what a scheduler would be asked."


def _stage_row(stage: StageCost, *, database: bool) -> tuple[Cell, ...]:
    fraction = stage.memory_fraction
    near = database and fraction is not None and fraction > _FULL
    asked = "–" if stage.asked_memory_mb is None else f"{stage.asked_memory_mb:.0f}"
    share = "" if fraction is None else f" ({100 * fraction:.0f} %)"
    return (
        Cell(stage.stage.replace("+", " + "), "code"),
        Cell(str(stage.jobs), "number"),
        Cell(str(stage.units), "number"),
        Cell(f"{stage.seconds:.1f}", "number"),
        Cell("–" if stage.cpu_seconds is None else f"{stage.cpu_seconds:.1f}", "number"),
        Cell("–" if stage.memory_mb is None else f"{stage.memory_mb:.0f}{share}", "look" if near else "number"),
        Cell(asked, "number"),
        Cell(", ".join(stage.nodes[:4]) + (f" and {len(stage.nodes) - 4} more" if len(stage.nodes) > 4 else "")),
        _ended(stage),
    )


def _ended(stage: StageCost) -> Cell:
    if not stage.states:
        return Cell("–")
    text = ", ".join(f"{count} {state.lower().replace('_', ' ')}" for state, count in stage.states.items())
    return Cell(text, "good" if set(stage.states) == {_FINE} else "look")


def _lost_table(jobs: list[JobCost]) -> Table:
    rows = tuple(
        (
            Cell(job.slurm_job or "–", "code"),
            Cell(" + ".join(job.stages), "code"),
            Cell((job.state or "–").lower().replace("_", " "), "plain" if job.state == _FINE else "look"),
            Cell(job.node),
            Cell(f"{job.seconds:.0f}", "number"),
            Cell("–" if job.memory_mb is None else f"{job.memory_mb:.0f}", "number"),
            Cell("–" if job.asked_memory_mb is None else f"{job.asked_memory_mb:.0f}", "number"),
            Cell("–" if job.asked_min is None else str(job.asked_min), "number"),
        )
        for job in jobs[:_LISTED]
    )
    headers = ("job", "stage", "ended", "node", "time [s]", "peak memory [MB]", "asked for [MB]", "asked for [min]")
    note = f"The first {_LISTED} of {len(jobs)}." if len(jobs) > _LISTED else None
    title = f"Jobs that finished no unit, and were sent again or were not needed any more ({len(jobs)})"
    return Table(title=title, headers=headers, rows=rows, note=note, folded=True)
