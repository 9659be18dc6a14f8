# Evaluate all networks of one ensemble.
rule evaluation:
    input:
        inputs_of,
    output:
        f"{WORK}/evaluation/{{unit}}/receipt.json",
    log:
        f"{WORK}/logs/evaluation/{{unit}}.log",
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage evaluation --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} 2> {log:q}"
