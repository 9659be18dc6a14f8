"""A Snakefile of shell commands only: one rule a job, every name of a file written out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from evercast.plan.jobs import Job
from evercast.runtime.folders import RunFolder
from evercast.runtime.job_markers import marker_of

__all__ = ["reana_snakefile"]

_HEADROOM = 2
"""Memory limit over the plan's estimate: REANA does not ask for more when a job is run again."""


def reana_snakefile(jobs: Sequence[Job], *, plan: str, folder: RunFolder, image: str, name: str) -> str:
    """Return the Snakefile of a frozen plan; Snakemake 7 and newer read it.

    Args:
        jobs: of the plan, each after those it needs.
        plan: path of the frozen plan, relative to the working folder.
        folder: the run folder, likewise.
        image: registry reference of the image of every rule.
        name: of the analysis.
    """
    markers = {job.id: str(marker_of(job, folder=folder)) for job in jobs}
    done = str(folder.work / "published.txt")
    parts = [
        f"# The analysis {name} for REANA, written by `evercast export reana`; not to be edited.",
        f"rule all:\n    input:\n        {_quoted(done)},",
    ]
    parts += [_rule(job, markers=markers, plan=plan, image=image) for job in jobs]
    publish = f"mkdir -p {folder.work} && evercast stage export --plan {plan} > {done}"
    parts.append(_block("publish", [plan, *markers.values()], done, publish, image=image, threads=1, memory_mb=1000))
    return "\n\n\n".join(parts) + "\n"


def _rule(job: Job, *, markers: dict[str, str], plan: str, image: str) -> str:
    marker = markers[job.id]
    above = marker.rpartition("/")[0]
    command = f"evercast stage {job.stage} --plan {plan} --unit {job.id} --threads {job.resources.cores}"
    return _block(
        re.sub(r"[^A-Za-z0-9_]", "_", f"{job.stage}_{job.id}"),
        [plan, *(markers[need] for need in job.needs)],
        marker,
        f"mkdir -p {above} && {command}",
        image=image,
        threads=job.resources.cores,
        memory_mb=job.resources.memory_mb,
    )


def _block(
    name: str, inputs: Sequence[str], output: str, command: str, *, image: str, threads: int, memory_mb: int
) -> str:
    lines = [f"rule {name}:", "    input:"]
    lines += [f"        {_quoted(path)}," for path in inputs]
    lines += ["    output:", f"        {_quoted(output)},"]
    lines += ["    threads: " + str(threads), "    resources:"]
    lines += [
        f"        mem_mb={_HEADROOM * memory_mb},",
        f'        kubernetes_memory_limit="{_HEADROOM * memory_mb}Mi",',
    ]
    lines += ["    container:", f"        {_quoted(image)}", "    shell:", f"        {_quoted(command)}"]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text)
