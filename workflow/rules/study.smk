# Put the pseudo-experiments of one study together.
rule study:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/study/{{unit}}.json",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage study --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
