# What all rules share: the plan, and per job its inputs, threads and resources.
from evercast.runtime.refusals import told_plainly
from evercast.runtime.run_settings import refuse_conda
from evercast.runtime.workflow import (
    grown,
    jobs_of_config,
    markers_needed,
    start_run,
    use_own_programs,
)

use_own_programs()
# The Snakemake of a job takes the plan of its run: the document may have been edited since.
with told_plainly(config):
    refuse_conda(workflow)
    PLANNED = jobs_of_config(config, in_job=not workflow.is_main_process)
PLAN = str(PLANNED.file)
WORK = str(PLANNED.folder.work)
JOBS = PLANNED.jobs
SNAKEMAKE_MB = (
    400  # of two Snakemakes, which share the memory limit of a batch job with the stage
)


wildcard_constraints:
    unit="[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{12}",


def inputs_of(wildcards):
    # Markers are ancient: their names carry the content key, so their time stamps say nothing.
    return [ancient(path) for path in markers_needed(PLANNED, wildcards.unit)]


def threads_of(wildcards):
    return JOBS[wildcards.unit].resources.cores


def memory_of(wildcards, attempt):
    return SNAKEMAKE_MB + grown(
        JOBS[wildcards.unit].resources.memory_mb, attempt=attempt
    )


def disk_of(wildcards, attempt):
    return grown(JOBS[wildcards.unit].resources.disk_mb, attempt=attempt)


def runtime_of(wildcards, attempt):
    return grown(JOBS[wildcards.unit].resources.runtime_min, attempt=attempt)


def gpus_of(wildcards):
    # 0: the plan asks for none; a profile gives them, with set-resources.
    return JOBS[wildcards.unit].resources.gpu
