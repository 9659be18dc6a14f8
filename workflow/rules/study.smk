# Put the pseudo-experiments of one study together.
rule study:
    input:
        inputs_of,
    output:
        f"{WORK}/study/{{unit}}/receipt.json",
    log:
        f"{WORK}/logs/study/{{unit}}.log",
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
        " --threads {threads:q} --gpus {resources.gpu:q} 2> {log:q}"
