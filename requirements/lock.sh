#!/usr/bin/env bash
# Renew the lock files: exact versions with hashes, valid for Python 3.11 and newer on Linux, no registry address in them.
# Needs uv. `./requirements/lock.sh --upgrade` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command ./requirements/lock.sh "$@"
}
compile pyproject.toml requirements/build.in --extra generate --extra slurm --group dev --output-file requirements/dev.txt "${@}"
compile pyproject.toml requirements/build.in --extra generate --extra slurm --constraint requirements/dev.txt --output-file requirements/run.txt
