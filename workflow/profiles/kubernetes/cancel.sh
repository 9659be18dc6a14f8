#!/bin/sh
# Called by Snakemake with the names of Jobs when a run is stopped: deletes them with their pods.
[ -z "${EVERCAST_RENDER:-}" ] || exit 0
here=$(cd "$(dirname "$0")" && pwd)
space=$(sed -n 's/^  namespace: *//p' "$here/job.yaml")
exec kubectl delete job --namespace "$space" --ignore-not-found --wait=false "$@"
