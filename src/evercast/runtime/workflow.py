"""What the Snakefile needs: the plan of its configuration, and for each unit the files and resources of its job."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evercast.errors import EnvironmentUnfit, IntegrityError, UsageError
from evercast.plan.jobs import Job
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.holding import hold_run_until_exit, run_is_active
from evercast.runtime.job_markers import marker_of, settle_jobs
from evercast.runtime.leftovers import begin_run
from evercast.runtime.plans import freeze_plan, plan_document, read_jobs, read_plan
from evercast.runtime.run_settings import freeze_settings, profile_of_command, uses_containers
from evercast.runtime.settings import change_settings, read_settings
from evercast.runtime.workflow_files import workflow_root

__all__ = ["PlannedJobs", "grown", "jobs_of_config", "markers_needed", "slurm_run", "start_run", "use_own_programs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJobs:
    """The jobs of a frozen plan; what their units do stands in the plan, which Snakemake need not know.

    Args:
        file: the frozen plan.
        jobs: id -> job, each after those it needs.
    """

    file: Path
    folder: RunFolder
    jobs: Mapping[str, Job]

    def markers(self) -> list[str]:
        """Return what says that everything is finished."""
        return [str(marker_of(job, folder=self.folder)) for job in self.jobs.values()]


def jobs_of_config(config: Mapping[str, object], *, in_job: bool = False) -> PlannedJobs:
    """Return the jobs that a Snakemake configuration asks for.

    Args:
        config: ``analysis`` the document; ``results`` the run folder; ``pseudo_data`` never (default) or always;
            ``plan`` a frozen plan, which settles everything else.
        in_job: whether this is the Snakemake of a job. It belongs to the plan of its run, whatever has become of the
            document since that began.

    Raises:
        UsageError: a key is missing or wrong.
        EvercastError: the document is not valid.
    """
    if "plan" in config:
        file = Path(str(config["plan"]))
        return _planned(file, read_jobs(file))
    if "analysis" not in config:
        raise UsageError("no analysis is given", code="run.no-analysis", hint="add --config analysis=DOCUMENT")
    mode = str(config.get("pseudo_data", "never"))
    if mode not in ("never", "always"):
        raise UsageError(
            f"pseudo_data is {mode!r}; expected never or always",
            code="run.pseudo-data",
            hint="evercast run DOCUMENT --pseudo-data if-unavailable finds out by itself",
        )
    document = Path(str(config["analysis"]))
    if in_job and (of_run := _plan_of_run(config, document, pseudo=mode == "always")) is not None:
        return _planned(of_run, read_jobs(of_run))
    analysis, plan = plan_document(document, pseudo=mode == "always")
    folder = RunFolder(Path(str(config["results"])) if "results" in config else default_results(analysis.name))
    frozen = freeze_plan(plan, analysis=analysis, document=document, folder=folder)
    jobs = read_jobs(frozen.file)
    if not run_is_active(folder):  # the Snakemake of a job, or a dry run meanwhile, leaves the run alone
        settle_jobs(jobs, folder=folder)
    return _planned(frozen.file, jobs)


def _plan_of_run(config: Mapping[str, object], document: Path, *, pseudo: bool) -> Path | None:
    """Return the frozen plan of the run that a job belongs to; None where no run of its document is found.

    The run folder is the declared one, or one below ``results``: the name of the analysis stands in the document only,
    which may not even be valid any more. Where several tell of this document, it had another name once: the run that
    is under way counts, else the youngest.
    """
    folders = [Path(str(config["results"]))] if "results" in config else sorted(default_results("x").parent.glob("*"))
    found = []
    for folder in map(RunFolder, folders):
        with suppress(IntegrityError):  # of another analysis: its own run says what is wrong
            settings = read_settings(folder)
            if (settings.document, settings.pseudo) == (str(document.absolute()), pseudo):
                found.append((run_is_active(folder), settings.started, folder.plan(settings.plan) / "plan.json"))
    return max(found)[2] if found else None


def _planned(file: Path, jobs: tuple[Job, ...]) -> PlannedJobs:
    return PlannedJobs(file=file, folder=RunFolder.of_plan(file), jobs={job.id: job for job in jobs})


def markers_needed(planned: PlannedJobs, job: str) -> list[str]:
    """Return the markers of the jobs that a job waits for."""
    needs = planned.jobs[job].needs
    return [str(marker_of(planned.jobs[identity], folder=planned.folder)) for identity in needs]


def grown(amount: int, *, attempt: int) -> int:
    """Return what a job asks for when it is tried again: twice as much each time.

    Example:
        >>> grown(500, attempt=1), grown(500, attempt=3)
        (500, 2000)
    """
    return int(amount * 2 ** (attempt - 1))


def use_own_programs() -> None:
    """Make the jobs of this process find the `evercast` that belongs to this Python, activated or not.

    In a job of SLURM they also find an ``srun`` that knows of SLURM_CONF, which the plug-in would hide from it.
    """
    folders = [str(Path(sys.executable).parent)]
    if "SLURM_JOB_ID" in os.environ and "SLURM_CONF" in os.environ:
        os.environ["EVERCAST_SLURM_CONF"] = os.environ["SLURM_CONF"]
        folders.insert(0, str(workflow_root() / "workflow" / "bin"))
    rest = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder not in folders]
    os.environ["PATH"] = os.pathsep.join((*folders, *rest))


def start_run(planned: PlannedJobs, config: Mapping[str, object], workflow: object = None) -> None:
    """Hold the run folder until this process ends, begin the run, and note its name in SLURM before a job is submitted.

    ``evercast run`` holds the folder and has begun the run already.

    Args:
        planned: the jobs.
        config: of Snakemake.
        workflow: Snakemake's own object.

    Raises:
        EnvironmentUnfit: ``run.locked``, or ``run.unit-locked`` where a job of a killed run cannot be stopped, or
            ``slurm.no-name`` where the jobs to come could not be found again.
    """
    held = config.get("lock") == "held"
    hold_run_until_exit(planned.folder, held=held)
    if not held:
        begin_run(read_plan(planned.file).plan, folder=planned.folder)
        if "analysis" in config:
            change_settings(planned.folder, document=str(Path(str(config["analysis"])).absolute()))
    freeze_settings(planned.file, containers=uses_containers(workflow), profile=profile_of_command(sys.argv))
    if (name := slurm_run(workflow)) is not None:
        change_settings(planned.folder, slurm_runs=(*read_settings(planned.folder).slurm_runs, name))


def slurm_run(workflow: object) -> str | None:
    """Return the name that all SLURM jobs of a Snakemake process have; None where it does not submit to SLURM.

    Raises:
        EnvironmentUnfit: ``slurm.no-name``: a later run could not cancel them.
    """
    executor = getattr(getattr(workflow, "scheduler", None), "_executor", None)
    if type(executor).__module__.split(".")[0] != "snakemake_executor_plugin_slurm":
        return None
    name = getattr(executor, "run_uuid", None)
    if not isinstance(name, str):
        raise EnvironmentUnfit(
            "this version of snakemake-executor-plugin-slurm does not tell the name of its jobs",
            code="slurm.no-name",
            hint="install the version of the requirements",
        )
    return name
