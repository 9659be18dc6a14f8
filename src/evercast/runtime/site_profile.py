"""The text of a site's profile: every setting with the reason that this site's SLURM gave for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from evercast.errors import UsageError
from evercast.runtime.profile_lines import comment, commented_out, setting
from evercast.runtime.site_survey import Partition, Survey

__all__ = ["Choices", "choose_partition", "most_gpus", "profile_text", "site_text"]

_MOST_JOBS: Final = 200
_FIRST_QUESTION_SECONDS: Final = 10
_RAREST_QUESTION_SECONDS: Final = 180
"""The plug-in lets up to this time pass between questions; a controller that forgets sooner cannot be asked."""
_LONGEST_ARRAY: Final = 1000
_ON_GPUS: Final = ("training", "evaluation", "training_statistics")
"""Rules whose arithmetic is worth a GPU."""
_FIXED: Final = {
    "retries": (2, "A job that died is sent twice more, each time with twice the memory and run time."),
    "keep-going": (True, "Jobs that do not depend on a failed one are still run."),
    "max-jobs-per-timespan": ("20/1s", "Submissions; a site with a slow controller wants fewer."),
    "max-status-checks-per-second": (1, "Questions to the controller."),
    "slurm-delete-logfiles-older-than": (10, "Days for which .snakemake/slurm_logs keeps the logs of failed jobs."),
    "rerun-triggers": (["input"], "Names of files hold the hash of their recipe: existence decides, not time stamps."),
    "ignore-incomplete": (True, "The marker of a job is compared with the receipts of its units when a run begins."),
    "rerun-incomplete": (True, "The same, for a run that was killed."),
    "keep-incomplete": (True, "The same, for a job that failed after its unit was finished."),
    "nolock": (True, "Evercast locks the run folder itself; Snakemake's lock outlives a killed process."),
    "latency-wait": (60, "Seconds until a file that a node wrote must be seen here."),
    "scheduler": ("greedy", "Starts what is ready in the order of the plan."),
    "show-failed-logs": (False, "Evercast names the first error and its log."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the user decides; None leaves it to `choose_partition` or to the site.

    Args:
        partition: for jobs without a GPU.
        gpu_partition: for jobs with GPUs; None and no `gpus` leaves them commented out.
        gpus: for each job of the GPU partition; 0 for none.
        account: to be charged.
        containers: whether stages run in containers.
    """

    partition: str | None = None
    gpu_partition: str | None = None
    gpus: int = 0
    account: str | None = None
    containers: bool = True

    @property
    def wants_gpus(self) -> bool:
        """Whether jobs of networks ask for GPUs."""
        return self.gpus > 0 or self.gpu_partition is not None


def choose_partition(
    survey: Survey, name: str | None, *, with_gpus: bool = False, gpus: int = 0
) -> Partition | None:  # fmt: skip
    """Return the partition of this name, or the one to be used where none is named; None where there is none.

    Without GPUs that is the cluster's default, or the largest one that is up; with GPUs the largest that has nodes with
    as many as a job asks for.

    Args:
        survey: what SLURM said.
        name: as the user gave it.
        with_gpus: whether jobs with GPUs go there.
        gpus: how many each of them asks for.

    Raises:
        UsageError: ``profile.no-partition``: the cluster has none of this name, or it has no GPU; ``profile.no-gpus``:
            no node of it has so many.
    """
    if name is not None:
        found = survey.partition(name)
        if found is None or (with_gpus and not found.gpus):
            names = ", ".join(item.name for item in survey.partitions if item.gpus or not with_gpus)
            what = "a partition with GPUs" if with_gpus else "a partition"
            raise UsageError(
                f"the cluster has no {what.removeprefix('a ')} {name!r}; found: {names or 'none'}",
                code="profile.no-partition",
                hint=f"name {what} that sinfo lists",
            )
        if with_gpus and gpus > most_gpus(found):
            raise _too_many_gpus(gpus, [found])
        return found
    usable = [item for item in survey.partitions if item.is_up and (item.gpus or not with_gpus)]
    enough = [item for item in usable if not with_gpus or most_gpus(item) >= gpus]
    if usable and not enough:
        raise _too_many_gpus(gpus, usable)
    return max(enough, key=lambda item: (item.is_default and not with_gpus, item.nodes), default=None)


def most_gpus(partition: Partition) -> int:
    """Return how many GPUs of one kind a node of the partition has at most."""
    return max(partition.gpus.values(), default=0)


def _too_many_gpus(gpus: int, partitions: Sequence[Partition]) -> UsageError:
    has = "; ".join(f"{item.name} has {_gpus_of(item)} in a node" for item in partitions)
    return UsageError(
        f"a job asks for {gpus} GPUs, and no node has so many: {has}",
        code="profile.no-gpus",
        hint="ask for fewer with --gpus; a job runs on one node",
    )


def profile_text(survey: Survey, choices: Choices) -> str:
    """Return the content of ``config.yaml``.

    Raises:
        UsageError: ``profile.no-partition``, ``profile.no-gpus`` or ``profile.no-account``.
    """
    partition = choose_partition(survey, choices.partition)
    gpu_partition = choose_partition(survey, choices.gpu_partition, with_gpus=True, gpus=choices.gpus)
    if choices.wants_gpus and gpu_partition is None:
        raise UsageError("no partition of this cluster has GPUs", code="profile.no-partition")
    account = _account(survey, choices.account)
    said = [_described(item) for item in survey.partitions]
    parts = [
        comment(f"Profile of the cluster {survey.cluster!r} (SLURM {survey.version}), by `evercast profile init`."),
        comment("evercast run DOCUMENT --profile THIS_FOLDER"),
        comment("SLURM said: " + "; ".join(said) + "."),
        "",
        setting("executor", "slurm", "Every stage is a batch job."),
        setting("jobs", _most_jobs(survey), _why_jobs(survey)),
        setting("local-cores", 2, "Cores of this machine for publishing and for fetching public files."),
        *_containers(choices),
        *_resources(survey, partition, gpu_partition if choices.wants_gpus else None, account),
        *_gpus(gpu_partition, choices),
        *_status(survey),
        *(setting(name, value, why) for name, (value, why) in _FIXED.items()),
        setting("groups", {"diagnostics": "closing", "report": "closing"}, "Two short stages in a row are one job."),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def site_text(survey: Survey) -> str:
    """Return the content of ``site.yaml``: the file systems that are mounted here, commented out."""
    binds = [f"#   - {{path: {place}, needed: false}}" for place in survey.shared]
    found = (
        "Found mounted on this machine"
        if binds
        else "None of CVMFS, GPFS, Lustre and the like is mounted here; examples"
    )
    return "\n".join([
        comment(f"What the cluster {survey.cluster!r} adds to every container. Nothing, until a line is uncommented."),
        "schema: site/1.0.0", "",
        comment("A store of images that all users share."), "# images: /software/evercast/images", "",
        comment(f"Folders that every stage may read. {found}:"), "# binds:",
        *(binds or ["#   - {path: /cvmfs/cms.cern.ch, needed: false}"]), "",
        comment("Variables that hold the path of a credential; the path is bound, its content is never read."),
        "# credentials:", "#   - {variable: X509_USER_PROXY}", "",
        comment("A folder on a node's own disk for what is private to a container."), "# scratch: $TMPDIR",
    ]) + "\n"  # fmt: skip


def _account(survey: Survey, named: str | None) -> str | None:
    if named is not None and survey.accounts and named not in survey.accounts:
        raise UsageError(
            f"SLURM does not let you charge the account {named!r}; found: {', '.join(survey.accounts)}",
            code="profile.no-account",
        )
    return named


def _most_jobs(survey: Survey) -> int:
    return min(_MOST_JOBS, survey.most_jobs) if survey.most_jobs else _MOST_JOBS


def _why_jobs(survey: Survey) -> str:
    limit = f"MaxSubmitJobs is {survey.most_jobs}" if survey.most_jobs else "SLURM names no MaxSubmitJobs for this user"
    return f"Jobs queued or running at once; {limit}."


def _containers(choices: Choices) -> Iterable[str]:
    if choices.containers:
        yield setting(
            "software-deployment-method", ["apptainer"], "Every stage runs in the image that images.yaml names."
        )
    else:
        yield comment("Stages run in the environment that evercast was called from; with the next line, in containers.")
        yield "# software-deployment-method: [apptainer]\n"


def _resources(
    survey: Survey, partition: Partition | None, gpu_partition: Partition | None, account: str | None
) -> Iterable[str]:
    defaults: dict[str, object] = {"mem_mb": 1000, "disk_mb": 1000, "runtime": 30}
    why = "For a rule that says nothing; cores, memory, disk and run time of a job come from the plan."
    if partition is not None:
        defaults["slurm_partition"] = partition.name
        why += f" The partition: {_described(partition)}."
    if account is not None:
        defaults["slurm_account"] = account
    yield setting("default-resources", defaults, why)
    if account is None:
        yours = f"yours is {survey.account}" if survey.account else "it names none; `--account` writes one"
        yield setting("slurm-no-account", value=True, why=f"The account is SLURM's default for you; {yours}.")
    used = [item for item in (partition, gpu_partition) if item is not None]
    if caps := _caps(used):
        yield setting("resources", caps, _why_caps(used))


def _why_caps(used: list[Partition]) -> str:
    why = "No job asks for more, also when it is tried again: memory of the smallest node, MB, and time limit, minutes."
    if len({(item.memory_mb, item.longest_min) for item in used}) > 1:
        why += (
            " Snakemake has one limit for all jobs, so each is that of the larger partition; SLURM refuses a job of "
            "the other one that has grown beyond its own."
        )
    return why


def _caps(used: list[Partition]) -> dict[str, object]:
    """Return the most that a job may ask for in any of the partitions of the profile.

    Snakemake cuts what a job asks for to ``resources``, which for memory and run time is no sum over jobs. Where one of
    the partitions has no time limit, there is none.
    """
    memory = max((item.memory_mb for item in used), default=0)
    limits = [item.longest_min for item in used if item.longest_min is not None]
    caps: dict[str, object] = {"mem_mb": memory} if memory else {}
    return caps | ({"runtime": max(limits)} if limits and len(limits) == len(used) else {})


def _gpus(partition: Partition | None, choices: Choices) -> Iterable[str]:
    if partition is None:
        yield comment("SLURM names no GPU.") + "\n"
        return
    asked = {rule: {"slurm_partition": partition.name, "gpu": max(choices.gpus, 1)} for rule in _ON_GPUS}
    text = setting("set-resources", asked, f"GPUs, per job: {_described(partition)}.")
    yield text if choices.wants_gpus else commented_out(text)


def _status(survey: Survey) -> Iterable[str]:
    squeue = survey.kept_seconds > _RAREST_QUESTION_SECONDS or not survey.has_accounting
    database = "there is an accounting database" if survey.has_accounting else "there is no accounting database"
    yield setting(
        "slurm-status-command", "squeue" if squeue else "sacct",
        f"The controller knows jobs for {survey.kept_seconds} s after their end (MinJobAge); {database}.",
    )  # fmt: skip
    yield setting(
        "slurm-init-seconds-before-status-checks", _FIRST_QUESTION_SECONDS,
        "First question about a job after so many seconds, later ones more seldom.",
    )  # fmt: skip
    yield comment("Arrays: one sbatch for many blocks; all get the resources of the first one.")
    yield "# slurm-array-jobs: training"
    yield setting(
        "slurm-array-limit",
        min(survey.longest_array, _LONGEST_ARRAY),
        f"Tasks of an array; MaxArraySize allows {survey.longest_array}.",
    )
    again = (
        "are queued again by SLURM (JobRequeue=1)"
        if survey.requeues
        else "are not queued again by SLURM (JobRequeue=0), but by the retries below"
    )
    yield comment(f"Jobs of a node that died {again}.") + "\n"


def _described(partition: Partition) -> str:
    parts = [
        f"{partition.name}{' (default)' if partition.is_default else ''}: {_count(partition.nodes, 'node')}",
        f"of {_count(partition.cores, 'core')} and {partition.memory_mb} MB",
        *([f"with {_gpus_of(partition)}"] if partition.gpus else []),
    ]
    limit = f"at most {partition.longest_min} min" if partition.longest_min is not None else "no time limit"
    return f"{' '.join(parts)}, {limit}{'' if partition.is_up else ', not up'}"


def _gpus_of(partition: Partition) -> str:
    return ", ".join(f"{_count(count, 'GPU')} {kind}".rstrip() for kind, count in partition.gpus.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
