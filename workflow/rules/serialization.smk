# Build the likelihoods and write them as they are published.
rule serialization:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/serialization/{{unit}}.json",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage serialization --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
