# The workflow of one analysis. Every stage is a rule that runs one job of the plan: a unit of work, or a batch of short ones.
#   snakemake --profile workflow/profiles/default --config analysis=specs/toy/analysis.yaml
# Rules: workflow/rules. Units, keys, jobs and costs: src/evercast/plan. `evercast run DOCUMENT` calls this file.
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/generation.smk"
include: "workflow/rules/command.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/serialization.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/toys.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/training_statistics.smk"
include: "workflow/rules/diagnostics.smk"
include: "workflow/rules/report.smk"


onstart:
    with told_plainly(config):
        start_run(PLANNED, config, workflow)


rule all:
    default_target: True
    input:
        ancient(PLANNED.markers()),
    localrule: True
    params:
        plan=PLAN,
    shell:
        "evercast stage export --plan {params.plan:q}"
