# Throw and fit some pseudo-experiments of one likelihood.
rule toys:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/toys/{{unit}}.json",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage toys --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
