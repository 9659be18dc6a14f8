# What all rules share: the plan, and per unit its inputs, threads and resources.
from evercast.runtime.workflow import (
    grown,
    plan_of_config,
    receipt_of,
    receipts_needed,
    start_run,
    use_own_programs,
)

use_own_programs()
FROZEN = plan_of_config(config)
PLAN = str(FROZEN.file)
WORK = str(FROZEN.folder.work)
UNITS = FROZEN.plan.by_id()


wildcard_constraints:
    unit="[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{12}",


def inputs_of(wildcards):
    # Receipts are ancient: their names carry the content key, so their time stamps say nothing.
    return [
        ancient(path) for path in receipts_needed(FROZEN, wildcards.unit, units=UNITS)
    ]


def threads_of(wildcards):
    return UNITS[wildcards.unit].resources.cores


def memory_of(wildcards, attempt):
    return grown(UNITS[wildcards.unit].resources.memory_mb, attempt=attempt)


def disk_of(wildcards, attempt):
    return grown(UNITS[wildcards.unit].resources.disk_mb, attempt=attempt)


def runtime_of(wildcards, attempt):
    return grown(UNITS[wildcards.unit].resources.runtime_min, attempt=attempt)


def gpus_of(wildcards):
    # 0: the plan asks for none; a profile gives them, with set-resources.
    return UNITS[wildcards.unit].resources.gpu
