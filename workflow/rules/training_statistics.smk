# Find the uncertainty of one likelihood from the finite training samples.
rule training_statistics:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/training_statistics/{{unit}}.json",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage training_statistics --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
