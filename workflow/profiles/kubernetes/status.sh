#!/bin/sh
# Called by Snakemake with the name of a Job: says running, success or failed. A cluster that does not answer says nothing
# about the job, so that it counts as running; a Job that is gone has failed.
if [ -n "${EVERCAST_RENDER:-}" ]; then
  echo failed
  exit
fi
here=$(cd "$(dirname "$0")" && pwd)
space=$(sed -n 's/^  namespace: *//p' "$here/job.yaml")
if ! said=$(kubectl get job "$1" --namespace "$space" --ignore-not-found --output 'jsonpath={.metadata.name} {.status.conditions[?(@.status=="True")].type}'); then
  echo running
  exit
fi
case $said in
  *Complete*) echo success ;;
  '' | *Failed*) echo failed ;;
  *) echo running ;;
esac
