# Bring one public file and check its digest, on this machine: the nodes of a cluster may have no network.
rule fetch:
    input:
        inputs_of,
    output:
        f"{WORK}/jobs/fetch/{{unit}}.json",
    priority: 100
    localrule: True
    threads: threads_of
    resources:
        mem_mb=memory_of,
        disk_mb=disk_of,
        runtime=runtime_of,
        gpu=gpus_of,
    params:
        plan=PLAN,
    shell:
        "evercast stage fetch --plan {params.plan:q} --unit {wildcards.unit:q}"
        " --threads {threads:q} --gpus {resources.gpu:q} --log"
