# Make one part of the events of a generator.
rule generation:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/generation/{{unit}}.json",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage generation --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
