#!/usr/bin/env bash
# Renew the lock files: exact versions with hashes, valid for Python 3.11 and newer on Linux, no registry address in them.
# Needs uv. `./requirements/lock.sh --upgrade` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command ./requirements/lock.sh "$@"
}
compile --universal --fork-strategy fewest pyproject.toml requirements/build.in --extra generate --extra hepdata --extra kubernetes --extra registry --extra slurm --group dev --output-file requirements/dev.txt "${@}"
compile --universal --fork-strategy fewest pyproject.toml requirements/build.in --extra generate --extra hepdata --extra kubernetes --extra registry --extra slurm --constraint requirements/dev.txt --output-file requirements/run.txt
# What the GPU image holds: its own Python and processor only, because not all CUDA packages exist for the others.
compile --python-platform x86_64-manylinux_2_36 pyproject.toml requirements/build.in --extra generate --extra hepdata --extra kubernetes --extra registry --extra slurm --extra gpu \
  --constraint requirements/dev.txt --output-file requirements/gpu.txt
