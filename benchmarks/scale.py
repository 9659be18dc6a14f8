"""What a run of ten thousand networks costs beside the networks: jobs, start-up, files, memory; and the estimates.

    evercast run specs/scale/analysis.yaml --profile slurm
    python benchmarks/scale.py results/scale --full specs/scale/full.yaml

Row E1 of the table of speeds. Counts, time and memory are those of a finished run, from its receipts and, where its
jobs were those of SLURM, from ``sacct``. What a job costs before its first unit is measured here: two starts of
Snakemake (the job and the step in it), the start of the stage, and JAX with its libraries; it is compared with the
device time that the plan of the full-size document expects. CPU seconds, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from evercast.plan import Plan
from evercast.plan.file_bound import file_bound
from evercast.plan.jobs import Job
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_jobs, read_plan
from evercast.runtime.sacct import SlurmUse, ask_sacct
from evercast.runtime.workflow_files import profile_folder, snakefile

SPECS = Path(__file__).resolve().parents[1] / "specs"
WANTED_SHARE = 0.01
HEADER = (
    "stage", "networks", "units", "jobs", "CPU s", "estimated s", "peak MB", "asked MB", "files", "disk MB",
    "estimated MB",
)  # fmt: skip


def cpu_seconds(command: Sequence[str], *, folder: Path, fails: bool = False) -> float:
    """Return the CPU time of a command and its children, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=not fails, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def last_plan(root: Path) -> FrozenPlan:
    """Return the plan that was run last in a run folder."""
    folder = RunFolder(root.resolve())
    digest = json.loads(folder.current.read_text())["plan"]
    return read_plan(folder.plan(digest) / "plan.json")


def receipts(frozen: FrozenPlan) -> dict[str, dict[str, Any]]:
    """Return unit -> receipt of everything that is finished."""
    files = {unit.id: frozen.folder.receipt(unit) for unit in frozen.plan.units}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def run_table(frozen: FrozenPlan, jobs: Sequence[Job]) -> list[tuple[str, ...]]:
    """Return one row for each stage: what was run, what it took, what was estimated."""
    done = receipts(frozen)
    slurm = ask_sacct(sorted({one["slurm_job"] for one in done.values() if one.get("slurm_job")})) or {}
    stages = dict.fromkeys(job.stage for job in jobs)
    return [_row(stage, [job for job in jobs if job.stage == stage], done, slurm, frozen) for stage in stages]


def _row(
    stage: str,
    jobs: Sequence[Job],
    done: Mapping[str, Mapping[str, Any]],
    slurm: Mapping[str, SlurmUse],
    frozen: FrozenPlan,
) -> tuple[str, ...]:
    found = [done[unit] for job in jobs for unit in job.units if unit in done]
    uses = [slurm[one] for one in sorted({one.get("slurm_job") or "" for one in found}) if one in slurm]
    peak = [one["max_rss_mb"] for one in found] + [use.memory_mb for use in uses if use.memory_mb is not None]
    asked = [job.resources.memory_mb for job in jobs] if not uses else [use.asked_memory_mb or 0.0 for use in uses]
    folders = [frozen.folder.unit(unit) for unit in frozen.plan.units if unit.id in done and unit.stage == stage]
    blocks = [path.stat().st_blocks for folder in folders for path in [folder, *folder.rglob("*")]]
    sizes = [file["size"] for one in found for file in one["files"].values()]
    return (
        stage,
        str(sum(unit.networks for unit in frozen.plan.units if unit.stage == stage)),
        str(len(found)),
        str(len(jobs)),
        f"{sum(use.cpu_seconds for use in uses):.0f}" if uses else "-",
        f"{sum(job.resources.seconds for job in jobs):.0f}",
        f"{max(peak, default=0.0):.0f}",
        f"{min(asked):.0f}",
        str(len(sizes) + len(found)),
        f"{sum(blocks) * 512 / 1e6:.0f}",
        f"{sum(job.resources.disk_mb for job in jobs):.0f}",
    )


def span(frozen: FrozenPlan) -> float:
    """Return the wall-clock time from the first start to the last end of the units, s."""
    done = receipts(frozen).values()
    ends = [datetime.fromisoformat(one["ended"]) for one in done]
    starts = [datetime.fromisoformat(one["started"]) for one in done]
    return (max(ends) - min(starts)).total_seconds()


def dry_run(plan: Path) -> list[str]:
    """Return the command of a dry run of the DAG of a frozen plan."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(snakefile()), "--profile", str(profile_folder("default")),
        "-n", "--quiet", "all", "--config", f"plan={plan}", "lock=held",
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A document planned: its jobs, and CPU seconds."""

    plan: Plan
    jobs: tuple[Job, ...]
    plan_seconds: float
    dry_run_seconds: float
    start: Mapping[str, float]


def planned(document: Path) -> Planned:
    """Plan a document; measure the plan, a dry run of its DAG, and what a job of it costs before its first unit.

    The stage is asked for a unit that the plan does not have, which it finds out when it has read what it reads.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        analysis, plan = plan_document(document, pseudo=False)
        frozen = freeze_plan(plan, analysis=analysis, document=document, folder=RunFolder(folder / "results"))
        python = sys.executable
        command = [python, "-m", "evercast", "plan", str(document.resolve())]
        stage = [python, "-m", "evercast", "stage", "training", "--plan", str(frozen.file), "--unit", "none"]
        libraries = [python, "-c", "import evercast.stages.training"]
        parsed = best(dry_run(frozen.file), folder=folder)
        return Planned(
            plan=plan,
            jobs=read_jobs(frozen.file),
            plan_seconds=best(command, folder=folder),
            dry_run_seconds=parsed,
            start={
                "Snakemake, twice": 2 * parsed,
                "evercast stage": best(stage, folder=folder, fails=True),
                "JAX and the code of the stage": best(libraries, folder=folder),
            },
        )


def best(command: Sequence[str], *, folder: Path, fails: bool = False) -> float:
    return min(cpu_seconds(command, folder=folder, fails=fails) for _ in range(3))


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="run folder of specs/scale/analysis.yaml")
    parser.add_argument("--full", type=Path, default=SPECS / "scale" / "full.yaml", help="the same at full size")
    arguments = parser.parse_args()
    if arguments.results is not None:
        frozen = last_plan(arguments.results)
        jobs = read_jobs(frozen.file)
        show(HEADER, run_table(frozen, jobs))
        files = sum(1 for path in frozen.folder.root.rglob("*") if path.is_file())
        print(f"{len(jobs)} jobs, {span(frozen):.0f} s from the first unit to the last")
        print(f"{files} files, at most {file_bound(frozen.plan)} expected\n")

    full = planned(arguments.full)
    show(("start of a job", "CPU s"), [(name, f"{value:.2f}") for name, value in full.start.items()])
    device = sum(job.resources.seconds - job.resources.start_seconds for job in full.jobs)
    share = sum(full.start.values()) * len(full.jobs) / device
    networks = sum(unit.networks for unit in full.plan.units)
    print(f"full size: {networks} networks in {len(full.jobs)} jobs, {device / 3600:.0f} h of device time")
    print(f"start-up {100 * share:.3f} % of it (wanted: below {100 * WANTED_SHARE:.0f} %)")
    print(f"evercast plan {full.plan_seconds:.2f} s, dry run of its DAG {full.dry_run_seconds:.2f} s of CPU")


if __name__ == "__main__":
    main()
